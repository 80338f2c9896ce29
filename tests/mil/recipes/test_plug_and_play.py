"""Recipes work around any model: those of the folder, and one that only this file knows."""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_bags import CLASSES, make_bag
from made_models import small
from torch import Tensor, nn

from napari_mhim import _parts
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.config import MODELS, RECIPES, TrainConfig
from napari_mhim.mil.model import MILModel, MILOutput
from napari_mhim.mil.predict import Predictor
from napari_mhim.mil.result import SlideResult
from napari_mhim.mil.train import FitDone, fit

MASKS: dict[str, dict[str, float]] = {
    "as it comes": {},
    "high": {"mask_ratio_high": 0.2},
    "random high": {"mask_ratio_high": 0.2, "high_keep_share": 0.5},
    "low": {"mask_ratio_high": 0.0, "mask_ratio_low": 0.3},
    "random": {"mask_ratio_high": 0.0, "mask_ratio_random": 0.3},
    "hybrid": {
        "mask_ratio_high": 0.1,
        "high_keep_share": 0.5,
        "mask_ratio_low": 0.2,
        "mask_ratio_random": 0.3,
    },
}


def takes(recipe: str, options: dict[str, float]) -> bool:
    config = _parts.load(RECIPES, recipe).Config
    return options.keys() <= {field.name for field in fields(config)}


# the last that a recipe takes is its richest; plain takes only the first
RECIPE_MASKS = [
    (recipe, mask)
    for recipe in _parts.names(RECIPES)
    for mask, options in MASKS.items()
    if takes(recipe, options)
]


class SoftMax(MILModel):
    """Instances are judged one by one, and the soft maximum of each class counts."""

    branches = ("first class", "second class")

    def __init__(self, in_dim: int, n_classes: int, hidden: int) -> None:
        super().__init__()
        self.projection = nn.Sequential(nn.Linear(in_dim, hidden), nn.Tanh())
        self.judge = nn.Linear(hidden, n_classes)

    def aggregate(self, h: Tensor) -> MILOutput:
        judged = self.judge(h)  # (N, C)
        weights = judged.detach().softmax(dim=0).T  # (C, N)
        return MILOutput(
            logits=judged.logsumexp(dim=0),
            embedding=weights @ h,
            scores=weights,
            attention=weights,
            weigh=lambda: (judged - judged.mean(dim=1, keepdim=True)).detach(),
        )


def build(in_dim: int, n_classes: int, hidden: int = 8) -> SoftMax:
    """Make this file a part, as ``mil/models/abmil.py`` is one."""
    return SoftMax(in_dim, n_classes, hidden)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Install a package whose entry point names this file; give the model's name."""
    package = tmp_path / "site" / "made_model-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Name: made-model\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(f"[{MODELS}]\nsoft_max = {__name__}\n")
    monkeypatch.syspath_prepend(package.parent)
    _parts._foreign.cache_clear()
    yield "soft_max"
    _parts._foreign.cache_clear()


def train(run: Path, **settings: Any) -> Bundle:
    bags = [make_bag(index, index % 2, n=30) for index in range(6)]
    config = TrainConfig(epochs=2, lr=2e-3, device="cpu", threads=1, **settings)
    done = list(fit(bags[:4], bags[4:], CLASSES, config, run))[-1]
    assert isinstance(done, FitDone)
    return Bundle.open(done.bundle_path)


def assert_is_of(result: SlideResult, bundle: Bundle, n: int) -> None:
    assert result.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert result.attention.shape == (len(result.branches), n)
    assert result.evidence.shape == (n, len(CLASSES))
    assert result.teacher_scores.shape == (n,)
    assert np.isfinite(result.contribution).all()
    assert result.mask.sum() == np.ceil(bundle.config.mask_ratio_high * n)


def test_a_model_from_elsewhere_is_listed_with_the_rest(installed: str):
    assert installed in _parts.names(MODELS)
    assert "abmil" in _parts.names(MODELS)


@pytest.mark.parametrize("recipe", _parts.names(RECIPES))
def test_a_model_from_elsewhere_is_trained_kept_and_predicts(
    recipe: str, installed: str, tmp_path: Path
):
    bundle = train(
        tmp_path / "run", model=installed, model_options={"hidden": 6}, recipe=recipe
    )
    assert (bundle.config.model, bundle.config.recipe) == (installed, recipe)
    bag = make_bag(20, 1, n=50)
    result = Predictor(bundle, "cpu").predict(bag)
    assert_is_of(result, bundle, 50)
    assert result.branches == SoftMax.branches
    # by hand, from the weights on disk
    weights = bundle.student("cpu").state_dict()
    h = np.tanh(
        bag.features @ weights["projection.0.weight"].numpy().T
        + weights["projection.0.bias"].numpy()
    )
    judged = h @ weights["judge.weight"].numpy().T + weights["judge.bias"].numpy()
    likely = np.exp(judged).sum(axis=0)
    np.testing.assert_allclose(result.probabilities, likely / likely.sum(), rtol=1e-4)


@pytest.mark.parametrize("model", _parts.names(MODELS))
@pytest.mark.parametrize(("recipe", "mask"), list(dict(RECIPE_MASKS).items()))
def test_every_model_is_trained_by_every_recipe_kept_and_predicts(
    recipe: str, mask: str, model: str, tmp_path: Path
):
    bundle = train(
        tmp_path / "run",
        model=model,
        model_options=small(model),
        recipe=recipe,
        recipe_options=MASKS[mask],
    )
    assert (bundle.config.model, bundle.config.recipe) == (model, recipe)
    assert_is_of(Predictor(bundle, "cpu").predict(make_bag(20, 1, n=50)), bundle, 50)


@pytest.mark.parametrize("model", _parts.names(MODELS))
@pytest.mark.parametrize(("recipe", "mask"), RECIPE_MASKS)
def test_every_recipe_and_mask_takes_a_step_around_every_model(
    recipe: str, mask: str, model: str
):
    torch.manual_seed(0)
    part, build_model = _parts.load(RECIPES, recipe), _parts.load(MODELS, model).build
    student, baseline = (build_model(6, 3, **small(model)) for _ in range(2))
    made = part.build(student, part.Config(**MASKS[mask]), baseline.state_dict())
    x = torch.randn(40, 6)
    made.prepare([(x, 2)])
    optimiser = torch.optim.SGD(made.student.parameters(), lr=0.1)
    before = made.student.projection[0].weight.clone()
    losses = made.losses(x, 2, 0, 10)
    losses.total.backward()
    optimiser.step()
    made.after_step(0, 10)
    assert losses.total.isfinite()
    assert 1 <= losses.kept <= losses.total_instances == 40
    assert (losses.kept < 40) == (made.teacher is not None)
    after = made.student.projection[0].weight
    assert not after.equal(before)
    assert after.isfinite().all()
    assert made.teacher is None or all(
        p.grad is None for p in made.teacher.parameters()
    )
