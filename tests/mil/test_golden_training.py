"""Parity with the authors' training: gradients, one step and five, momentum teacher."""

from collections.abc import Mapping
from typing import Any

import golden
import pytest
import torch
from golden import TOLERANCE, assert_close
from torch import Tensor

from napari_mhim.mil.model import MILModel
from napari_mhim.mil.recipe import Losses, Recipe
from napari_mhim.mil.recipes import mhim
from napari_mhim.mil.teacher import ema_update

pytestmark = pytest.mark.usefixtures("test_data")
every_arch = pytest.mark.parametrize("arch", golden.archs())


@every_arch
def test_teacher_moves_as_the_authors_does(arch: str):
    teacher, student = golden.model(arch, "teacher"), golden.model(arch, "student")
    ema_update(teacher, student, 0.9)
    digests = golden.manifest()["v1"][arch]["ema_mm0.9_of_student_into_teacher"]
    assert_digests(dict(teacher.named_parameters()), teacher, digests)


@every_arch
def test_five_steps_come_to_the_authors_weights(arch: str):
    told = golden.manifest()["v1"][arch]["train"]
    recipe = golden_recipe(arch, told)
    optimiser = torch.optim.Adam(
        recipe.student.parameters(), lr=told["lr"], weight_decay=told["weight_decay"]
    )
    for step, wanted in enumerate(told["traj"]):
        losses = recipe.losses(golden_bag(arch, wanted["N"]), wanted["label"], step, 5)
        assert_losses(losses, wanted)
        optimiser.zero_grad()
        losses.total.backward()
        if step == 0:
            gradients = {k: p.grad for k, p in recipe.student.named_parameters()}
            assert_digests(gradients, recipe.student, told["grads_step0"])
        optimiser.step()
        recipe.after_step(step, 5)
        if step == 0:
            assert_weights(recipe, told["after_step0"])
    assert_weights(recipe, told["final"])


def golden_recipe(arch: str, told: Mapping[str, Any]) -> Recipe:
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
    )
    recipe = mhim.build(golden.model(arch, "student"), config)
    recipe.teacher.load_state_dict(golden.model(arch, "teacher").state_dict())
    return recipe


def golden_bag(arch: str, n: int) -> Tensor:
    (case,) = (
        param.values[0]
        for param in golden.cases()
        if param.values[0].path.stem == f"v1_{arch}_N{n}"
    )
    return case.x


def assert_losses(losses: Losses, wanted: Mapping[str, float]) -> None:
    ours = (losses.parts["classification"], losses.parts["consistency"], losses.total)
    for value, name in zip(ours, ("logit_loss", "con_loss", "loss"), strict=True):
        assert value.item() == pytest.approx(wanted[name], rel=TOLERANCE)
    assert losses.kept == wanted["len_keep"]


def assert_weights(recipe: Recipe, digests: Mapping[str, Any]) -> None:
    student, teacher = recipe.student, recipe.teacher
    assert_digests(dict(student.named_parameters()), student, digests["student"])
    assert_digests(dict(teacher.named_parameters()), teacher, digests["teacher"])


def assert_digests(
    tensors: Mapping[str, Tensor | None],
    model: MILModel,
    digests: Mapping[str, Mapping[str, Any]],
) -> None:
    """Compare tensors with their recorded length, first values and sum."""
    for ours, theirs in golden.official_keys(model).items():
        tensor, digest = tensors[ours], digests[theirs]
        assert tensor is not None
        values = tensor.detach().flatten().double()
        norm = digest["l2"]
        assert values.norm().item() == pytest.approx(norm, rel=TOLERANCE)
        assert_close(values[:8], torch.tensor(digest["head"]))
        # a sum of n values is as sure as their length times the root of n
        slack = TOLERANCE * norm * len(values) ** 0.5
        assert values.sum().item() == pytest.approx(
            digest.get("sum", values.sum().item()), abs=slack
        )
