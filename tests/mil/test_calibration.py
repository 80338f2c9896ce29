"""Calibration against slow versions: bins, errors, and what chance alone would show."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_scores import binary, random_set
from sklearn import metrics as sk

from napari_mhim.mil.calibration import (
    MOST_BINS,
    PER_BIN,
    calibration,
    calibration_as_dict,
    equal_bins,
)

seeds = st.integers(0, 100_000)


def drawn(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Slides whose scores are true: a slide scored p is of the class with chance p."""
    generator = np.random.default_rng(seed)
    scores = generator.random(n)
    return binary((generator.random(n) < scores).astype(int).tolist(), scores)


@given(seeds)
def test_brier_is_that_of_scikit_learn(seed: int) -> None:
    labels, probabilities = random_set(seed)
    found = calibration(labels, probabilities, resamples=2)
    assert found.brier.value == pytest.approx(
        sk.brier_score_loss(labels, probabilities[:, 1])
    )


@given(seeds)
def test_the_error_is_the_mean_distance_over_bins(seed: int) -> None:
    """Oracle: one bin after the other, from the definition."""
    labels, probabilities = random_set(seed)
    found = calibration(labels, probabilities, resamples=2)
    bins, total = equal_bins(probabilities[:, 1]), 0.0
    for number in set(bins.tolist()):
        here = bins == number
        distance = abs(probabilities[here, 1].mean() - (labels[here] == 1).mean())
        total += here.sum() * distance
    assert found.ece.value == pytest.approx(total / len(labels))
    assert sum(one.n for one in found.bins) == len(labels)


@given(seeds)
def test_equal_scores_share_a_bin_and_order_does_not_matter(seed: int) -> None:
    _, probabilities = random_set(seed)
    scores = probabilities[:, 1]
    bins = equal_bins(scores)
    for score in set(scores.tolist()):
        assert len(set(bins[scores == score].tolist())) == 1
    assert (np.diff(bins[np.argsort(scores, kind="stable")]) >= 0).all()
    mixed = np.random.default_rng(seed).permutation(len(scores))
    np.testing.assert_array_equal(equal_bins(scores[mixed]), bins[mixed])


@pytest.mark.parametrize("n", [1, 4, 5, 23, 50, 400])
def test_bins_hold_equal_numbers(n: int) -> None:
    counts = np.bincount(equal_bins(np.linspace(0, 1, n)))
    assert len(counts) == min(max(1, n // PER_BIN), MOST_BINS)
    assert counts.max() - counts.min() <= 1


def test_true_scores_err_as_chance_does_and_false_ones_more() -> None:
    labels, probabilities = drawn(2000)
    true = calibration(labels, probabilities, resamples=200)
    assert true.ece.value == pytest.approx(true.ece_by_chance, rel=0.8)
    bold = calibration(labels, np.round(probabilities), resamples=200)
    assert bold.ece.value > 0.2
    assert bold.ece.value > 5 * true.ece_by_chance


def test_chance_alone_errs_more_on_few_slides() -> None:
    few = calibration(*drawn(20), resamples=500)
    many = calibration(*drawn(2000), resamples=500)
    assert few.ece_by_chance > 3 * many.ece_by_chance


@given(seeds)
def test_intervals_hold_their_figures(seed: int) -> None:
    found = calibration(*random_set(seed), resamples=100)
    for interval in (found.ece, found.brier):
        assert interval.low <= interval.value <= interval.high
    for one in found.bins:
        assert 0 <= one.low <= one.share + 1e-12
        assert one.share - 1e-12 <= one.high <= 1


@given(seeds)
def test_with_three_classes_the_largest_score_is_held_against_being_right(
    seed: int,
) -> None:
    labels, probabilities = random_set(seed, n_classes=3)
    found = calibration(labels, probabilities, resamples=2)
    right = (probabilities.argmax(axis=1) == labels).mean()
    share = sum(one.share * one.n for one in found.bins) / len(labels)
    assert share == pytest.approx(right)
    assert found.what == "most probable class"
    squares = ((probabilities - np.eye(3)[labels]) ** 2).sum(axis=1).mean()
    assert found.brier.value == pytest.approx(squares)


def test_no_slides_are_undefined_with_a_reason() -> None:
    found = calibration(*binary([], []))
    assert found.ece.reason == "there are no labelled slides"
    assert found.bins == ()
    assert calibration_as_dict(found)["ece_by_chance"] is None


def test_becomes_json() -> None:
    plain = calibration_as_dict(calibration(*drawn(30), resamples=20))
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert {"score", "share", "low", "high", "n"} == set(plain["reliability"][0])


def test_labels_without_probabilities_are_refused() -> None:
    with pytest.raises(ValueError, match="3 labels and 2 rows"):
        calibration(np.array([0, 1, 1]), np.full((2, 2), 0.5))
