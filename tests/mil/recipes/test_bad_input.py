"""What every recipe with a teacher does with bags and settings that ask for trouble."""

from dataclasses import fields
from typing import Any

import pytest
import torch
from made_models import small
from torch import Tensor

from napari_mhim import _parts
from napari_mhim.errors import ConfigError
from napari_mhim.mil.config import MODELS, RECIPES
from napari_mhim.mil.models import abmil
from napari_mhim.mil.recipe import Losses

MASKING = [
    name
    for name in _parts.names(RECIPES)
    if "mask_ratio_high" in {f.name for f in fields(_parts.load(RECIPES, name).Config)}
]
every_recipe = pytest.mark.parametrize("recipe", MASKING)
every_model = pytest.mark.parametrize("model", _parts.names(MODELS))
ALL = {"mask_ratio_high": 0.99, "mask_ratio_low": 0.99, "mask_ratio_random": 0.99}


def step(recipe: str, model: str, x: Tensor, **options: Any) -> Losses:
    """Take a step on a bag and say what it came to; the weights must stay finite."""
    torch.manual_seed(0)
    part = _parts.load(RECIPES, recipe)
    built = _parts.load(MODELS, model).build(x.shape[1], 2, **small(model))
    given = {"mask_ratio_high": 0.2, "smallest_masked": 1, **options}
    config = part.Config(**given, teacher_init="student", student_init="none")
    made = part.build(built, config)
    optimiser = torch.optim.Adam(p for p in made.parameters() if p.requires_grad)
    losses: Losses = made.losses(x, 1, 0, 2)
    losses.total.backward()
    optimiser.step()
    made.after_step(0, 2)
    assert losses.total.isfinite()
    assert all(
        tensor.isfinite().all()
        for tensor in made.state_dict().values()
        if isinstance(tensor, Tensor)
    )
    return losses


@every_recipe
@every_model
def test_constant_features(recipe: str, model: str):
    """Every score is equal: as many are hidden as were asked for."""
    assert step(recipe, model, torch.ones(40, 5)).kept == 32


@every_recipe
@every_model
def test_features_of_nothing(recipe: str, model: str):
    assert step(recipe, model, torch.zeros(40, 5)).kept == 32


@every_recipe
@every_model
@pytest.mark.parametrize("n", [1, 2, 3])
def test_ratios_that_would_hide_everything(recipe: str, model: str, n: int):
    assert step(recipe, model, torch.rand(n, 5), **ALL).kept == 1


@every_recipe
@every_model
def test_a_bag_of_one(recipe: str, model: str):
    losses = step(recipe, model, torch.rand(1, 5))
    assert (losses.kept, losses.total_instances) == (1, 1)


@every_recipe
@pytest.mark.parametrize(
    ("in_dim", "n_classes", "words"),
    [
        (5, 2, r"projection.0.weight is \(8, 5\) there and \(8, 4\) here"),
        (4, 3, r"head.bias is \(3,\) there and \(2,\) here"),
    ],
)
def test_a_baseline_of_another_width_or_class_count(
    recipe: str, in_dim: int, n_classes: int, words: str
):
    part = _parts.load(RECIPES, recipe)
    other = abmil.build(in_dim, n_classes, hidden=8).state_dict()
    with pytest.raises(ConfigError, match=words):
        part.build(abmil.build(4, 2, hidden=8), part.Config(), other)


@every_recipe
def test_a_baseline_of_another_model(recipe: str):
    part = _parts.load(RECIPES, recipe)
    other = _parts.load(MODELS, "mean").build(4, 2, hidden=8).state_dict()
    with pytest.raises(ConfigError, match=r"is missing there and .* here; width"):
        part.build(abmil.build(4, 2, hidden=8), part.Config(), other)


@every_recipe
@every_model
def test_half_precision(recipe: str, model: str):
    """Not an error: bfloat16 where a GPU computes, as ``TrainConfig.amp`` asks."""
    with torch.autocast("cpu", torch.bfloat16):
        losses = step(recipe, model, torch.rand(40, 5))
    assert losses.kept == 32


def test_half_precision_tells_instances_of_a_large_bag_apart():
    torch.manual_seed(0)
    model = abmil.build(8, 2, hidden=16).eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        scores = model(torch.rand(20_000, 8)).scores_by("class")
    assert len(scores.unique()) > 5_000  # 1 100 if the scores were halves too
