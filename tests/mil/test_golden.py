"""Parity with the authors' code, from numbers it gave: every number of every v1 case."""

import golden
import pytest
import torch
from golden import Case, Recorded

from napari_mhim.mil.masking import high_mask, hybrid_mask, low_mask, random_mask
from napari_mhim.mil.model import MILModel, MILOutput
from napari_mhim.mil.models.dsmil import DSMILOutput
from napari_mhim.mil.teacher import consistency_loss

pytestmark = pytest.mark.usefixtures("test_data")


@pytest.mark.parametrize("case", golden.cases(golden.FIRST))
def test_every_number_of_a_case_is_ours(case: Case):
    for check in (
        predicts,
        guides,
        guides_in_float64,
        hides,
        hides_by_averaged_heads,
        hides_by_the_last_layer,
        learns,
        learns_in_ascending_order,
    ):
        check(case)
    assert case.unread() == set()


def test_every_file_is_a_case():
    known = [*golden.cases(golden.FIRST), *golden.cases(golden.SECOND)]
    assert {param.id for param in known} == {path.stem for path in golden.case_files()}


def predicts(case: Case) -> None:
    for role in ("teacher", "student"):
        for dtype, bits in ((torch.float32, ""), (torch.float64, "64")):
            model = golden.model(case.arch, role).to(dtype)
            output = model(case.x.to(dtype))
            compare_output(case, f"eval.{role}.", output, bits)
            case.compare(f"eval.{role}.prob{bits}", model.probabilities(output))


def compare_output(case: Case, stem: str, output: MILOutput, bits: str = "") -> None:
    """Compare logits and bag feature under the names a case has for them."""
    found = {"logits": output.logits, "logits_bag": output.logits}
    found |= {"feat": output.embedding, "B": output.embedding}
    if isinstance(output, DSMILOutput):
        found["logits_ins"] = output.top_logits
    compared = [name for name in found if f"{stem}{name}{bits}" in case]
    assert {"logits", "logits_bag"} & set(compared)
    for name in compared:
        case.compare(f"{stem}{name}{bits}", found[name])


def guides(case: Case) -> None:
    model = golden.model(case.arch, "teacher")
    output = model(case.x)
    case.compare("teacher.feat", output.embedding)
    if "teacher.attn" in case:
        case.compare("teacher.attn", output.scores)
    if "teacher.attn_raw" in case:
        case.compare("teacher.attn_raw", model.attention(model.embed(case.x)).T)
    if "teacher.instance_logits" in case:  # a model with two streams
        case.compare("teacher.A", output.attention.T)
        case.compare("teacher.instance_logits", output.instance_logits)
    for name, choice in layers(case):
        chosen = golden.model(case.arch, "teacher", attention_layer=choice)
        case.compare(name, chosen(case.x).scores)


def guides_in_float64(case: Case) -> None:
    if "teacher.feat64" not in case:
        return
    x = case.x.double()
    output = golden.model(case.arch, "teacher").double()(x)
    case.compare("teacher.feat64", output.embedding)
    for name, choice in layers(case):
        chosen = golden.model(case.arch, "teacher", attention_layer=choice).double()
        case.compare(f"{name}_64", chosen(x).scores)


def layers(case: Case) -> list[tuple[str, str]]:
    named = [("teacher.attn_layer0", "first"), ("teacher.attn_layer1", "last")]
    return [(name, choice) for name, choice in named if name in case]


def hides(case: Case) -> None:
    output = golden.model(case.arch, "teacher")(case.x)
    for name in case.names("mask"):
        recorded = Recorded(case, f"mask.{name}.", golden.ratios_of(name))
        golden.assert_close(output.scores, recorded.scores)
        hides_as_recorded(recorded)


def hides_as_recorded(recorded: Recorded) -> None:
    """Compare a mask and its parts: exactly, and up to equal votes where heads vote."""
    case, stem, scores = recorded.case, recorded.stem, recorded.scores
    n, keys, ratios = scores.shape[1], recorded.keys(), recorded.ratios
    parts = {
        "random": random_mask(keys[0], ratios["mask_ratio_random"]),
        "low": low_mask(scores, ratios["mask_ratio_low"]),
        "high": high_mask(
            scores, ratios["mask_ratio_high"], ratios["high_keep_share"], keys=keys[1]
        ),
    }
    for stage in recorded.stages:
        assert recorded.can_be(stage, parts[stage]), (stem, stage)
        for call in range(recorded.calls):
            ranks_as_recorded(recorded, stage, call)
    kept = ~golden.marked(case.given(f"{stem}masked"), n)
    if recorded.calls == 1:
        assert kept.equal(~hybrid_mask(scores, **ratios, keys=keys)), stem
    # where votes are equal, which of them are hidden is theirs: counts and sets still fit
    case.compare(f"{stem}len_keep", int(kept.sum()))
    case.compare_set(f"{stem}keep", kept)


