"""One stage's steps: gradients of several bags, rare classes, and a kill between two bags."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_bags import CLASSES, make_bag, make_bags, small_config

from napari_mhim import _parts
from napari_mhim.events import Note
from napari_mhim.mil.bags import Bag
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.config import MODELS, TrainConfig
from napari_mhim.mil.order import epoch_order
from napari_mhim.mil.stage import EpochDone, Stage
from napari_mhim.mil.train import fit

STILL = {"hidden": 16, "attention_dim": 8, "dropout": 0.0}


def plain(**changes: Any) -> TrainConfig:
    values = {"recipe": "plain", "recipe_options": {}, "model_options": STILL}
    return small_config(**{**values, "epochs": 1, **changes})


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list, list]]:
    """Weights before each step of the optimiser, and the gradients it is given."""
    seen: list[tuple[list, list]] = []
    step = torch.optim.Adam.step

    def spied(self: torch.optim.Adam, *args: Any) -> Any:
        parameters = self.param_groups[0]["params"]
        weights = [p.detach().clone() for p in parameters]
        seen.append((weights, [p.grad.clone() for p in parameters]))
        return step(self, *args)

    monkeypatch.setattr(torch.optim.Adam, "step", spied)
    return seen


@pytest.mark.parametrize("balance", ["none", "loss"])
@pytest.mark.parametrize("accumulate", [1, 2, 3, 7])
def test_a_steps_gradient_is_the_mean_of_its_bags(
    tmp_path: Path, steps: list, accumulate: int, balance: str
) -> None:
    """The oracle: one graph over all bags of the batch, each weighted for its class."""
    labels = [0, 0, 0, 0, 0, 1, 1]
    bags = [make_bag(i, label) for i, label in enumerate(labels)]
    config = plain(accumulate=accumulate, balance=balance)
    list(fit(bags, [], CLASSES, config, tmp_path / "run"))
    model = Bundle.open(tmp_path / "run" / "bundle").student().train()
    model.requires_grad_(True)
    weight = {0: 1.0, 1: 1.0} if balance == "none" else {0: 7 / 10, 1: 7 / 4}
    order = epoch_order(labels, 0, config.seed, config.balance)
    assert len(steps) == -(-7 // accumulate)
    for number, (weights, gradients) in enumerate(steps):
        members = order[number * accumulate : (number + 1) * accumulate]
        with torch.no_grad():
            for parameter, value in zip(model.parameters(), weights, strict=True):
                parameter.copy_(value)
        losses = [
            weight[labels[i]]
            * model.loss(model(torch.from_numpy(bags[i].features)), labels[i])
            for i in members
        ]
        wanted = torch.autograd.grad(
            torch.stack(losses).mean(), list(model.parameters())
        )
        for ours, theirs in zip(gradients, wanted, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def rare(label: int, index: int, n: int = 40) -> Bag:
    """Positives are few and lie apart along one feature alone."""
    bag = make_bag(index, 0, n=n)
    features = bag.features.copy()
    features[:4, 0] += 3.0 * label
    return replace(bag, features=features, label=label)


def test_a_rare_class_is_drawn_as_often_as_the_common_one(tmp_path: Path) -> None:
    bags = [rare(int(i < 2), i) for i in range(20)]
    drawn: list[int] = []
    losses = Stage._losses

    def counted(self: Stage, index: int, total: int) -> Any:
        drawn.append(self._labels[index])
        return losses(self, index, total)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stage, "_losses", counted)
        list(fit(bags, [], CLASSES, plain(epochs=5), tmp_path / "run"))
    assert len(drawn) == 100
    assert sum(drawn) == 50


@pytest.mark.parametrize("balance", ["sampling", "loss"])
def test_helping_a_rare_class_raises_its_score(tmp_path: Path, balance: str) -> None:
    bags = [rare(int(i < 2), i) for i in range(20)]
    scores = {}
    for name in (balance, "none"):
        config = plain(epochs=6, balance=name, lr=5e-3)
        list(fit(bags, [], CLASSES, config, tmp_path / name))
        model = Bundle.open(tmp_path / name / "bundle").student()
        found = [model.probabilities(model(torch.from_numpy(b.features))) for b in bags]
        scores[name] = float(torch.stack(found[:2])[:, 1].mean().detach())
    assert scores[balance] > scores["none"]


class Killed(BaseException):
    """What ends the process in a test: nothing may catch it."""


@pytest.mark.parametrize("bags_seen", [1, 7, 14, 20, 33])
def test_a_kill_between_two_bags_changes_no_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bags_seen: int
) -> None:
    """Six bags an epoch, three epochs of baseline, three of MHIM."""
    bags = make_bags(10)
    arguments = (bags[:6], bags[6:], CLASSES, small_config())
    list(fit(*arguments, tmp_path / "whole"))
    losses, left = Stage._losses, [bags_seen]

    def dying(self: Stage, index: int, total: int) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return losses(self, index, total)

    with monkeypatch.context() as patch:
        patch.setattr(Stage, "_losses", dying)
        with pytest.raises(Killed):
            list(fit(*arguments, tmp_path / "killed"))
    torch.manual_seed(bags_seen)
    list(fit(*arguments, tmp_path / "killed"))
    for name in ("bundle/model.safetensors", "baseline/bundle/model.safetensors"):
        whole, killed = tmp_path / "whole" / name, tmp_path / "killed" / name
        assert whole.read_bytes() == killed.read_bytes()


def _small_options(build: Callable[..., Any]) -> dict[str, Any]:
    known = inspect.signature(build).parameters
    sizes = {
        "hidden": 16,
        "attention_dim": 8,
        "heads": 2,
        "head_dim": 8,
        "landmarks": 8,
    }
    return {name: value for name, value in sizes.items() if name in known}


@pytest.mark.parametrize("recipe", ["mhim", "mhim_v2"])
@pytest.mark.parametrize("model", _parts.names(MODELS))
def test_every_model_goes_on_from_a_checkpoint_to_the_same_bits(
    tmp_path: Path, model: str, recipe: str
) -> None:
    """With everything that has a state: schedules, chance in masks, a dropping teacher."""
    config = small_config(
        model=model,
        model_options=_small_options(_parts.load(MODELS, model).build),
        recipe=recipe,
        recipe_options={
            "mask_ratio_high": 0.2,
            "high_schedule": "cosine",
            "high_keep_share": 0.5,
            "mask_ratio_random": 0.2,
            "momentum": 0.9,
            "momentum_schedule": "cosine",
            "teacher_dropout": True,
        },
        epochs=2,
        accumulate=2,
    )
    bags = make_bags(6)
    arguments = (bags[:4], bags[4:], CLASSES, config)
    list(fit(*arguments, tmp_path / "whole"))
    job = fit(*arguments, tmp_path / "stopped")
    for event in job:
        if isinstance(event, EpochDone) and (event.stage, event.epoch) == (recipe, 1):
            break
    job.close()
    np.random.default_rng(0).random()
    torch.manual_seed(99)
    list(fit(*arguments, tmp_path / "stopped"))
    for name in ("bundle/model.safetensors", "baseline/bundle/model.safetensors"):
        whole, stopped = tmp_path / "whole" / name, tmp_path / "stopped" / name
        assert whole.read_bytes() == stopped.read_bytes()


def test_amp_on_the_cpu_is_told_and_changes_nothing(tmp_path: Path) -> None:
    bags = make_bags(6)
    weights = []
    for amp in (False, True):
        run = tmp_path / str(amp)
        events = list(fit(bags[:4], bags[4:], CLASSES, plain(amp=amp), run))
        told = [e.text for e in events if isinstance(e, Note) and "amp" in e.text]
        assert bool(told) == amp
        weights.append((run / "bundle" / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_training_never_stops_before_the_least_epochs(tmp_path: Path) -> None:
    bags = make_bags(10)
    counts = []
    for least in (0, 9):
        config = plain(
            epochs=20, patience=1, settle=0.0, min_epochs=least, lr=0.1, balance="none"
        )
        job = fit(bags[:6], bags[6:], CLASSES, config, tmp_path / str(least))
        counts.append(sum(isinstance(event, EpochDone) for event in job))
    assert counts[0] < 9 <= counts[1] < 20
