"""ROC and reliability of a finished run: drawn from its file, by patient and by slide."""

from dataclasses import replace

import numpy as np
import pytest

from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.bundle_config import BundleConfig
from napari_mhim.mil.cutoff import Cutoff
from napari_mhim.mil.review import Results, Reviewed, figures_of
from napari_mhim.plugin import sample_data
from napari_mhim.plugin.state.judged import (
    calibration_words,
    reliability,
    roc_lines,
    roc_words,
)

CUTOFF = Cutoff(0.4, 9, "validation")


def made(config: BundleConfig, n: int = 40, per_patient: int = 2) -> Results:
    """Slides whose scores lean towards their class, two to a patient."""
    rng = np.random.default_rng(5)
    n_classes, slides = len(config.classes), []
    for i in range(n):
        label = i // per_patient % n_classes
        scores = rng.dirichlet(np.eye(n_classes)[label] * 1.5 + 0.7)
        slides.append(
            Reviewed(
                slide=f"s{i}",
                path="",
                patient=f"p{i // per_patient}",
                label=config.classes[label],
                role="val",
                probabilities=tuple(map(float, scores)),
                call=config.classes[int(scores.argmax())],
                loss=0.0,
                gap=0.0,
            )
        )
    figures = {"val": figures_of(slides, config)}
    return Results(config.classes, figures, tuple(slides), config.target_index)


@pytest.fixture
def config() -> BundleConfig:
    sample = Bundle.open(sample_data.folder() / "bundle")
    return replace(sample.config, cutoff=CUTOFF)


@pytest.fixture
def several(config) -> BundleConfig:
    return replace(config, classes=("a", "b <i>", "c"), cutoff=None)


def area(points) -> float:
    x, y = np.array(points).T
    return float(((x[1:] - x[:-1]) * (y[1:] + y[:-1]) / 2).sum())


@pytest.mark.parametrize("target", [0, 1])
def test_the_area_under_each_curve_is_the_auc_beside_it(config, target: int) -> None:
    results = made(replace(config, target=target))
    lines = roc_lines(results, "val")
    assert [one.unit for one in lines] == ["patients", "slides"]
    for one in lines:
        wanted = results.figures["val"][one.unit]["auc"]["value"]
        assert area(one.points) == pytest.approx(wanted)
        assert one.points[0] == (0, 0)
        assert one.points[-1] == (1, 1)
    assert "(n = 20)" not in roc_words(results, "val")
    assert "n = 20) by patient" in roc_words(results, "val")
    assert "n = 40) by slide" in roc_words(results, "val")


def test_the_ring_of_the_cutoff_lies_on_its_curve(config) -> None:
    for one in roc_lines(made(config), "val"):
        gaps = np.abs(np.array(one.points) - one.at_cutoff).max(axis=1)
        assert gaps.min() < 1e-9


def test_with_a_slide_a_patient_there_is_one_curve(config) -> None:
    results = made(config, per_patient=1)
    assert [one.unit for one in roc_lines(results, "val")] == ["patients"]
    assert "by slide" not in roc_words(results, "val") + calibration_words(
        results, "val"
    )


def test_each_of_several_classes_has_a_curve_and_no_ring(several) -> None:
    results = made(several, n=48)
    lines = roc_lines(results, "val")
    assert [one.name for one in lines] == [*several.classes] * 2
    assert all(one.at_cutoff is None for one in lines)
    means = [np.mean([area(one.points) for one in lines[i : i + 3]]) for i in (0, 3)]
    figures = results.figures["val"]
    wanted = [figures[unit]["auc"]["value"] for unit in ("patients", "slides")]
    assert means == pytest.approx(wanted)
    assert "b &lt;i&gt;" in roc_words(results, "val")


def test_every_patient_is_behind_one_point_of_the_reliability_curve(config) -> None:
    results = made(config)
    points = reliability(results, "val")
    assert sum(one.n for one in points) == 20
    assert [one.score for one in points] == sorted(one.score for one in points)
    assert all(one.low <= one.share <= one.high for one in points)
    gaps = sum(one.n * abs(one.score - one.share) for one in points) / 20
    found = results.figures["val"]["patients"]["calibration"]
    assert found["ece"]["value"] == pytest.approx(gaps)
    text = calibration_words(results, "val")
    assert f"ECE {gaps:.2f} (" in text
    assert "n = 20) by patient" in text
    assert "by chance" in text


def test_one_class_alone_has_no_curve_and_says_why(config) -> None:
    one = replace(config, classes=("normal", "tumour"))
    slides = [x for x in made(one).slides if x.label == "normal"]
    figures = {"val": figures_of(slides, one)}
    results = Results(one.classes, figures, tuple(slides), one.target_index)
    assert roc_lines(results, "val") == ()
    assert "not defined: " in roc_words(results, "val")
    n = len({x.patient for x in slides})
    assert f"(n = {n}) by patient" in roc_words(results, "val")


def test_a_run_of_an_older_version_says_what_is_missing(config) -> None:
    results = made(config)
    older = {
        unit: {name: value for name, value in some.items() if name != "calibration"}
        for unit, some in results.figures["val"].items()
    }
    results = replace(results, figures={"val": older})
    assert reliability(results, "val") == ()
    assert "evaluate its model" in calibration_words(results, "val")
    assert len(roc_lines(results, "val")) == 2
