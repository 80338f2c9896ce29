"""Bags at the edge of what can be learnt from, and training that leaves the numbers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_bags import CLASSES, make_bag, make_bags, small_config

from napari_mhim.errors import ConfigError, TrainingError
from napari_mhim.mil.bags import Bag
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.checkpoint import load_state
from napari_mhim.mil.config import TrainConfig
from napari_mhim.mil.finite import is_finite_throughout
from napari_mhim.mil.predict import Predictor
from napari_mhim.mil.recipe import Losses
from napari_mhim.mil.recipes.plain.training import Plain
from napari_mhim.mil.train import EpochDone, FitDone, fit

PLAIN = "napari_mhim.mil.recipes.plain.training.Plain"


def plain_config(**changes: object) -> TrainConfig:
    return small_config(**{"recipe": "plain", "recipe_options": {}, **changes})


def train(run: Path, bags: list[Bag], config: TrainConfig) -> list:
    return list(fit(bags[:6], bags[6:], CLASSES, config, run))


def weights_of(run: Path) -> bytes:
    return (run / "bundle" / "model.safetensors").read_bytes()


def huge(bag: Bag) -> Bag:
    """Give a slide whose features are finite, and overflow as soon as they are added."""
    return replace(bag, features=np.full_like(bag.features, 3e38))


class LossIsNan(Plain):
    """Plain training whose loss is NaN at one step of the third epoch."""

    def losses(self, x: torch.Tensor, label: int, step: int, total: int) -> Losses:
        found = super().losses(x, label, step, total)
        bad = torch.full_like(found.total, torch.nan)
        return replace(found, total=bad) if step == 14 else found


class GradientIsNan(Plain):
    """Plain training with one step whose loss is fine and whose gradient is not."""

    at = 14

    def losses(self, x: torch.Tensor, label: int, step: int, total: int) -> Losses:
        found = super().losses(x, label, step, total)
        # the root of 0 is 0, and its slope has no end
        zero = sum((p * 0).abs().sqrt().sum() for p in self.parameters())
        return replace(found, total=found.total + zero) if step == self.at else found


class LastGradientIsNan(GradientIsNan):
    """The same at the last step of the third epoch, after which no loss is asked for."""

    at = 17


@pytest.mark.parametrize(
    ("recipe", "sentence"),
    [
        (LossIsNan, r"the loss is nan: slide 'slide-0\d' in epoch 3 of plain"),
        (GradientIsNan, r"the weights are no numbers any more after a step: slide 's"),
        (LastGradientIsNan, r"no numbers any more after a step: slide 'slide-0\d' in"),
    ],
)
def test_the_slide_is_named_and_the_last_good_checkpoint_goes_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recipe: type[Plain],
    sentence: str,
) -> None:
    run, config, bags = tmp_path / "run", plain_config(epochs=5), make_bags(10)
    with monkeypatch.context() as patched:
        patched.setattr(PLAIN, recipe)
        with pytest.raises(TrainingError, match=sentence) as failed:
            train(run, bags, config)
    assert "epoch 2 is kept" in str(failed.value)
    assert "lower the learning rate (now 0.002) in a new run" in str(failed.value)
    state = load_state(run / "checkpoint.pt", "cpu")
    assert state["standing"]["epoch"] == 2
    assert all(t.isfinite().all() for t in state["recipe"].values())
    # usable: without what went wrong, the run comes to the bits of one that never did
    train(run, bags, config)
    train(tmp_path / "whole", bags, config)
    assert weights_of(run) == weights_of(tmp_path / "whole")


def test_the_slide_before_is_blamed_for_weights_and_not_the_one_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    bags = make_bags(10)

    class Watching(GradientIsNan):
        def losses(self, x: torch.Tensor, label: int, step: int, total: int) -> Losses:
            names = [b.name for b in bags if np.array_equal(b.features, x.numpy())]
            shown.append(names[0])
            return super().losses(x, label, step, total)

    monkeypatch.setattr(PLAIN, Watching)
    with pytest.raises(TrainingError) as failed:
        train(tmp_path / "run", bags, plain_config(epochs=5))
    assert repr(shown[14]) in str(failed.value)
    assert repr(shown[15]) not in str(failed.value)


def test_a_lower_learning_rate_is_a_new_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, bags = tmp_path / "run", make_bags(10)
    with monkeypatch.context() as patched:
        patched.setattr(PLAIN, LossIsNan)
        with pytest.raises(TrainingError):
            train(run, bags, plain_config(epochs=5))
    lower = plain_config(epochs=5, lr=1e-4)
    with pytest.raises(
        ConfigError, match=r"begun with lr = 0\.002, asked is 0\.0001; .*another run"
    ):
        train(run, bags, lower)
    assert isinstance(train(tmp_path / "lower", bags, lower)[-1], FitDone)


def test_features_out_of_all_proportion_name_their_slide(tmp_path: Path) -> None:
    bags = make_bags(10)
    bags[3] = huge(bags[3])
    with pytest.raises(
        TrainingError,
        match=r"slide 'slide-03' in epoch 1 .*largest feature 3e\+38.*no epoch was done",
    ):
        train(tmp_path / "run", bags, plain_config())
    assert not (tmp_path / "run" / "checkpoint.pt").exists()
    assert not (tmp_path / "run" / "bundle").exists()


def test_a_validation_slide_without_a_score_is_named(tmp_path: Path) -> None:
    bags = make_bags(10)
    bags[8] = huge(bags[8])
    with pytest.raises(
        TrainingError, match="the validation score is nan: slide 'slide-08' in epoch 1"
    ):
        train(tmp_path / "run", bags, plain_config())
    assert not (tmp_path / "run" / "best.pt").exists()


def test_a_learning_rate_that_ruins_the_weights_is_told(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"now 1e\+30"):
        train(tmp_path / "run", make_bags(10), plain_config(lr=1e30))


def test_the_stage_that_failed_is_named_and_the_baseline_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_mhim.mil.recipes.mhim.training import Mhim

    class Failing(Mhim):
        def losses(self, x: torch.Tensor, label: int, step: int, total: int) -> Losses:
            found = super().losses(x, label, step, total)
            return replace(found, total=found.total / 0) if step > 8 else found

    monkeypatch.setattr("napari_mhim.mil.recipes.mhim.training.Mhim", Failing)
    with pytest.raises(TrainingError, match=r"the loss is inf: .*in epoch 2 of mhim"):
        train(tmp_path / "run", make_bags(10), small_config())
    assert Bundle.open(tmp_path / "run" / "baseline" / "bundle").student()


def constant(bag: Bag) -> Bag:
    return replace(bag, features=np.ones_like(bag.features))


def alike(bag: Bag) -> Bag:
    """Give a slide of one patch, many times: all scores are equal."""
    return replace(bag, features=np.repeat(bag.features[:1], len(bag), axis=0))


def single(bag: Bag) -> Bag:
    return replace(bag, features=bag.features[:1], grid=make_bag(0, 0, n=1).grid)


@pytest.mark.parametrize("change", [constant, alike, single])
@pytest.mark.parametrize(
    "options", [{"mask_ratio_high": 0.3}, {"mask_ratio_high": "auto"}]
)
def test_bags_with_nothing_to_tell_train_to_a_model_that_answers(
    tmp_path: Path, change: object, options: dict
) -> None:
    bags = [change(bag) for bag in make_bags(10)]
    config = small_config(recipe_options=options)
    events = train(tmp_path / "run", bags, config)
    epochs = [event for event in events if isinstance(event, EpochDone)]
    assert all(np.isfinite(list(event.losses.values())).all() for event in epochs)
    predictor = Predictor(Bundle.open(events[-1].bundle_path), "cpu")
    result = predictor.predict(bags[0])
    assert result.probabilities.sum() == pytest.approx(1)
    assert not result.mask.all()


def test_scores_that_are_all_equal_have_an_auc_of_a_half(tmp_path: Path) -> None:
    events = train(
        tmp_path / "run", [constant(b) for b in make_bags(10)], plain_config()
    )
    assert events[-1].metrics["auc"]["value"] == 0.5


def test_weights_and_buffers_are_looked_at() -> None:
    module = torch.nn.BatchNorm1d(3)
    assert is_finite_throughout(module)
    module.running_mean[1] = torch.inf
    assert not is_finite_throughout(module)
    assert is_finite_throughout(torch.nn.ReLU())
