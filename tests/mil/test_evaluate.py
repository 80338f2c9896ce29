"""Figures against slow and against other people's versions; undefined ones say why."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_scores import binary, random_set
from sklearn import metrics as sk

from napari_mhim.mil.cutoff import Cutoff, optimal_threshold
from napari_mhim.mil.evaluate import auc, by_patient, evaluate, metrics_as_dict

seeds = st.integers(0, 100_000)


@given(seeds)
def test_figures_of_two_classes_are_those_of_scikit_learn(seed: int) -> None:
    labels, probabilities = random_set(seed)
    cutoff = Cutoff(0.4, 8, "validation")
    found = evaluate(labels, probabilities, cutoff, resamples=2)
    predicted = (probabilities[:, 1] >= 0.4).astype(int)
    expected = {
        "auc": sk.roc_auc_score(labels, probabilities[:, 1]),
        "f1": sk.f1_score(labels, predicted, zero_division=0),
        "accuracy": sk.accuracy_score(labels, predicted),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, predicted),
        "sensitivity": sk.recall_score(labels, predicted),
        "specificity": sk.recall_score(labels, predicted, pos_label=0),
    }
    for name, value in expected.items():
        assert getattr(found, name).value == pytest.approx(value), name


@given(seeds)
def test_figures_of_three_classes_are_those_of_scikit_learn(seed: int) -> None:
    labels, probabilities = random_set(seed, n_classes=3)
    found = evaluate(labels, probabilities, resamples=2)
    predicted = probabilities.argmax(axis=1)
    one_hot = np.eye(3)[labels]
    assert found.auc.value == pytest.approx(
        sk.roc_auc_score(one_hot, probabilities, average="macro")
    )
    assert found.f1.value == pytest.approx(
        sk.f1_score(labels, predicted, average="macro", labels=[0, 1, 2])
    )
    assert found.balanced_accuracy.value == pytest.approx(
        sk.balanced_accuracy_score(labels, predicted)
    )
    assert found.cutoff is None


@given(seeds)
def test_auc_is_the_share_of_pairs_in_the_right_order(seed: int) -> None:
    labels, probabilities = random_set(seed)
    scores = probabilities[:, 1]
    pairs = [
        1.0 if a > b else 0.5 if a == b else 0.0
        for a in scores[labels == 1]
        for b in scores[labels == 0]
    ]
    assert auc(labels, probabilities) == pytest.approx(np.mean(pairs))


@given(seeds)
def test_an_interval_holds_its_figure(seed: int) -> None:
    labels, probabilities = random_set(seed)
    found = evaluate(labels, probabilities, resamples=200)
    for name in ("auc", "accuracy", "sensitivity", "specificity", "f1"):
        interval = getattr(found, name)
        assert interval.low <= interval.value + 1e-9
        assert interval.high >= interval.value - 1e-9
        assert interval.n == len(labels)


def test_intervals_agree_with_a_loop_over_samples() -> None:
    """Oracle: draw slides within their class, one sample at a time."""
    labels, probabilities = random_set(7)
    found = evaluate(labels, probabilities, resamples=4000)
    generator = np.random.default_rng(1)
    values = []
    for _ in range(400):
        drawn = np.concatenate(
            [
                generator.choice(np.flatnonzero(labels == c), (labels == c).sum())
                for c in (0, 1)
            ]
        )
        values.append(sk.roc_auc_score(labels[drawn], probabilities[drawn, 1]))
    low, high = np.quantile(values, [0.025, 0.975])
    assert found.auc.low == pytest.approx(low, abs=0.04)
    assert found.auc.high == pytest.approx(high, abs=0.04)


def test_the_same_seed_gives_the_same_interval() -> None:
    labels, probabilities = random_set(3)
    assert evaluate(labels, probabilities, seed=5) == evaluate(
        labels, probabilities, seed=5
    )


def test_flawless_on_few_slides_is_not_certain() -> None:
    few = evaluate(*binary([0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.3, 0.7, 0.8, 0.9]))
    many = evaluate(*binary([0] * 300 + [1] * 300, [0.1] * 300 + [0.9] * 300))
    assert few.auc.value == many.auc.value == 1
    assert few.auc.low < 0.5 < 0.98 < many.auc.low
    assert few.accuracy.low < 0.7
    assert "too few" in few.caution()
    assert many.caution() == ""


def test_wrong_throughout_is_not_certain_either() -> None:
    found = evaluate(*binary([0, 0, 1, 1], [0.9, 0.8, 0.2, 0.1]))
    assert found.auc.value == 0
    assert found.auc.high > 0.5


@pytest.mark.parametrize(
    ("labels", "undefined"),
    [
        ([0, 0, 0], {"auc", "f1", "sensitivity", "balanced_accuracy"}),
        ([1, 1, 1], {"auc", "specificity", "balanced_accuracy"}),
        ([], {"auc", "f1", "sensitivity", "specificity", "accuracy"}),
    ],
)
def test_what_a_set_cannot_tell_is_undefined_with_a_reason(
    labels: list[int], undefined: set[str]
) -> None:
    found = evaluate(*binary(labels, [0.2, 0.4, 0.6][: len(labels)]))
    for name in undefined:
        interval = getattr(found, name)
        assert np.isnan([interval.value, interval.low, interval.high]).all()
        assert interval.reason
        assert interval.reason in str(interval)
    plain = metrics_as_dict(found)
    json.dumps(plain, allow_nan=False)
    assert plain["auc"]["value"] is None


def test_a_figure_reads_with_interval_and_n() -> None:
    found = evaluate(*binary([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9]))
    assert str(found.auc).startswith("0.75 (")
    assert str(found.auc).endswith(", n = 4)")


@pytest.mark.parametrize(
    ("labels", "probabilities", "sentence"),
    [
        ([0, 2], [[0.5, 0.5], [0.5, 0.5]], "labels must be 0 to 1"),
        ([0], [[0.5, 0.5], [0.5, 0.5]], "labels must be"),
        ([0, 1], [[0.5, 0.5], [0.5, np.nan]], "NaN"),
    ],
)
def test_sets_that_do_not_fit_are_refused(
    labels: list[int], probabilities: list[list[float]], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        evaluate(np.array(labels), np.array(probabilities))


def test_many_slides_are_counted_like_few() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 3000)
    scores = (labels + generator.normal(size=3000)).clip(-3, 4) / 7 + 3 / 7
    found = evaluate(*binary(labels.tolist(), scores.tolist()), resamples=50)
    assert found.auc.value == pytest.approx(sk.roc_auc_score(labels, scores))


def test_agrees_with_the_authors_scores(test_data: Path) -> None:
    cases = json.loads((test_data / "golden" / "scalars.json").read_text())
    for case in cases["five_scores"]:
        labels, probabilities = binary(case["y"], case["p"])
        threshold = optimal_threshold(labels, probabilities[:, 1])
        assert threshold == case["threshold"]
        found = evaluate(
            labels, probabilities, Cutoff(threshold, len(labels), "validation")
        )
        assert found.auc.value == pytest.approx(case["auc"])
        assert found.accuracy.value == pytest.approx(case["acc"])
        assert found.f1.value == pytest.approx(case["f1"])
        assert found.sensitivity.value == pytest.approx(case["recall"])


def test_a_patient_is_the_slide_of_the_largest_score() -> None:
    labels, probabilities = binary([0, 1, 0, 0], [0.2, 0.7, 0.4, 0.1])
    grouped, rows = by_patient(labels, probabilities, ["b", "a", "b", "a"])
    assert grouped.tolist() == [1, 0]
    np.testing.assert_allclose(rows[:, 1], [0.7, 0.4])


def test_one_slide_each_is_the_slides_themselves() -> None:
    labels, probabilities = random_set(4)
    names = [f"{i:03d}" for i in range(len(labels))]
    grouped, rows = by_patient(labels, probabilities, names)
    np.testing.assert_array_equal(grouped, labels)
    np.testing.assert_array_equal(rows, probabilities)
