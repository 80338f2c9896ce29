"""From a label table to figures, through every room, on small phantoms."""

import csv
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from napari_mhim import assessment, cli, pipeline
from napari_mhim.assessment import EvaluateDone
from napari_mhim.errors import CohortError
from napari_mhim.features.config import ExtractConfig
from napari_mhim.features.extract import ExtractDone
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.cohort import CohortRow
from napari_mhim.mil.config import TrainConfig
from napari_mhim.mil.feature_files import read_file
from napari_mhim.mil.predict import Predictor


def rows_of(small_run) -> list[dict[str, str]]:
    with (Path(small_run.workspace) / "cohort.csv").open() as file:
        return list(csv.DictReader(file))


def write_table(path: Path, rows: list[dict[str, str]]) -> str:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def absolute(small_run) -> list[dict[str, str]]:
    root = Path(small_run.workspace)
    return [{**row, "path": str(root / row["path"])} for row in rows_of(small_run)]


def evaluated(small_run, cohort: str, out: Path, **options: str) -> dict:
    events = assessment.evaluate(
        small_run.bundle,
        cohort,
        options.pop("workspace", small_run.workspace),
        out=str(out),
        device="cpu",
        **options,
    )
    *_, done = events
    assert isinstance(done, EvaluateDone)
    return json.loads((out / "metrics.json").read_text())


def test_only_slides_the_model_has_never_seen_judge_it(small_run, tmp_path) -> None:
    rows = [{**row, "role": ""} for row in absolute(small_run)]
    table = write_table(tmp_path / "no-roles.csv", rows)
    found = evaluated(small_run, table, tmp_path / "out")
    config = Bundle.open(small_run.bundle).config
    held_out = [r["slide"] for r in rows if config.role_of(r["slide"]) == "test"]
    lines = (tmp_path / "out" / "predictions.csv").read_text().splitlines()[1:]
    assert [row["slide"] for row in csv.DictReader(lines)] == held_out
    assert found["roles"] == {"test": len(held_out)}
    assert "not held out" in found["notes"][0]
    assert (tmp_path / "out" / "training.png").is_file()


def test_figures_are_at_the_bundles_cutoff(small_run, tmp_path) -> None:
    table = write_table(tmp_path / "all.csv", absolute(small_run))
    found = evaluated(small_run, table, tmp_path / "out", role="all")
    config = Bundle.open(small_run.bundle).config
    assert found["cutoff"] == vars(config.cutoff)
    lines = (tmp_path / "out" / "predictions.csv").read_text().splitlines()[1:]
    for row in csv.DictReader(lines):
        above = float(row["score_tumour"]) >= config.cutoff.value
        assert row["called"] == ("tumour" if above else "normal")


def test_the_labels_of_the_judged_change_no_score(small_run, tmp_path) -> None:
    """Neither cut-off nor calibration can come from the slides that judge."""
    rows = absolute(small_run)
    swapped = [
        {**row, "label": {"normal": "tumour", "tumour": "normal"}[row["label"]]}
        for row in rows
    ]
    seen = []
    for name, some in (("a", rows), ("b", swapped)):
        evaluated(
            small_run, write_table(tmp_path / f"{name}.csv", some), tmp_path / name
        )
        lines = (tmp_path / name / "predictions.csv").read_text().splitlines()[1:]
        seen.append([(r["score_tumour"], r["called"]) for r in csv.DictReader(lines)])
    assert seen[0] == seen[1]


def test_what_has_no_features_is_extracted_first(small_run, tmp_path) -> None:
    table = write_table(tmp_path / "all.csv", absolute(small_run))
    events = list(
        assessment.evaluate(
            small_run.bundle, table, str(tmp_path / "new"), device="cpu"
        )
    )
    done = [event for event in events if isinstance(event, ExtractDone)]
    assert done
    assert not any(event.skipped for event in done)
    folder = Path(events[-1].folder)
    assert folder.parts[-3:-1] == ("evaluations", Bundle.open(small_run.bundle).name)
    assert (folder / "metrics.json").is_file()


