"""One temperature: order kept, found again, never certain of a dozen slides."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_scores import binary, random_set

from napari_mhim.mil.cutoff import choose_cutoff, decide
from napari_mhim.mil.evaluate import auc
from napari_mhim.mil.temperature import (
    LEAST_SLIDES,
    RANGE,
    fit_temperature,
    tempered,
    why_not,
)

seeds = st.integers(0, 100_000)
temperatures = st.floats(0.2, 15)


@given(seeds, temperatures)
def test_auc_is_what_it_was(seed: int, temperature: float) -> None:
    labels, probabilities = random_set(seed)
    scaled = tempered(probabilities, temperature)
    assert auc(labels, scaled) == pytest.approx(auc(labels, probabilities))


@given(seeds, temperatures)
def test_a_cutoff_of_the_scaled_scores_decides_the_same(
    seed: int, temperature: float
) -> None:
    labels, probabilities = random_set(seed)
    scaled = tempered(probabilities, temperature)
    np.testing.assert_array_equal(
        decide(scaled, choose_cutoff(labels, scaled)),
        decide(probabilities, choose_cutoff(labels, probabilities)),
    )


@given(seeds, temperatures)
def test_is_the_softmax_of_divided_logits(seed: int, temperature: float) -> None:
    logits = np.random.default_rng(seed).normal(size=(6, 3)) * 4

    def softmax(values: np.ndarray) -> np.ndarray:
        raised = np.exp(values)
        return raised / raised.sum(axis=1, keepdims=True)

    np.testing.assert_allclose(
        tempered(softmax(logits), temperature), softmax(logits / temperature)
    )


def test_one_changes_no_bit() -> None:
    _, probabilities = random_set(2)
    np.testing.assert_array_equal(tempered(probabilities, 1.0), probabilities)


def test_certain_scores_stay_numbers() -> None:
    certain = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    for temperature in RANGE:
        scaled = tempered(certain, temperature)
        assert np.isfinite(scaled).all()
        np.testing.assert_allclose(scaled.sum(axis=1), 1)


@pytest.mark.parametrize("true", [0.5, 1.0, 3.0])
def test_finds_the_temperature_the_scores_were_made_with(true: float) -> None:
    generator = np.random.default_rng(0)
    scores = generator.random(4000)
    labels, probabilities = binary(
        (generator.random(4000) < scores).astype(int).tolist(), scores
    )
    # scores made too sure by 1 / true are right again at true
    found = fit_temperature(labels, tempered(probabilities, 1 / true))
    assert found == pytest.approx(true, rel=0.08)


def test_a_dozen_slides_without_a_fault_are_not_certain() -> None:
    labels, probabilities = binary([0] * 6 + [1] * 6, [1e-6] * 6 + [1 - 1e-6] * 6)
    scaled = tempered(probabilities, fit_temperature(labels, probabilities))
    # the own class of 6 slides gets (6 + 1) / (6 + 2)
    np.testing.assert_allclose(scaled.max(axis=1), 7 / 8, atol=0.01)


def test_too_few_slides_and_a_missing_class_are_refused() -> None:
    few = [0, 1] * (LEAST_SLIDES // 2 - 1)
    assert "needs 10 validation slides or more, there are 8" in why_not(few, 2)
    assert why_not([1] * LEAST_SLIDES, 2) == "a class has no validation slide"
    assert why_not([0, 1] * LEAST_SLIDES, 2) == ""
    with pytest.raises(ValueError, match="a class has no validation slide"):
        fit_temperature(*binary([1] * 12, [0.5] * 12))
