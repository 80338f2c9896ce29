"""Parity with the authors' training: layers, gradients, one step and five, momentum teacher."""

import hashlib
from collections.abc import Mapping
from functools import cache, partial
from math import ceil, prod
from pathlib import Path
from typing import Any

import golden
import pytest
import torch
from golden import TOLERANCE, Told, assert_close
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from napari_mhim.mil.model import MILModel
from napari_mhim.mil.models._filters import SequenceFilter
from napari_mhim.mil.models.transmil import TransMIL
from napari_mhim.mil.official import look
from napari_mhim.mil.recipe import Losses, Recipe
from napari_mhim.mil.recipes import mhim
from napari_mhim.mil.teacher import ema_update

pytestmark = pytest.mark.usefixtures("test_data")
FAULTY = {"online_encoder.layer1.attn.res_conv.weight"}
"""Recorded wrong by 2 %: torch's CPU convolution fails at 256 rows (see models/_filters.py)."""
DOT = "__"
"""Stands for the dot in names of idle layers: a parameter's name has none."""


@pytest.mark.parametrize("arch", golden.archs())
def test_every_number_of_an_architecture_is_ours(arch: str):
    told = Told(golden.manifest()["v1"][arch])
    has_the_authors_layers(arch, told)
    teacher_moves(arch, told["ema_mm0.9_of_student_into_teacher"])
    first_gradients(arch, told["train"])
    five_steps(arch, told["train"])
    assert told.unread() == set()


def test_every_part_of_the_manifest_is_looked_at():
    manifest = Told(golden.manifest())
    # what made the numbers: for people
    about = [manifest[name] for name in ("versions", "v1_commit", "v2_commit")]
    assert all(about)
    for param in golden.cases(golden.FIRST):
        case = param.values[0]
        assert case.x.shape[1] == manifest["in_dim"]
        assert set(case.names("mask")) == set(manifest["masks_v1"])
    # in test_golden and test_golden_v2, and above
    elsewhere = {"temp_t", "alpha", "masks_v1", "v1", "v2", "versions"}
    sections = {path.split("/")[1] for path in manifest.unread()}
    assert sections == elsewhere | {"official_ckpt"}


def test_published_checkpoints_are_recognised_by_their_tensors(test_data: Path):
    told = Told(golden.manifest()["official_ckpt"])
    for kind in told:
        tensors = shaped(told[kind]["keys"])
        found = golden.layout.read(tensors, kind)
        assert found is not None, kind
        recognised = len(found.weights) + len(unused(tensors, found.model))
        assert recognised == len(tensors)
        name, digest = told[kind]["file"], told[kind]["sha256"]
        for path in test_data.rglob(name):  # not all of them may be handed on
            assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
            assert look(path, act="relu").model == found.model
    assert told.unread() == set()


def has_the_authors_layers(arch: str, told: Told) -> None:
    shapes = told["state_dict_1024"]
    tensors = shaped(shapes)
    found = golden.layout.read(tensors, arch)
    assert found is not None
    assert sum(prod(shapes[key]) for key in shapes) == told["params_at_1024"]
    ours = sum(tensor.numel() for tensor in found.weights.values())
    idle = sum(tensor.numel() for tensor in unused(tensors, found.model).values())
    assert ours + idle == told["params_at_1024"]


def shaped(shapes: Told) -> dict[str, Tensor]:
    return {key: torch.empty(shapes[key]) for key in shapes}


def unused(tensors: Mapping[str, Tensor], model: str) -> dict[str, Tensor]:
    """Give the tensors that the model of ours knows of and has no use for."""
    part = __import__(f"napari_mhim.mil.models.{model}", fromlist=["OFFICIAL_KEYS"])
    return {
        key: tensor
        for key, tensor in tensors.items()
        if part.OFFICIAL_KEYS.get(key.rpartition(".")[0]) == ""
    }


def with_idle(arch: str, role: str) -> MILModel:
    """Give a golden model with the layers of theirs it has no use for, as they carry them."""
    built = golden.model(arch, role)
    path = golden.ROOT / "weights" / f"v1_{arch}_{role}.safetensors"
    tensors = {key: tensor.float() for key, tensor in load_file(path).items()}
    found = golden.layout.read(tensors, arch)
    assert found is not None
    built.idle = nn.ParameterDict(
        {
            key.replace(".", DOT): value
            for key, value in unused(tensors, found.model).items()
        }
    )
    return built