def test_a_renamed_training_slide_is_refused(small_run, tmp_path) -> None:
    config = Bundle.open(small_run.bundle).config
    rows = absolute(small_run)
    seen = next(row for row in rows if config.role_of(row["slide"]) == "train")
    copy = tmp_path / "looks-new.tif"
    shutil.copy(seen["path"], copy)
    new = {**seen, "slide": copy.stem, "path": str(copy), "patient": "", "role": ""}
    table = write_table(tmp_path / "t.csv", [new])
    with pytest.raises(CohortError, match=r"training slide .* under another name"):
        evaluated(small_run, table, tmp_path / "out", workspace=str(tmp_path / "w"))
    assert not (tmp_path / "out").exists()


def test_a_slide_that_cannot_be_read_stops_before_any_figure(
    small_run, tmp_path
) -> None:
    bad = tmp_path / "bad.tif"
    bad.write_bytes(b"II*\0 this is no slide")
    new = {
        "slide": "bad",
        "path": str(bad),
        "label": "tumour",
        "patient": "",
        "role": "",
    }
    rows = [*absolute(small_run), {**rows_of(small_run)[0], **new}]
    table = write_table(tmp_path / "t.csv", rows)
    with pytest.raises(CohortError, match=r"bad\.tif' cannot be used"):
        evaluated(small_run, table, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_slide_that_is_nowhere_is_named(small_run, tmp_path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("slide,label\nlost,tumour\n")
    with pytest.raises(CohortError, match=r"1 of 1 slides have neither a path .*lost"):
        evaluated(small_run, str(table), tmp_path / "out")


def test_the_command_prints_the_figures(small_run, tmp_path) -> None:
    table = write_table(tmp_path / "all.csv", absolute(small_run))
    done = CliRunner().invoke(
        cli.app,
        [
            *("evaluate", small_run.bundle, table, "--out", str(tmp_path / "out")),
            *("--workspace", small_run.workspace, "--device", "cpu"),
        ],
    )
    assert done.exit_code == 0, done.output
    for text in ("AUC", "Specificity", "Cut-off for tumour", "by chance", "called"):
        assert text in done.output


def test_training_leaves_its_curves(small_run) -> None:
    for bundle in (small_run.bundle, small_run.baseline):
        assert (Path(bundle).parent / "training.png").stat().st_size > 10_000


def test_features_made_elsewhere_judge_a_model_made_of_them(tmp_path) -> None:
    """Arrays without positions or slide files: trained on, and judged by."""
    generator = np.random.default_rng(0)
    folder, lines = tmp_path / "arrays", ["slide,label,role"]
    folder.mkdir()
    roles = ["train"] * 8 + ["val"] * 6 + ["test"] * 6
    for i, role in enumerate(roles):
        features = generator.normal(size=(30, 8)).astype(np.float32)
        features[:5, 0] += 6 * (i % 2)
        np.save(folder / f"s{i}.npy", features)
        lines.append(f"s{i},{('normal', 'tumour')[i % 2]},{role}")
    table = tmp_path / "table.csv"
    table.write_text("\n".join(lines))
    training = TrainConfig(recipe="plain", epochs=8, lr=5e-3, device="cpu", threads=1)
    *_, done = pipeline.train(
        str(tmp_path), str(table), training, ExtractConfig(), features=str(folder)
    )
    made = SimpleNamespace(bundle=done.bundle_path, workspace=str(tmp_path))
    found = evaluated(made, str(table), tmp_path / "out", features=str(folder))
    assert found["by_slide"]["counts"] == [3, 3]
    lines = (tmp_path / "out" / "predictions.csv").read_text().splitlines()[1:]
    predictor = Predictor(Bundle.open(done.bundle_path), "cpu")
    for row in csv.DictReader(lines):
        bag = read_file(folder / f"{row['slide']}.npy", CohortRow(row["slide"]), ())
        expected = predictor.probabilities(bag)[1]
        assert float(row["score_tumour"]) == pytest.approx(expected, abs=1e-5)
    (folder / "s19.npy").unlink()
    with pytest.raises(CohortError, match="1 of 6 slides have no features"):
        evaluated(made, str(table), tmp_path / "again", features=str(folder))
