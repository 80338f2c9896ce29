"""An evaluation as files: whole, plain, and the same figures everywhere."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from napari_mhim.export.curves import draw_run, write_run, write_training
from napari_mhim.export.evaluation import as_dict, write_evaluation
from napari_mhim.export.report import figures_table, report
from napari_mhim.features.config import ExtractConfig
from napari_mhim.mil.bundle_config import BundleConfig
from napari_mhim.mil.cohort import CohortRow
from napari_mhim.mil.cutoff import Cutoff
from napari_mhim.mil.evaluation import Evaluation, held_against
from napari_mhim.mil.run import RunFolder


def made(
    n: int = 24, n_classes: int = 2, n_patients: int = 16, one_class: bool = False
) -> Evaluation:
    generator = np.random.default_rng(n)
    classes = ("normal", "tumour", "other")[:n_classes]
    labels = np.zeros(n, int) if one_class else np.arange(n) % n_classes
    raw = generator.random((n, n_classes)) + 1.5 * np.eye(n_classes)[labels]
    config = BundleConfig(
        name="made",
        model="abmil",
        in_dim=3,
        classes=classes,
        encoder_id="texture#made",
        extract=ExtractConfig(),
        cutoff=Cutoff(0.45, 11, "validation") if n_classes == 2 else None,
    )
    rows = [
        CohortRow(f"s{i:02d}", label=classes[k], patient=f"p{i % n_patients}-{k}")
        for i, k in enumerate(labels)
    ]
    scores = raw / raw.sum(axis=1, keepdims=True)
    return held_against(
        config, "ab" * 8, "test", rows, ["test"] * n, scores, ["A note."]
    )


def table(path: Path) -> list[dict[str, str]]:
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# Research use only")
    return list(csv.DictReader(lines[1:]))


def test_a_folder_holds_figures_tables_report_and_pictures(tmp_path: Path) -> None:
    found = made()
    write_evaluation(found, tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        *("metrics.json", "predictions.csv", "patients.csv", "report.md"),
        *("roc.png", "reliability.png", "confusion.png"),
    }
    plain = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert plain["cutoff"] == {"value": 0.45, "n": 11, "where": "validation"}
    assert plain["by_slide"]["auc"]["value"] == found.slides.metrics.auc.value
    assert plain["by_patient"]["n"] == len(found.patients.labels)
    assert plain["by_slide"]["calibration"]["reliability"]


def test_the_figures_can_be_worked_out_from_the_table(tmp_path: Path) -> None:
    found = made()
    write_evaluation(found, tmp_path)
    rows = table(tmp_path / "predictions.csv")
    assert [row["slide"] for row in rows] == [row.slide for row in found.rows]
    is_tumour = np.array([row["label"] == "tumour" for row in rows])
    scores = np.array([float(row["score_tumour"]) for row in rows])
    metrics = found.slides.metrics
    assert metrics.sensitivity.value == pytest.approx(
        (scores[is_tumour] >= 0.45).mean()
    )
    assert metrics.specificity.value == pytest.approx(
        (scores[~is_tumour] < 0.45).mean()
    )
    assert metrics.accuracy.value == pytest.approx(
        np.mean([row["right"] == "True" for row in rows])
    )


def test_one_slide_a_patient_has_no_table_of_patients(tmp_path: Path) -> None:
    write_evaluation(made(n=10, n_patients=10), tmp_path)
    assert not (tmp_path / "patients.csv").exists()
    assert as_dict(made(n=10, n_patients=10))["by_patient"] is None


def test_the_table_for_the_terminal_names_cutoff_n_and_caveats() -> None:
    found = made()
    text = figures_table(found)
    assert (
        "Cut-off for tumour: 0.450, set on 11 validation slides, never on these."
        in text
    )
    assert "by slide (n = 24)" in text
    assert f"by patient (n = {len(found.patients.labels)})" in text
    assert "Scores are not calibrated." in text
    assert "A note." in text
    assert text.endswith("Research use only. Not for diagnosis.")
    auc = found.slides.metrics.auc
    assert f"{auc.value:.2f} ({auc.low:.2f} to {auc.high:.2f})" in text


def test_the_report_fits_a_page_and_names_no_slide() -> None:
    found = made()
    text = report(found, {"ROC": "roc.png"})
    assert len(text.splitlines()) < 60
    assert "![ROC](roc.png)" in text
    assert not any(row.slide in text or row.patient in text for row in found.rows)


def test_the_report_says_where_features_are_of_no_known_encoder() -> None:
    found = made()
    assert "features texture#made." in report(found, {})
    unknown = replace(found, config=replace(found.config, encoder_id=""))
    assert "features of no known encoder." in report(unknown, {})


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("one_class", [False, True])
def test_every_set_becomes_files(
    tmp_path: Path, n_classes: int, one_class: bool
) -> None:
    found = made(n=6, n_classes=n_classes, one_class=one_class)
    write_evaluation(found, tmp_path)
    text = figures_table(found)
    assert ("a class has no slide" in text) == one_class
    for name in ("roc", "reliability", "confusion"):
        pixels = imread(tmp_path / f"{name}.png")[..., :3]
        assert pixels.std() > 0.02


def epochs(n: int = 5) -> list[dict]:
    return [
        {
            "event": "epoch",
            "stage": "mhim",
            "epoch": i + 1,
            "losses": {"total": 1 / (i + 1), "classification": 0.5, "consistency": 3.0},
            "val": {"auc": None, "loss": None if i == 2 else 0.7},
            "is_best": i == 3,
        }
        for i in range(n)
    ]


def test_a_runs_log_becomes_a_picture(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    for values in epochs():
        run.log("epoch", values)
    with run.events_path.open("a") as file:
        file.write('{"event": "epo')  # as a kill leaves it
    assert [epoch["epoch"] for epoch in run.epochs()] == [1, 2, 3, 4, 5]
    assert draw_run(run.path) == ""
    assert imread(run.path / "training.png").std() > 0.02
    assert not (run.path / "baseline").exists()


def test_without_a_log_there_is_no_picture(tmp_path: Path) -> None:
    assert not write_run(tmp_path / "none", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_picture_shows_another_course_for_other_losses(tmp_path: Path) -> None:
    write_training(epochs(), tmp_path / "a.png")
    write_training(epochs()[:2], tmp_path / "b.png")
    assert not np.array_equal(imread(tmp_path / "a.png"), imread(tmp_path / "b.png"))


def test_a_folder_that_cannot_be_written_is_told_and_nothing_is_lost(
    tmp_path: Path,
) -> None:
    run = RunFolder(tmp_path / "run")
    run.log("epoch", epochs()[0])
    (run.path / "training.png").mkdir()
    assert "curves of training could not be drawn" in draw_run(run.path)
