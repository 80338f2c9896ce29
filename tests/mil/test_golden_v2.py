"""Parity with version 2 of the authors' code: every number of every v2 case."""

from collections.abc import Callable
from functools import cache
from math import log
from typing import Any

import golden
import pytest
import torch
from golden import Case, Recorded
from safetensors.torch import load_file
from test_golden import compare_losses, compare_output, hides_as_recorded
from torch import Tensor

from napari_mhim.mil.model import MILModel, MILOutput
from napari_mhim.mil.recipes import mhim_v2
from napari_mhim.mil.recipes.mhim_v2 import training
from napari_mhim.mil.recipes.mhim_v2.recycling import RecycleNetwork

pytestmark = pytest.mark.usefixtures("test_data")
every_case = pytest.mark.parametrize("case", golden.cases(golden.SECOND))
RECYCLE_KEYS = {
    "merge.norm": "norm",
    "merge.attn.to_kv": "key_value",
    "merge.attn.to_q": "query",
    "merge.attn.to_out.0": "output",
}
"""The authors' names of the recycle network's layers, and ours."""


@every_case
def test_every_number_of_a_case_is_ours(case: Case, monkeypatch: pytest.MonkeyPatch):
    recipe = golden_recipe(case)
    predicts(case, recipe.student)
    guides(case, recipe)
    hides(case, recipe)
    splits(case, recipe, monkeypatch)
    recycles(case, recipe)
    learns(case, recipe)
    assert case.unread() == set()


def golden_recipe(case: Case) -> Any:
    """Build our recipe around the golden student and teacher, with the settings told."""
    student, teacher = (
        golden.model(case.arch, role, version=2) for role in ("student", "teacher")
    )
    manifest = golden.manifest()
    config = mhim_v2.Config(
        mask_ratio_high=mask_ratio(case),
        instance_scores={"score": "class", "attn": "attention"}[case.told["by"]],
        stay_share=float(case.told["share"]),
        recycle_tokens=int(case.told["k"]),
        recycle_momentum=momentum(case),
        teacher_init="student",
        student_init="none",
        consistency_weight=manifest["alpha"],
        temperature_teacher=manifest["temp_t"],
        smallest_masked=1,
    )
    recipe: Any = mhim_v2.build(student, config)
    recipe.teacher.load_state_dict(teacher.state_dict())
    recipe.recycle.load_state_dict(
        {**recycle_weights(), "queries": case.given("merge.global_q_mm.before")[0]}
    )
    return golden.without_dropout(recipe).train()


def mask_ratio(case: Case) -> float:
    """Read the ratio off the number it came to: any in between gives the same."""
    return (int(case.given("mask.topk0.k")) - 0.5) / len(case.x)


def momentum(case: Case) -> float:
    """Read the queries' momentum off what they did; `recycles` checks the rest of it."""
    before, after, tokens = (case.given(key).double() for key in MOVES)
    towards = tokens - before
    return 1 - ((after - before) * towards).sum().item() / towards.square().sum().item()


MOVES = ("merge.global_q_mm.before", "merge.global_q_mm.after", "merge.tokens")


@cache
def recycle_weights() -> dict[str, Tensor]:
    tensors = load_file(golden.ROOT / "weights" / "v2_merge.safetensors")
    split = {key: key.rpartition(".") for key in tensors}
    return {
        f"{RECYCLE_KEYS[layer]}.{leaf}": tensors[key].float()
        for key, (layer, _, leaf) in split.items()
    }


def predicts(case: Case, student: MILModel) -> None:
    output = student.eval()(case.x)
    compare_output(case, "eval.student.", output)
    if "eval.student.logits_mean" in case:  # a model with two streams
        log_share = student.probabilities(output).log()
        mean = case.given("eval.student.logits_mean")[0]
        golden.assert_close(log_share, mean.log_softmax(dim=0))
    student.train()


def guides(case: Case, recipe: Any) -> None:
    output = recipe.teacher(case.x)
    case.compare("teacher.feat", output.embedding)
    theirs = case.given("teacher.score").reshape(-1, len(case.x))
    scores = output.scores_by(recipe.score_kind)
    golden.assert_close(as_theirs(output, recipe.score_kind)(scores), theirs)
    assert not (scores[..., None] > scores[:, None])[  # the same order, up to rounding
        (theirs[..., None] < theirs[:, None] - 1e-6 * theirs.abs().max())
    ].any()


def as_theirs(output: MILOutput, kind: str) -> Callable[[Tensor], Tensor]:
    """Give what turns our scores into theirs: a probability, where ours is of class."""
    if kind != "class" or type(output).class_scores is not MILOutput.class_scores:
        return lambda scores: scores
    others = log(len(output.logits) - 1)
    return lambda scores: (scores - others).sigmoid()


