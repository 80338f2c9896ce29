"""The table's figures against slow, obvious versions, and what its intervals must not do."""

import itertools
import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_mhim.mil.study.compare import compare, fold_figures
from napari_mhim.mil.study.predictions import Prediction
from napari_mhim.mil.study.report import as_csv

CLASSES = ("normal", "tumour")


def predictions(
    setting: str,
    seed: int,
    n: int = 24,
    repeats: int = 1,
    folds: int = 3,
    skill: float = 1.0,
) -> list[Prediction]:
    generator = np.random.default_rng(seed)
    found = []
    for repeat in range(1, repeats + 1):
        for i in range(n):
            score = 1 / (1 + math.exp(-generator.normal(skill * (i % 2), 1.0)))
            found.append(
                Prediction(
                    setting,
                    repeat,
                    (i // 2) % folds + 1,
                    f"s{i}",
                    f"p{i // 4}-{i % 2}",  # two slides a patient
                    CLASSES[i % 2],
                    0.5,
                    (1 - score, score),
                )
            )
    return found


def slow_auc(some: Iterable[Prediction]) -> float:
    """The share of pairs in the right order, ties half."""
    scores = [(p.label, p.probabilities[1]) for p in some]
    high = [score for label, score in scores if label == "tumour"]
    low = [score for label, score in scores if label == "normal"]
    wins = [(a > b) + 0.5 * (a == b) for a, b in itertools.product(high, low)]
    return sum(wins) / len(wins)


@given(st.integers(0, 10_000), st.integers(1, 3))
def test_pooled_auc_is_the_mean_over_repeats_of_all_pairs(
    seed: int, repeats: int
) -> None:
    one = predictions("a", seed, repeats=repeats)
    two = predictions("b", seed + 1, repeats=repeats)
    first, second = compare([*one, *two], ["a", "b"], CLASSES, resamples=50)
    for row, some in ((first, one), (second, two)):
        wanted = np.mean(
            [slow_auc(p for p in some if p.repeat == r + 1) for r in range(repeats)]
        )
        assert row.pooled_auc.value == pytest.approx(wanted)
        assert row.pooled_auc.low <= row.pooled_auc.value <= row.pooled_auc.high
    difference = second.pooled_auc.value - first.pooled_auc.value
    assert second.difference.value == pytest.approx(difference)


def test_figures_of_the_folds_are_meant_and_spread() -> None:
    some = predictions("a", 4)
    (row,) = compare(some, ["a"], CLASSES, resamples=20)
    aucs, right = [], []
    for fold in (1, 2, 3):
        tested = [p for p in some if p.fold == fold]
        aucs.append(slow_auc(tested))
        tumours = [p.probabilities[1] for p in tested if p.label == "tumour"]
        right.append(np.mean([score >= 0.5 for score in tumours]))
    assert row.auc.mean == pytest.approx(np.mean(aucs))
    assert row.auc.deviation == pytest.approx(np.std(aucs, ddof=1))
    assert row.sensitivity.mean == pytest.approx(np.mean(right))
    assert (row.n_folds, row.auc.n) == (3, 3)


def test_each_fold_is_judged_at_its_own_cutoff() -> None:
    some = [replace(p, cutoff=0.0) for p in predictions("a", 0) if p.fold == 1]
    assert fold_figures(some, CLASSES).sensitivity == 1
    assert fold_figures(some, CLASSES).specificity == 0


def test_the_first_setting_is_compared_with_nothing() -> None:
    (row,) = compare(predictions("a", 0), ["a"], CLASSES, resamples=20)
    assert math.isnan(row.difference.value)
    assert "compared with" in row.difference.reason


def test_the_order_of_predictions_does_not_matter() -> None:
    some = [*predictions("a", 0), *predictions("b", 1)]
    shuffled = [some[i] for i in np.random.default_rng(0).permutation(len(some))]
    forth = compare(some, ["a", "b"], CLASSES, resamples=100)
    back = compare(shuffled, ["a", "b"], CLASSES, resamples=100)
    assert as_csv(forth) == as_csv(back)


def test_more_slides_of_the_same_patients_make_nothing_surer() -> None:
    some = [*predictions("a", 0), *predictions("b", 1)]
    again = [replace(p, slide=f"{p.slide}-again") for p in some]
    once = compare(some, ["a", "b"], CLASSES, resamples=300)
    twice = compare([*some, *again], ["a", "b"], CLASSES, resamples=300)
    for ours, theirs in zip(once, twice, strict=True):
        assert ours.pooled_auc.low == pytest.approx(theirs.pooled_auc.low)
        assert ours.pooled_auc.high == pytest.approx(theirs.pooled_auc.high)
    assert once[1].difference.low == pytest.approx(twice[1].difference.low)


def test_repeating_the_same_predictions_makes_nothing_surer() -> None:
    some = [*predictions("a", 0), *predictions("b", 1)]
    again = [replace(p, repeat=2) for p in some]
    once = compare(some, ["a", "b"], CLASSES, resamples=1000)[1].difference
    twice = compare([*some, *again], ["a", "b"], CLASSES, resamples=1000)[1].difference
    assert twice.n == once.n == 24
    assert twice.high - twice.low == pytest.approx(once.high - once.low, rel=0.2)


def test_the_chance_of_training_widens_the_interval() -> None:
    """One repeat far better, one far worse: their mean is not sure."""
    first = predictions("a", 0, n=60, repeats=2, skill=1.0)
    good = [p for p in predictions("b", 5, n=60, skill=6.0) if p.repeat == 1]
    bad = [replace(p, repeat=2) for p in predictions("b", 6, n=60, skill=-6.0)]
    found = compare([*first, *good, *bad], ["a", "b"], CLASSES)[1].difference
    assert found.high - found.low > 0.5


def test_pairing_takes_out_what_is_hard_for_both() -> None:
    """Noise that both share makes each AUC unsure and the difference not."""
    one = predictions("a", 0, n=60)
    two = [
        replace(
            p,
            setting="b",
            probabilities=(
                p.probabilities[0] - 0.02 * (p.label == "tumour"),
                p.probabilities[1] + 0.02 * (p.label == "tumour"),
            ),
        )
        for p in one
    ]
    row = compare([*one, *two], ["a", "b"], CLASSES)[1]
    alone = row.pooled_auc.high - row.pooled_auc.low
    assert row.difference.high - row.difference.low < alone / 3
    assert row.difference.value > 0


def test_settings_that_order_alike_are_not_called_surely_equal() -> None:
    one = predictions("a", 0)
    two = [replace(p, setting="b") for p in one]
    row = compare([*one, *two], ["a", "b"], CLASSES, resamples=50)[1]
    assert row.difference.value == 0
    assert math.isnan(row.difference.low)
    assert "alike" in row.difference.reason


def test_a_perfect_setting_is_not_certain() -> None:
    some = [replace(p, probabilities=(0.1, 0.9)) for p in predictions("a", 0)]
    some = [
        p if p.label == "tumour" else replace(p, probabilities=(0.9, 0.1)) for p in some
    ]
    (row,) = compare(some, ["a"], CLASSES, resamples=50)
    assert row.pooled_auc.value == row.pooled_auc.high == 1
    assert row.pooled_auc.low < 0.8


def test_a_setting_without_all_folds_has_no_difference() -> None:
    two = [p for p in predictions("b", 1) if p.fold != 2]
    row = compare([*predictions("a", 0), *two], ["a", "b"], CLASSES, resamples=20)[1]
    assert row.n_folds == 2
    assert "was not finished" in row.difference.reason


def test_a_fold_without_a_class_has_no_auc_and_the_others_count() -> None:
    some = [p for p in predictions("a", 0) if p.fold != 2 or p.label == "normal"]
    (row,) = compare(some, ["a"], CLASSES, resamples=20)
    assert (row.n_folds, row.auc.n, row.specificity.n) == (3, 2, 3)
    assert not math.isnan(row.pooled_auc.value)


def test_three_classes_have_figures_too() -> None:
    classes = ("normal", "itc", "macro")
    generator = np.random.default_rng(0)
    some = [
        Prediction(
            "a", 1, i % 2 + 1, f"s{i}", f"p{i}", classes[i // 2 % 3], None,
            tuple(generator.dirichlet(np.ones(3) + 3 * np.eye(3)[i // 2 % 3])),
        )
        for i in range(36)
    ]  # fmt: skip
    (row,) = compare(some, ["a"], classes, resamples=50)
    for spread in (row.auc, row.balanced_accuracy, row.sensitivity, row.specificity):
        assert 0.5 < spread.mean <= 1
