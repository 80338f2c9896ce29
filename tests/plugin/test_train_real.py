"""Real features trained on from the window: no slides, no coordinates, patients of many slides."""

import csv
import json
import shlex
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner
from window_pictures import HAS_DISPLAY, settle

from napari_mhim import cli
from napari_mhim.mil.review import read_results
from napari_mhim.plugin import show
from napari_mhim.plugin.state.training import NEW, Status

pytestmark = [
    pytest.mark.qt,
    pytest.mark.skipif(not HAS_DISPLAY, reason="no display: use xvfb-run"),
]
ROLES = {0: "test", 1: "val"}
PATIENTS = 3
"""Patients of each class and fold, those of most slides first."""


@pytest.fixture(scope="module")
def lung(test_data: Path, tmp_path_factory) -> Path:
    """A few patients of each fold of TCGA-lung: ``table.csv``, and a file for each slide."""
    stored = test_data / "data" / "features" / "tcga_lung.npz"
    if not stored.is_file():
        pytest.skip(f"no TCGA features at {stored}")
    folder = tmp_path_factory.mktemp("lung")
    (folder / "features").mkdir()
    with np.load(stored) as data:
        features, ends = data["features"], data["offsets"]
        case, fold, label = data["case_id"], data["pfold"], data["label"]
        n_slides = Counter(case.tolist())
        chosen = []
        for place in np.unique(np.stack([fold, label], axis=1), axis=0):
            here = (fold == place[0]) & (label == place[1])
            most = sorted(set(case[here].tolist()), key=lambda c: (-n_slides[c], c))
            chosen += most[:PATIENTS]
        rows = []
        for i in np.flatnonzero(np.isin(case, chosen)):
            name = str(data["slide_id"][i])
            bag = features[ends[i] : ends[i + 1]].astype(np.float32)
            np.save(folder / "features" / f"{name}.npy", bag)
            role = ROLES.get(int(fold[i]), "train")
            known = str(data["classes"][label[i]])
            rows.append((name, known, str(case[i]), role))
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("slide", "label", "patient", "role"))
        writer.writerows(rows)
    return folder


def epochs_of(run: Path) -> list[dict]:
    lines = (run / "events.jsonl").read_text().splitlines()
    own = {"seconds": 0, "memory_mib": 0}  # the process's, not the run's
    return [{**json.loads(line), **own} for line in lines]


def test_the_window_and_the_command_line_come_to_the_same_bits(
    viewer, lung: Path, tmp_path: Path, qtbot
) -> None:
    dock = show.open_dock(viewer)
    dock.runs.wanted_device = "cpu"
    dock.turn_to("Train")
    settle()
    form, state = dock.train.form, dock.trainings.state
    form.ways[NEW].click()
    form.slides.use_table(str(lung / "table.csv"))
    form.slides.use_features(str(lung / "features"))
    for name, value in {"epochs": 2, "threads": 1, "seed": 5}.items():
        form.take(name, value)
    # patients, not slides, are what roles are given to
    for pairs in state.split.counts.values():
        assert sum(slides for slides, _ in pairs) > sum(people for _, people in pairs)
    command = dock.trainings.command()
    dock.train.start.click()
    qtbot.waitUntil(lambda: not state.status.is_at_work, timeout=240_000)
    assert state.status is Status.DONE, dock.state.problem

    place = ["--workspace", str(tmp_path / "other")]
    program, *arguments = shlex.split(command)
    assert program == "napari-mhim"
    done = CliRunner().invoke(cli.app, [*arguments, *place], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    ours, theirs = dock.trainings.folder, tmp_path / "other" / "runs" / state.run
    for stage in ("baseline", ""):
        assert epochs_of(ours / stage) == epochs_of(theirs / stage)
    weights = "bundle/model.safetensors"
    assert (ours / weights).read_bytes() == (theirs / weights).read_bytes()
    assert read_results(ours) == read_results(theirs)
    drawn = [(e.stage, e.losses, e.val) for e in state.epochs]
    assert drawn == [
        (e["stage"], e["losses"], e["val"])
        for stage in ("baseline", "")
        for e in epochs_of(theirs / stage)
    ]
    # figures by patient and by slide differ, and both are shown
    view = dock.train.results.open()
    assert {one.unit for one in view.judged.roc.lines} == {"patients", "slides"}
    assert "by patient" in view.judged.roc_words.text()
    # rows without a slide: nothing to open, and it is said
    view.errors.cellDoubleClicked.emit(0, 0)
    assert dock.state.slide is None