def hides(case: Case, recipe: Any) -> None:
    ratios = {
        "mask_ratio_high": mask_ratio(case),
        "mask_ratio_low": 0.0,
        "mask_ratio_random": 0.0,
        "high_keep_share": 1.0,
    }
    recorded = Recorded(case, "mask.", ratios)
    hides_as_recorded(recorded)
    if recorded.calls == 1:  # votes can be equal, and then who is hidden is theirs
        scores = recipe.teacher(case.x).scores_by(recipe.score_kind)
        places = torch.arange(len(case.x))
        kept = recipe._keep(places, scores, 0, 1)
        case.compare_set("mask.keep", golden.marked(kept, len(places)))


def splits(case: Case, recipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = case.given("merge.noise")
    monkeypatch.setattr(training, "random_keys", lambda n, device: noise[:n])
    stay, rest = recipe._split(len(noise), noise.device)
    case.compare("merge.len_keep", len(stay))
    case.compare_set("merge.keep", golden.marked(stay, len(noise)))
    case.compare_set("merge.recycled", golden.marked(rest, len(noise)))


def recycles(case: Case, recipe: Any) -> None:
    kept = case.x[case.given("mask.keep")]
    rows = recipe.student.embed(kept)[case.given("merge.recycled")]
    before, after, tokens = (case.given(key)[0] for key in MOVES)
    case.compare("merge.tokens", recipe.recycle(rows))
    recipe.recycle.follow(tokens)
    case.compare("merge.global_q_mm.after", recipe.recycle.queries)
    # they hardly move: what they move by is the number to compare
    moved = recipe.recycle.queries - before
    rounding = 4 * torch.finfo(torch.float32).eps * before.abs().max()
    assert (moved - (after - before)).abs().max() <= rounding
    assert (after - before).abs().max() > 10 * rounding
    recipe.recycle.queries.copy_(before)


def learns(case: Case, recipe: Any) -> None:
    """See what the authors' student sees, in its order, and come to its losses."""
    order = case.given("mask.keep")
    stay, rest = case.given("merge.keep"), case.given("merge.recycled")
    recipe._keep = lambda x, *_: x[order]
    recipe._split = lambda *_: (stay, rest)
    seen = []
    aggregate = recipe.student.aggregate
    recipe.student.aggregate = lambda h: (seen.append(len(h)), aggregate(h))[1]
    before = recipe.recycle.queries.clone()
    output = recipe._study(case.x[order])
    case.compare("student.seq_len", seen[-1])
    compare_output(case, "student.", output)
    compare_losses(case, "", recipe.student, output)
    for label, total in enumerate(case.given("loss.total_y0y1")):
        recipe.recycle.queries.copy_(before)
        losses = recipe.losses(case.x, label, 0, 1)
        golden.assert_close(losses.total, total)
        case.compare("merge.global_q_mm.after", recipe.recycle.queries)


def test_recycle_network_is_the_authors_in_layers_and_size():
    told = golden.Told(golden.manifest()["v2"])
    for name in told:
        if "merge.global_q" in told[name]:  # a whole checkpoint
            is_the_authors(told[name])
            continue
        student = golden.model(name, "student", version=2)
        for settings in told[name].values():
            ours = is_the_authors(settings["merge_keys"], student.width)
            unused = unused_numbers(name, student)
            assert settings["params"] == count(ours) + count(student) + unused
    assert told.unread() == set()


def is_the_authors(shapes: golden.Told, width: int | None = None) -> RecycleNetwork:
    """Compare the layers a list of shapes tells of with ours, and give ours."""
    _, k, theirs = shapes["merge.global_q_mm"]
    ours = RecycleNetwork(width or theirs, k, 0.0, 0.0)
    assert layers(shapes) == {
        key: list(tensor.shape) for key, tensor in ours.state_dict().items()
    }
    rest = {key: shapes[key] for key in shapes if not key.startswith("merge.")}
    if rest:
        tensors = {key: torch.empty(shape) for key, shape in rest.items()}
        found = golden.layout.read(tensors, "recorded")
        assert found is not None
        assert found.options["in_dim"] == rest["feature.0.weight"][1]
    return ours


def layers(shapes: Any) -> dict[str, list[int]]:
    """Translate the recycle network's part of a list of shapes; queries have no batch."""
    found = {"queries": shapes["merge.global_q_mm"][1:]}
    assert shapes["merge.global_q"] == shapes["merge.global_q_mm"]
    for key in shapes:
        layer, _, leaf = key.rpartition(".")
        if layer in RECYCLE_KEYS:
            found[f"{RECYCLE_KEYS[layer]}.{leaf}"] = shapes[key]
    return found


def count(module: torch.nn.Module) -> int:
    return sum(tensor.numel() for tensor in module.state_dict().values())


def unused_numbers(arch: str, student: MILModel) -> int:
    """Count what their files hold and nothing uses, such as DSMIL's second head."""
    theirs = load_file(golden.ROOT / "weights" / f"v1_{arch}_student.safetensors")
    return sum(tensor.numel() for tensor in theirs.values()) - count(student)
