"""From slide files to results, through every room, on a cohort of small phantoms."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from napari_mhim import cli, pipeline
from napari_mhim.errors import (
    BundleError,
    CohortError,
    NoTissueError,
    UnknownMppError,
)
from napari_mhim.events import Note, Progress
from napari_mhim.features.config import ExtractConfig
from napari_mhim.features.extract import ExtractDone
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.cohort import Cohort
from napari_mhim.mil.config import TrainConfig
from napari_mhim.mil.result import SlideResult
from napari_mhim.mil.train import FitDone
from napari_mhim.pipeline import PredictDone, SlideFailed
from napari_mhim.slide import open_slide
from napari_mhim.slide.regions import SlideIdentity, region, write_regions
from napari_mhim.slide.write import write_pyramid
from napari_mhim.workspace import Workspace

CLASSES = ("normal", "tumour")
runner = CliRunner()


def _predicted(events) -> SlideResult:
    done = [event for event in events if isinstance(event, PredictDone)]
    assert len(done) == 1
    return SlideResult.load(Path(done[0].result_path))


def test_training_ends_with_a_baseline_and_a_model(small_run) -> None:
    for bundle in (small_run.bundle, small_run.baseline):
        assert (Path(bundle) / "model.safetensors").is_file()
        assert (Path(bundle) / "README.md").is_file()


def test_features_of_a_moved_slide_are_used_and_that_is_said(small_run) -> None:
    table = Cohort.read(Path(small_run.workspace) / "cohort.csv")
    gone, *others = table.rows
    elsewhere = Path(gone.path).parent / "away" / Path(gone.path).name
    moved = replace(gone, path=str(elsewhere))
    distant = replace(others[0], path=f"http://127.0.0.1:9/{Path(others[0].path).name}")
    config = ExtractConfig(mpp=1.0, patch_model_px=64, device="cpu")

    def gathered(*rows):
        some = replace(table, rows=rows)
        events = pipeline.gather(small_run.workspace, some, config)
        notes = []
        while True:
            try:
                notes.append(next(events))
            except StopIteration as end:
                return end.value, [str(n.text) for n in notes if isinstance(n, Note)]

    bags, notes = gathered(moved, *others)
    assert set(bags) == {row.slide for row in table.rows}
    assert notes == [
        f"1 of 12 slides are not where the table says ({gone.slide!r}); the features made "
        "of them before are used."
    ]
    assert gathered(*table.rows)[1] == []
    # nobody has looked for what lies elsewhere: it is opened, not taken for moved
    with pytest.raises(CohortError, match="cannot be used"):
        gathered(gone, distant, *others[1:])


def test_a_slide_becomes_a_result(small_run) -> None:
    slide = small_run.slides[0]
    events = pipeline.predict_slide(slide, small_run.bundle, small_run.workspace)
    result = _predicted(events)
    assert result.slide == Path(slide).stem
    assert result.classes == ("normal", "tumour")
    np.testing.assert_allclose(result.probabilities.sum(), 1, rtol=1e-5)
    np.testing.assert_allclose(result.attention.sum(axis=1), 1, rtol=1e-4)
    assert 0 < result.mask.sum() < len(result)
    assert result.score_source == "teacher"


def test_predicting_again_uses_the_features_there_are(small_run) -> None:
    arguments = (small_run.slides[1], small_run.bundle, small_run.workspace)
    list(pipeline.predict_slide(*arguments))
    again = list(pipeline.predict_slide(*arguments))
    assert [event.skipped for event in again if isinstance(event, ExtractDone)] == [
        True
    ]


def test_one_bad_slide_of_many_stops_no_other(small_run, tmp_path: Path) -> None:
    bad = tmp_path / "bad.tif"
    bad.write_bytes(b"II*\0 this is no slide")
    slides = [str(bad), small_run.slides[0]]
    events = list(
        pipeline.predict_slides(slides, small_run.bundle, small_run.workspace)
    )
    assert [e.slide for e in events if isinstance(e, SlideFailed)] == [str(bad)]
    assert [e.slide for e in events if isinstance(e, PredictDone)] == slides[1:]


def test_two_slides_of_one_name_are_refused_with_both_paths(tmp_path: Path) -> None:
    slides = [str(tmp_path / "a" / "same.tif"), str(tmp_path / "b" / "same.svs")]
    with pytest.raises(CohortError, match=r"same\.tif.*same\.svs"):
        list(pipeline.extract_slides(slides, str(tmp_path), ExtractConfig()))


def test_a_slide_without_mpp_asks_for_it(small_run, tmp_path: Path) -> None:
    slide = _blank(tmp_path / "no-mpp.tif", mpp=None)
    with pytest.raises(UnknownMppError, match="mpp"):
        list(pipeline.predict_slide(slide, small_run.bundle, str(tmp_path)))
    assert not list(tmp_path.rglob("*.h5"))


def test_an_empty_slide_has_no_tissue(small_run, tmp_path: Path) -> None:
    slide = _blank(tmp_path / "empty.tif", mpp=(0.5, 0.5))
    with pytest.raises(NoTissueError, match="tissue"):
        list(pipeline.predict_slide(slide, small_run.bundle, str(tmp_path)))
    assert not list(tmp_path.rglob("*.h5"))


def test_a_folder_that_is_no_bundle_is_refused(small_run, tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        list(
            pipeline.predict_slide(
                small_run.slides[0], str(tmp_path), small_run.workspace
            )
        )


def test_a_bundle_without_class_names_is_refused(small_run, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(small_run.bundle, bundle)
    config = json.loads((bundle / "config.json").read_text())
    config["class_names"] = []
    (bundle / "config.json").write_text(json.dumps(config))
    with pytest.raises(BundleError, match="class"):
        list(
            pipeline.predict_slide(
                small_run.slides[0], str(bundle), small_run.workspace
            )
        )


def test_progress_never_runs_past_its_total(small_run, tmp_path: Path) -> None:
    events = list(
        pipeline.predict_slide(small_run.slides[2], small_run.bundle, str(tmp_path))
    )
    steps = [event for event in events if isinstance(event, Progress)]
    assert steps
    assert all(step.total == 0 or step.done <= step.total for step in steps)


def test_the_command_line_predicts_like_the_window(small_run, tmp_path: Path) -> None:
    slide = small_run.slides[0]
    done = runner.invoke(
        cli.app,
        [
            *("predict", slide, "--model", small_run.bundle),
            *("--out", str(tmp_path / "out"), "--workspace", small_run.workspace),
        ],
    )
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "out" / "prediction.json").read_text())
    result = _predicted(
        pipeline.predict_slide(slide, small_run.bundle, small_run.workspace)
    )
    assert found["probabilities"]["tumour"] == pytest.approx(result.score, abs=1e-5)
    assert (tmp_path / "out" / "heatmap.png").stat().st_size > 10_000


def test_the_command_line_trains_with_what_was_drawn(small_run, tmp_path: Path) -> None:
    table = tmp_path / "cohort.csv"
    rows = Cohort.read(Path(small_run.workspace) / "cohort.csv").rows
    val = [next(r.slide for r in rows if r.label == name) for name in CLASSES]
    roles = [replace(r, role="val" if r.slide in val else "train") for r in rows]
    Cohort.of(roles, CLASSES).write(table)
    learns = next(r for r in roles if r.role == "train" and r.label == CLASSES[1])
    place = Workspace(Path(small_run.workspace))
    for name in (learns.slide, val[1]):
        path = next(s for s in small_run.slides if Path(s).stem == name)
        half = np.array([[0, 0], [0, 1536], [512, 1536], [512, 0]])
        with open_slide(path) as slide:
            drawn = region(half, kind="hint", class_name=CLASSES[1])
            write_regions(place.regions_path(name), [drawn], SlideIdentity.of(slide))
    asked = [
        *("train", str(table), "--workspace", small_run.workspace, "--run", "hinted"),
        *("--hint-weight", "0.5", "--epochs", "1", "--device", "cpu", "--threads", "1"),
        *("--recipe", "plain", "--mpp", "1", "--patch-model-px", "64"),
    ]
    try:
        done = runner.invoke(cli.app, asked)
        assert done.exit_code == 0, done.output
    finally:
        for name in (learns.slide, val[1]):
            place.regions_path(name).unlink()
    said = " ".join(done.output.split())
    assert "1 region joins the training as hints:" in said
    assert f"only training slides teach ({val[1]})" in said
    run = place.run_dir("hinted")
    hints = Bundle.open(run / "bundle").config.trained["hints"]
    assert (hints["weight"], hints["slides"]) == (0.5, 1)
    epoch = json.loads((run / "events.jsonl").read_text().splitlines()[0])
    assert epoch["losses"]["hints"] > 0


def _blank(path: Path, mpp: tuple[float, float] | None) -> str:
    write_pyramid(path, np.full((1200, 1500, 3), 240, np.uint8), mpp=mpp)
    return str(path)


def test_a_slide_without_path_and_features_is_named(tmp_path: Path) -> None:
    table = tmp_path / "cohort.csv"
    # roles are given: a table that cannot be split is refused before slides are looked for
    table.write_text(
        "slide,label,role\na,tumour,train\nb,normal,train\nc,tumour,val\nd,normal,val\n"
    )
    events = pipeline.train(
        str(tmp_path),
        str(table),
        TrainConfig(),
        ExtractConfig(mpp=0.5, patch_model_px=64),
    )
    with pytest.raises(CohortError, match=r"4 of 4 slides have neither a path"):
        list(events)


def test_features_are_enough_where_the_table_has_no_path(small_run, tmp_path) -> None:
    rows = (Path(small_run.workspace) / "cohort.csv").read_text().splitlines()
    cells = [row.split(",") for row in rows]
    kept = [i for i, name in enumerate(cells[0]) if name != "path"]
    table = tmp_path / "cohort.csv"
    table.write_text("\n".join(",".join(row[i] for i in kept) for row in cells))
    events = pipeline.train(
        small_run.workspace,
        str(table),
        TrainConfig(epochs=1, recipe="plain", device="cpu", threads=1),
        ExtractConfig(mpp=1.0, patch_model_px=64, device="cpu"),
        "without-paths",
    )
    assert isinstance(list(events)[-1], FitDone)
