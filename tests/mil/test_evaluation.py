"""A model's scores held against labels: its own cut-off, its own classes, patients apart."""

import inspect
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_scores import binary, random_set

from napari_mhim.features.config import ExtractConfig
from napari_mhim.mil.bundle_config import BundleConfig
from napari_mhim.mil.cohort import CohortRow
from napari_mhim.mil.cutoff import Cutoff
from napari_mhim.mil.evaluate import evaluate
from napari_mhim.mil.evaluation import Evaluation, held_against

CONFIG = BundleConfig(
    name="made",
    model="abmil",
    in_dim=3,
    classes=("normal", "tumour"),
    encoder_id="texture#made",
    extract=ExtractConfig(),
    cutoff=Cutoff(0.4, 8, "validation"),
)


def held(
    labels: np.ndarray,
    probabilities: np.ndarray,
    patients: list[str] | None = None,
    config: BundleConfig = CONFIG,
) -> Evaluation:
    rows = [
        CohortRow(
            f"s{i}",
            label=config.classes[label],
            patient=patients[i] if patients else f"p{i}",
        )
        for i, label in enumerate(labels)
    ]
    roles = ["test"] * len(rows)
    return held_against(config, "0" * 16, "test", rows, roles, probabilities)


@given(st.integers(0, 10_000), st.floats(0.05, 0.95))
def test_the_cutoff_is_the_models_whatever_the_slides_are(
    seed: int, value: float
) -> None:
    """Figures follow from the stated cut-off, never from one that suits these slides."""
    labels, probabilities = random_set(seed)
    config = replace(CONFIG, cutoff=Cutoff(value, 8, "validation"))
    found = held(labels, probabilities, config=config).slides
    assert found.metrics.cutoff == config.cutoff
    called = probabilities[:, 1] >= value
    np.testing.assert_array_equal(found.called, called)
    assert found.metrics.accuracy.value == pytest.approx((called == labels).mean())


@given(st.integers(0, 10_000))
def test_one_slides_call_does_not_depend_on_the_others(seed: int) -> None:
    labels, probabilities = random_set(seed)
    whole = held(labels, probabilities).slides.called
    for index in range(len(labels)):
        alone = held(labels[[index]], probabilities[[index]]).slides.called
        assert alone.tolist() == [whole[index]]


def test_without_a_cutoff_it_is_a_half_and_is_not_chosen_here() -> None:
    found = held(
        *binary([0, 0, 1, 1], [0.6, 0.7, 0.8, 0.9]), config=replace(CONFIG, cutoff=None)
    )
    # .75 would part them without a fault
    assert found.slides.metrics.accuracy.value == 0.5
    assert found.slides.metrics.cutoff is None


def test_figures_are_asked_for_with_a_cutoff_and_never_choose_one() -> None:
    """What evaluates cannot choose: it does not even import what does."""
    import napari_mhim.mil.evaluate as module
    import napari_mhim.mil.evaluation as above

    for source in (inspect.getsource(module), inspect.getsource(above)):
        assert "choose_cutoff" not in source
        assert "optimal_threshold" not in source
        assert "fit_temperature" not in source


def test_patients_are_judged_by_their_largest_slide() -> None:
    labels, probabilities = binary([0, 1, 0], [0.1, 0.9, 0.3])
    found = held(labels, probabilities, ["b", "a", "b"])
    assert found.patients.names == ("a", "b")
    assert found.patients.labels.tolist() == [1, 0]
    np.testing.assert_allclose(found.patients.probabilities[:, 1], [0.9, 0.3])
    assert found.notes == ("2 patients: too few to tell small differences apart.",)


def test_one_slide_a_patient_is_told_once() -> None:
    found = held(*binary([0, 1], [0.1, 0.9]))
    assert found.patients is None
    assert found.notes == ("2 slides: too few to tell small differences apart.",)


def test_the_confusion_adds_up_to_the_slides() -> None:
    labels, probabilities = random_set(11, n_classes=3)
    config = replace(CONFIG, classes=("a", "b", "c"), cutoff=None)
    found = held(labels, probabilities, config=config).slides
    counts = np.array(found.metrics.confusion)
    assert counts.sum(axis=1).tolist() == list(found.metrics.counts)
    assert np.trace(counts) == (found.called == labels).sum()


@given(st.integers(0, 10_000))
def test_the_confusion_is_that_of_the_calls(seed: int) -> None:
    labels, probabilities = random_set(seed)
    found = evaluate(labels, probabilities, CONFIG.cutoff, resamples=2)
    called = probabilities[:, 1] >= 0.4
    for label in (0, 1):
        for call in (0, 1):
            count = ((labels == label) & (called == call)).sum()
            assert found.confusion[label][call] == count