def teacher_moves(arch: str, digests: Told) -> None:
    teacher, student = with_idle(arch, "teacher"), with_idle(arch, "student")
    ema_update(teacher, student, 0.9)
    assert_digests(dict(teacher.named_parameters()), teacher, digests)


def first_gradients(arch: str, told: Told) -> None:
    gradients = gradients_of(arch, told, replayed=False)
    student = with_idle(arch, "student")
    digests = told["grads_step0"]
    faulty = FAULTY & set(digests)
    right = {key: digests[key] for key in set(digests) - faulty}
    assert_digests(gradients, student, right)
    for theirs in faulty:
        (ours,) = (k for k, v in named(student).items() if v == theirs)
        double = gradients_of(arch, told, replayed=False, dtype=torch.double)
        assert_close(gradients[ours], double[ours])
        if has_fault():  # with it, ours is as wrong as theirs
            replayed = gradients_of(arch, told, replayed=True)
            assert_digests(replayed, student, {theirs: digests[theirs]})


def gradients_of(
    arch: str, told: Told, replayed: bool, dtype: torch.dtype = torch.float
) -> dict[str, Tensor | None]:
    recipe, wanted = golden_recipe(arch, told).to(dtype), told["traj"][0]
    if replayed:
        replay_fault(recipe.student)
    case = golden.first_case(arch, wanted["N"])
    x, kept = case.x.to(dtype), case.given(f"mask.{told['mask']}.keep")
    if dtype is torch.double:  # where equal votes go elsewhere
        recipe._keep = lambda x, *_: x[kept]
    losses = recipe.losses(x, wanted["label"], 0, 5)
    if dtype is torch.float:
        assert_losses(losses, wanted)
    losses.total.backward()
    return {key: p.grad for key, p in recipe.student.named_parameters()}


def five_steps(arch: str, told: Told) -> None:
    recipe = golden_recipe(arch, told)
    if isinstance(recipe.student, TransMIL) and not has_fault():
        pytest.skip("torch is right here, and the recorded steps have its fault")
    replay_fault(recipe.student)
    optimiser = torch.optim.Adam(
        recipe.student.parameters(), lr=told["lr"], weight_decay=told["weight_decay"]
    )
    assert told["order"].split(", ")[-3:] == ["backward", "Adam", "EMA"]
    for step, wanted in enumerate(told["traj"].values()):
        case = golden.first_case(arch, wanted["N"])
        losses = recipe.losses(case.x, wanted["label"], step, 5)
        assert_losses(losses, wanted)
        optimiser.zero_grad()
        losses.total.backward()
        optimiser.step()
        recipe.after_step(step, 5)
        if step == 0:
            assert_weights(recipe, told["after_step0"])
    assert_weights(recipe, told["final"])


def golden_recipe(arch: str, told: Told) -> Recipe:
    manifest = golden.manifest()
    random, low, high, share = manifest["masks_v1"][told["mask"]]
    config = mhim.Config(
        mask_ratio_high=high,
        high_schedule="constant",
        high_keep_share=share,
        mask_ratio_low=low,
        mask_ratio_random=random,
        teacher_init="student",
        student_init="none",
        momentum=told["ema_mm"],
        consistency_weight=told["alpha"],
        temperature_teacher=manifest["temp_t"],
        smallest_masked=1,
    )
    recipe = mhim.build(with_idle(arch, "student"), config)
    recipe.teacher.load_state_dict(with_idle(arch, "teacher").state_dict())
    if isinstance(recipe.student, TransMIL):
        recipe._keep = partial(authors_choice, low=low, high=high)
        case = golden.first_case(arch, told["traj"][0]["N"])
        kept = recipe._keep(torch.arange(len(case.x)), recipe.teacher(case.x).scores)
        if not kept.equal(case.given(f"mask.{told['mask']}.keep")):
            pytest.skip("torch settles equal votes otherwise here than for the authors")
    return recipe