def ranks_as_recorded(recorded: Recorded, stage: str, call: int) -> None:
    """Compare one ranking: what is ranked, which way, how many, and who comes out."""
    scores, is_last = recorded.scores, call == recorded.calls - 1
    ranked = recorded.topk(stage, "in", call)
    picked, k = (recorded.topk(stage, name, call) for name in ("out", "k"))
    is_high = stage == "high"
    assert bool(recorded.topk(stage, "largest", call)) == (
        is_high or (is_last and recorded.calls == 2)  # most votes, whatever for
    )
    n, count = scores.shape[1], int(k)
    if stage == "random":  # all are candidates
        assert count == n
        assert (picked.reshape(-1, n).sort().values == torch.arange(n)).all()
        return
    mark = high_mask if is_high else low_mask
    heads = torch.stack([mark(row[None], (count - 0.5) / n) for row in scores])
    if is_last and recorded.calls == 2:
        golden.assert_close(heads.sum(dim=0).float(), ranked)
        return  # who comes out is up to equal votes: Recorded.can_be
    golden.assert_close(scores, ranked)
    for mine, theirs in zip(heads, picked.reshape(len(scores), -1), strict=True):
        assert mine.equal(golden.marked(theirs, n))


def hides_by_averaged_heads(case: Case) -> None:
    for name in case.names("mask_mean"):
        mask = hybrid_mask(
            case.given("teacher.attn_layer0")[0],
            **golden.ratios_of(name),
            fusion="mean",
        )
        case.compare_set(f"mask_mean.{name}.masked", mask)
        case.compare_set(f"mask_mean.{name}.keep", ~mask)
        case.compare(f"mask_mean.{name}.len_keep", int((~mask).sum()))


def hides_by_the_last_layer(case: Case) -> None:
    for name in case.names("mask_lastlayer"):
        stem, ratios = f"mask_lastlayer.{name}.", golden.ratios_of(name)
        scores = case.given("teacher.attn_layer1")[0]
        masked = golden.marked(case.given(f"{stem}masked"), scores.shape[1])
        low, high = ratios["mask_ratio_low"], ratios["mask_ratio_high"]
        sure = surely(-scores, low) | surely(scores, high)
        assert (masked | ~sure).all()
        assert ((possibly(-scores, low) | possibly(scores, high)) | ~masked).all()
        case.compare_set(f"{stem}keep", ~masked)
        case.compare(f"{stem}len_keep", int((~masked).sum()))


def surely(scores: torch.Tensor, ratio: float) -> torch.Tensor:
    """Mark those with more votes than the last that is in."""
    votes, least = ballot(scores, ratio)
    return votes > least


def possibly(scores: torch.Tensor, ratio: float) -> torch.Tensor:
    """Mark those with as many votes as the last that is in."""
    votes, least = ballot(scores, ratio)
    return votes >= least


def ballot(scores: torch.Tensor, ratio: float) -> tuple[torch.Tensor, torch.Tensor]:
    votes = torch.stack([high_mask(row[None], ratio) for row in scores]).sum(dim=0)
    count = int(high_mask(scores, ratio).sum())
    return votes, votes.sort(descending=True).values[count - 1]


def learns(case: Case) -> None:
    model = golden.model(case.arch, "student")
    for name in case.names("mask"):
        stem = f"mask.{name}."
        output = model(case.x[case.given(f"{stem}keep")])
        compare_output(case, f"{stem}student.", output)
        compare_losses(case, stem, model, output)


def compare_losses(case: Case, stem: str, model: MILModel, output: MILOutput) -> None:
    manifest = golden.manifest()
    loss = torch.stack([model.loss(output, label) for label in (0, 1)])
    consistency = consistency_loss(
        output.embedding,
        case.given("teacher.feat").reshape(output.embedding.shape),
        temperature_teacher=manifest["temp_t"],
    )
    case.compare(f"{stem}loss.cls_y0y1", loss)
    case.compare(f"{stem}loss.con", consistency)
    case.compare(f"{stem}loss.total_y0y1", loss + manifest["alpha"] * consistency)


def learns_in_ascending_order(case: Case) -> None:
    """Keep the bag's order, as we do, and come to what the authors' code then gives."""
    model = golden.model(case.arch, "student")
    for name in case.names("mask"):
        kept = case.given(f"mask.{name}.keep").sort().values
        output = model(case.x[kept])
        stem = f"mask.{name}.student"
        has_own = f"{stem}_sorted.logits" in case  # a model that minds the order
        compare_output(case, f"{stem}_sorted." if has_own else f"{stem}.", output)
