"""The cut-off: the best threshold of all, and the same decisions half-way below it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_scores import binary, random_set

from napari_mhim.mil.cutoff import choose_cutoff, decide, optimal_threshold
from napari_mhim.mil.evaluate import evaluate

seeds = st.integers(0, 100_000)


@given(seeds)
def test_the_threshold_is_the_best_of_all(seed: int) -> None:
    """Oracle: try every score, and above all of them."""
    labels, probabilities = random_set(seed)
    scores = probabilities[:, 1]

    def youden(threshold: float) -> float:
        above = scores >= threshold
        return above[labels == 1].mean() - above[labels == 0].mean()

    best = max(youden(t) for t in [*scores, np.inf])
    assert youden(optimal_threshold(labels, scores)) == pytest.approx(best)


@given(seeds)
def test_the_cutoff_decides_as_the_threshold_does(seed: int) -> None:
    labels, probabilities = random_set(seed)
    cutoff = choose_cutoff(labels, probabilities)
    threshold = optimal_threshold(labels, probabilities[:, 1])
    expected = probabilities[:, 1] >= min(threshold, 1.0)
    np.testing.assert_array_equal(decide(probabilities, cutoff), expected)
    assert 0 <= cutoff.value <= 1
    assert (cutoff.n, cutoff.where) == (len(labels), "validation")


def test_the_cutoff_lies_between_the_classes() -> None:
    labels, probabilities = binary([0, 0, 1, 1], [0.1, 0.3, 0.7, 0.9])
    assert choose_cutoff(labels, probabilities).value == pytest.approx(0.5)


def test_the_class_of_interest_may_be_the_first() -> None:
    labels, probabilities = binary([0, 0, 1, 1], [0.1, 0.2, 0.6, 0.9])
    cutoff = choose_cutoff(labels, probabilities, target=0)
    assert cutoff.value == pytest.approx(0.6)
    np.testing.assert_array_equal(decide(probabilities, cutoff, target=0), labels)
    assert evaluate(labels, probabilities, cutoff, target=0).f1.value == 1


def test_no_cutoff_from_one_class_or_for_three() -> None:
    assert choose_cutoff(*binary([1, 1], [0.2, 0.9])) is None
    assert choose_cutoff(*random_set(2, n_classes=3)) is None
    with pytest.raises(ValueError, match="both classes"):
        optimal_threshold(np.array([1, 1]), np.array([0.2, 0.9]))
