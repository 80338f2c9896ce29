"""Parity with the authors' code in single numbers: schedules, figures, folds, stopping."""

import re
from collections.abc import Callable
from typing import Any

import golden
import numpy as np
import pytest

from napari_mhim.mil.checkpoint import Standing
from napari_mhim.mil.cutoff import Cutoff, optimal_threshold
from napari_mhim.mil.evaluate import auc, evaluate
from napari_mhim.mil.published_folds import published_folds
from napari_mhim.mil.stage import _cosine as learning_rate
from napari_mhim.mil.teacher import cosine_momentum, cosine_ratio

pytestmark = pytest.mark.usefixtures("test_data")
NUMBER = r"([\d.e+-]+)"


def falls_or_rises_alike(name: str, values: list[float]) -> None:
    kind, start, epochs, steps = match(
        rf"(mrh|mm)_sche\({NUMBER},[01],epochs={NUMBER},niter={NUMBER}\)", name
    )
    schedule = {"mrh": cosine_ratio, "mm": cosine_momentum}[kind]
    total = int(epochs) * int(steps)
    assert len(values) == total
    ours = [schedule(float(start), step, total) for step in range(total)]
    assert ours == pytest.approx(values, rel=golden.TOLERANCE)


def learns_at_the_same_rate(name: str, values: list[float]) -> None:
    """Look for each rate among ours, in order: which epochs they are of is not recorded."""
    start, epochs = match(rf"lr_epoch\({NUMBER},T={NUMBER}\)", name)
    ours = iter(
        [
            learning_rate(float(start), epoch, int(epochs))
            for epoch in range(int(epochs))
        ]
    )
    for value in values:
        assert any(rate == pytest.approx(value, rel=golden.TOLERANCE) for rate in ours)


def judges_alike(name: str, told: golden.Told) -> None:
    for case in told.values():
        labels = np.array(case["y"])
        scores = np.array(case["p"])
        threshold = optimal_threshold(labels, scores)
        assert threshold == case["threshold"]
        probabilities = np.stack([1 - scores, scores], axis=1)
        cutoff = Cutoff(threshold, len(labels), "these")
        found = evaluate(labels, probabilities, cutoff, resamples=1)
        (_, wrong), (_, right) = found.confusion
        ours = {
            "auc": found.auc.value,
            "acc": found.accuracy.value,
            "f1": found.f1.value,
            "recall": found.sensitivity.value,
            "precision": right / (right + wrong),
        }
        assert ours == pytest.approx({figure: case[figure] for figure in ours})
        assert auc(labels, probabilities) == pytest.approx(case["auc"])


def splits_alike(name: str, told: golden.Told) -> None:
    shuffled, k, val = told["shuffled"], told["k"], told["val_ratio"]
    labels = dict(sorted(zip(shuffled, told["labels"], strict=True)))
    # the seed is not recorded: it is the one whose first fold is theirs
    folds = next(
        found
        for found in (published_folds(labels, k, val, seed) for seed in range(3000))
        if list(found[0].test) == told["folds"][0]["test"]
    )
    assert [p for p in shuffled if p in folds[0].test] == list(folds[0].test)
    for ours, theirs in zip(folds, told["folds"].values(), strict=True):
        for part in ("train", "val", "test"):
            assert list(getattr(ours, part)) == theirs[part]


def stops_alike(name: str, trace: list[Any]) -> None:
    """Follow their counter until they first stop: they leave epochs after it in the trace."""
    patience, stop_epoch = map(
        int, match(rf"early_stopping\(patience={NUMBER},stop_epoch={NUMBER}\)", name)
    )
    standing = Standing()
    for epoch, value, counter, has_stopped in trace:
        standing.epoch = epoch + 1  # we count epochs done, they from 0
        standing.take(value, loss=1.0)
        assert standing.since_best == counter
        # theirs must be past stop_epoch, ours have come to an epoch
        is_over = standing.is_over(len(trace) + 1, patience, stop_epoch + 2)
        assert is_over == has_stopped
        if is_over:
            return
    raise AssertionError("the trace never stops")


def keeps_another_order(name: str, told: golden.Told) -> None:
    """Say why not ours: kept instances stay ascending, theirs come as a set gives them.

    Which were masked is not recorded, only that the first kept ones ascend or do not.
    """
    for case in told.values():
        head, is_ascending = case["head"], case["ascending"]
        assert not is_ascending or head == sorted(head)


CHECKS: dict[str, Callable[[str, Any], None]] = {
    r"(mrh|mm)_sche\(.*\)": falls_or_rises_alike,
    r"lr_epoch\(.*\)": learns_at_the_same_rate,
    "five_scores": judges_alike,
    "cv": splits_alike,
    r"early_stopping\(.*\)": stops_alike,
    "kept_order_of_python_set": keeps_another_order,
}


@pytest.mark.parametrize("name", golden.scalars() if golden.ROOT.is_dir() else [])
def test_every_single_number_is_ours(name: str):
    (check,) = [check for kind, check in CHECKS.items() if re.fullmatch(kind, name)]
    told = golden.scalars()[name]
    if not golden.is_branch(told):
        check(name, told)
        return
    told = golden.Told(told)
    check(name, told)
    assert told.unread() == set()


def match(pattern: str, name: str) -> tuple[str, ...]:
    found = re.fullmatch(pattern, name)
    assert found is not None, name
    return found.groups()