def authors_choice(
    x: Tensor, scores: Tensor, *_: int, low: float, high: float
) -> Tensor:
    """Keep what the authors' code keeps, in its order, which this model minds.

    Equal votes go as torch.topk happens to settle them, and the order is that of a set.
    """
    n = scores.shape[1]
    hidden = set(authors_votes(-scores, low)) | set(authors_votes(scores, high))
    return x[list(set(range(n)).difference(hidden))]


def authors_votes(scores: Tensor, ratio: float) -> list[int]:
    n = scores.shape[1]
    count = ceil(n * ratio)
    ballots = scores[None].topk(count, sorted=False).indices.flatten()
    votes = torch.bincount(ballots, minlength=n).float()
    picked: list[int] = votes[None].topk(count, sorted=False).indices[0].tolist()
    return picked


class TorchFilter(nn.Module):
    """The residual convolution as the authors have it: torch's, on zeros and values."""

    def __init__(self, ours: SequenceFilter):
        super().__init__()
        self.weight = ours.weight

    def forward(self, values: Tensor, head: int) -> Tensor:
        # the fault is that of all heads at once: the others are there, and empty
        zeros = -len(values) % 256
        padded = F.pad(values, (0, 0, zeros, 0))
        heads, reach = len(self.weight), self.weight.shape[2] // 2
        square = torch.stack([padded * (index == head) for index in range(heads)])
        filtered = F.conv2d(square[None], self.weight, padding=(reach, 0), groups=heads)
        return filtered[0, head, zeros:]


def replay_fault(student: MILModel) -> None:
    """Train with the wrong kernel gradient that torch gave the authors' code."""
    if isinstance(student, TransMIL):
        attention = student.first.attention
        attention.residual = TorchFilter(attention.residual)


@cache
def has_fault() -> bool:
    single, double = (kernel_gradient(dtype) for dtype in (torch.float, torch.double))
    return bool((single - double).norm() > 1e-3 * double.norm())


def kernel_gradient(dtype: torch.dtype) -> Tensor:
    torch.manual_seed(0)
    torchs = TorchFilter(SequenceFilter(8)).to(dtype)
    values, upstream = torch.randn(2, 8, 256, 64).to(dtype)
    filtered = torch.stack([torchs(part, head) for head, part in enumerate(values)])
    (filtered * upstream).sum().backward()
    return torchs.weight.grad.double()


def assert_losses(losses: Losses, wanted: Told) -> None:
    ours = (losses.parts["classification"], losses.parts["consistency"], losses.total)
    for value, name in zip(ours, ("logit_loss", "con_loss", "loss"), strict=True):
        assert value.item() == pytest.approx(wanted[name], rel=TOLERANCE)
    assert losses.kept == wanted["len_keep"]


def assert_weights(recipe: Recipe, digests: Told) -> None:
    for role in ("student", "teacher"):
        model = getattr(recipe, role)
        assert_digests(dict(model.named_parameters()), model, digests[role])


def assert_digests(
    tensors: Mapping[str, Tensor | None], model: MILModel, digests: Any
) -> None:
    """Compare the tensors that digests speak of; a layer without gradient has none."""
    ours = {theirs: key for key, theirs in named(model).items()}
    for theirs in digests:
        tensor, digest = tensors[ours[theirs]], digests[theirs]
        assert (tensor is None) == (digest is None)
        if tensor is not None:
            assert_digest(tensor, digest)


def named(model: MILModel) -> dict[str, str]:
    """Our parameter name -> the authors' name, idle layers included."""
    return {
        **golden.official_keys(model),
        **{f"idle.{key}": key.replace(DOT, ".") for key in model.idle},
    }


def assert_digest(tensor: Tensor, digest: Told) -> None:
    """Compare a tensor with its recorded length, first values and sum."""
    values = tensor.detach().flatten().double()
    norm = digest["l2"]
    assert values.norm().item() == pytest.approx(norm, rel=TOLERANCE)
    assert_close(values[:8], torch.tensor(digest["head"]))
    # a sum of n values is as sure as their length times the root of n
    slack = TOLERANCE * norm * len(values) ** 0.5
    if "sum" in digest:
        assert values.sum().item() == pytest.approx(digest["sum"], abs=slack)
