"""The Train tab in a real window: clicked, watched, stopped, killed, gone on with."""

import csv
import os
import signal
from pathlib import Path

import numpy as np
import psutil
import pytest
from window_pictures import HAS_DISPLAY, settle

from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.review import read_results
from napari_mhim.plugin import sample_data, show
from napari_mhim.plugin.overlays import EVIDENCE, SLIDE
from napari_mhim.plugin.state.training import CUTOFF, NEW, TUNE, Status
from napari_mhim.plugin.widgets.learning import curves
from napari_mhim.slide import open_slide
from napari_mhim.slide.regions import SlideIdentity, region, write_regions

pytestmark = [
    pytest.mark.qt,
    pytest.mark.skipif(not HAS_DISPLAY, reason="no display: use xvfb-run"),
]
LONG = 240_000
"""Most milliseconds to wait: the machine may be busy."""


@pytest.fixture
def added(added_slides, tmp_path: Path) -> Path:
    """Table of twelve small slides no model has seen; their features are there."""
    config = Bundle.open(sample_data.folder() / "bundle").config
    added_slides.give_features(tmp_path / "workspace", config.extraction("cpu"))
    return added_slides.write(tmp_path / "added.csv")


@pytest.fixture
def dock(viewer):
    dock = show.open_dock(viewer)
    place = sample_data.folder()
    dock.show_layers(
        show.layers(
            place / "both.tiff",
            place / "both.h5",
            bundle_path=place / "bundle",
            features_path=place / "both.features.h5",
        )
    )
    dock.runs.wanted_device = "cpu"
    dock.turn_to("Train")
    settle()
    return dock


def choose(dock, added: Path, way: str, **given: object) -> None:
    form = dock.train.form
    form.slides.use_table(str(added))
    form.ways[way].click()
    for name, value in {"threads": 1, **given}.items():
        form.take(name, value)


def begin(dock) -> None:
    assert dock.trainings.can_start() is None, dock.train.why_not.text()
    dock.train.start.click()
    assert dock.trainings.state.status is Status.RUNNING


def ask(dock, added: Path, way: str, **given: object) -> None:
    choose(dock, added, way, **given)
    begin(dock)


def hint_on_a_training_slide(dock) -> None:
    """Draw a region named with the slide's class on its upper half."""
    row = dock.trainings.state.split.table.with_role("train")[0]
    with open_slide(row.path) as slide:
        height, width = slide.shape
        half = np.array([[0, 0], [0, width], [height // 2, width], [height // 2, 0]])
        drawn = region(half, kind="hint", class_name=row.label)
        path = dock.trainings.place.regions_path(slide.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_regions(path, [drawn], SlideIdentity.of(slide))
    dock.trainings.look()


def wait_for(qtbot, dock, status: Status) -> None:
    state = dock.trainings.state
    qtbot.waitUntil(lambda: not state.status.is_at_work, timeout=LONG)
    assert state.status is status, dock.state.problem


def wait_for_epochs(qtbot, dock, n: int) -> None:
    state = dock.trainings.state
    qtbot.waitUntil(
        lambda: len(state.watched) >= n or not state.status.is_at_work, timeout=LONG
    )
    assert len(state.watched) >= n, dock.state.problem


def test_nothing_starts_without_slides(dock) -> None:
    assert not dock.train.start.isEnabled()
    assert "Choose a label table" in dock.train.why_not.text()


def test_a_model_is_fine_tuned_by_clicking(dock, added: Path, qtbot) -> None:
    evidence = dock.canvas.layers()[EVIDENCE]
    before = np.array(evidence.data)
    parent = dock.state.bundle
    n_layers = len(dock.canvas.viewer.layers)
    # every drawing is kept: on a quick machine several epochs arrive at once
    drawn = []
    evidence.events.data.connect(lambda: drawn.append(np.array(evidence.data)))
    choose(dock, added, TUNE, epochs=3, lr=1e-2, tune="all")
    hint_on_a_training_slide(dock)
    switch = dock.train.switch
    assert "1 region on 1 training slide could join" in switch.line.text()
    switch.on.click()
    assert "1 region on 1 training slide will join" in switch.line.text()
    begin(dock)
    assert not dock.train.asks.isVisibleTo(dock.train)
    wait_for(qtbot, dock, Status.DONE)
    # the region taught, in the epochs that drew its slide
    taught = curves(dock.trainings.state.epochs)["hint loss"]
    assert np.isfinite(taught).any()
    # overlays have moved from epoch to epoch, in the layers that were there
    first = drawn[0]
    assert np.nanmax(np.abs(first - before)) > 0
    assert np.nanmax(np.abs(np.array(evidence.data) - first)) > 0
    assert len(dock.canvas.viewer.layers) == n_layers
    assert len(dock.trainings.state.epochs) == 3
    # the model is there to be used, and says where it comes from
    assert dock.state.bundle.config.trained["parent"]["id"] == parent.id
    assert "Before → after" in dock.train.results.content.change.text()
    # another epoch's overlays, and those of the result again
    dock.train.epoch.setValue(0)
    np.testing.assert_array_equal(evidence.data, first)
    dock.turn_to("Review")
    settle()
    np.testing.assert_array_equal(evidence.data, before)


@pytest.mark.slow
def test_a_slide_without_a_result_is_watched_too(dock, added: Path, qtbot) -> None:
    with added.open(newline="") as file:
        slide = next(csv.DictReader(file))["path"]
    dock.open_slide(slide)
    settle()
    ask(dock, added, NEW, epochs=2, recipe="plain", max_instances=200)
    wait_for(qtbot, dock, Status.DONE)
    assert dock.tab == "Train"
    assert set(dock.canvas.layers()) > {SLIDE, EVIDENCE}
    assert np.isfinite(dock.canvas.layers()[EVIDENCE].data).any()
    assert dock.state.result is None
    # what a model in training said is no result: it goes with the tab
    dock.turn_to("Slides")
    settle()
    assert set(dock.canvas.layers()) == {SLIDE}


@pytest.mark.slow
def test_paused_resumed_stopped_and_kept(dock, added: Path, qtbot) -> None:
    train = dock.train
    ask(dock, added, TUNE, epochs=500)
    wait_for_epochs(qtbot, dock, 1)
    pid = dock.runs._job.pid
    train.pause.click()
    wait_for(qtbot, dock, Status.PAUSED)
    assert not psutil.pid_exists(pid)
    assert not train.keep_best.isVisibleTo(train)
    train.resume.click()
    assert dock.trainings.state.status is Status.RUNNING
    wait_for_epochs(qtbot, dock, 1)
    train.pause.click()
    wait_for(qtbot, dock, Status.PAUSED)
    train.stop.click()
    assert dock.trainings.state.status is Status.STOPPED
    assert train.resume.isVisibleTo(train)
    assert dock.trainings.unfinished_runs() == (dock.trainings.state.run,)
    dock.train.keep_best.click()
    wait_for(qtbot, dock, Status.DONE)
    assert Bundle.open(dock.trainings.state.bundle_path).config.trained["epochs"] < 500
    assert dock.trainings.unfinished_runs() == ()


def test_a_killed_run_is_told_and_goes_on(dock, added: Path, qtbot) -> None:
    ask(dock, added, TUNE, epochs=8)
    wait_for_epochs(qtbot, dock, 1)
    os.kill(dock.runs._job.pid, signal.SIGKILL)
    wait_for(qtbot, dock, Status.FAILED)
    assert "killed" in dock.state.problem
    assert "start it again" in dock.state.problem
    behind = len(dock.trainings.state.epochs)
    dock.train.resume.click()
    assert len(dock.trainings.state.epochs) >= behind
    wait_for(qtbot, dock, Status.DONE)
    assert [done.epoch for done in dock.trainings.state.epochs] == list(range(1, 9))


@pytest.mark.slow
def test_a_run_is_taken_up_on_another_day(viewer, dock, added: Path, qtbot) -> None:
    ask(dock, added, TUNE, epochs=500)
    wait_for_epochs(qtbot, dock, 1)
    run = dock.trainings.state.run
    viewer.window.remove_dock_widget(dock)
    settle()
    again = show.open_dock(viewer)
    again.turn_to("Train")
    settle()
    assert again.trainings.unfinished_runs() == (run,)
    again.train.unfinished.setCurrentIndex(1)
    again.train.unfinished.activated.emit(1)
    assert again.trainings.state.status is Status.STOPPED
    assert again.trainings.state.epochs
    assert again.train.curves.isVisibleTo(again.train)
    again.train.discard.click()
    assert again.trainings.unfinished_runs() == ()
    assert again.trainings.state.status is Status.IDLE


def test_the_cutoff_alone(dock, added: Path, qtbot) -> None:
    weights = dock.state.bundle.tensors()
    dock.train.form.slides.use_table(str(added))
    dock.train.form.ways[CUTOFF].click()
    dock.train.start.click()
    wait_for(qtbot, dock, Status.DONE)
    config = dock.state.bundle.config
    assert config.trained["parent"]["tuned"] == "cut-off"
    assert config.cutoff.n == 12
    ours = dock.state.bundle.tensors()
    assert all((ours[name] == weights[name]).all() for name in weights)


def test_a_confusion_cell_filters_and_a_double_click_opens(
    dock, added: Path, qtbot
) -> None:
    ask(dock, added, NEW, epochs=1, recipe="plain")
    wait_for(qtbot, dock, Status.DONE)
    view = dock.train.results.open()
    place = view.role.findData("train")
    view.role.setCurrentIndex(place)
    n = view.errors.rowCount()
    # curves of the role that is chosen, from the run's own file
    slides = read_results(dock.trainings.folder).slides
    assert sum(one.n for one in view.judged.reliability.points) == sum(
        one.role == "train" for one in slides
    )
    assert view.judged.roc.lines[0].points[-1] == (1, 1)
    assert "AUC" in view.judged.roc_words.text()
    assert "ECE" in view.judged.calibration_words.text()
    cells = [
        (row, column, int(view.confusion.item(row, column).text()))
        for row in range(2)
        for column in range(2)
    ]
    assert sum(count for *_, count in cells) == n > 0
    for row, column, count in cells:
        view.confusion.cellClicked.emit(row, column)
        assert view.errors.rowCount() == count
        view.confusion.cellClicked.emit(row, column)
        assert view.errors.rowCount() == n
    name = view.errors.item(0, 0).text()
    view.errors.cellDoubleClicked.emit(0, 0)
    assert dock.state.slide.name == name
    # the model looks at it, and one stands before its hardest patch
    qtbot.waitUntil(lambda: not dock.state.job.is_busy, timeout=LONG)
    assert dock.state.result.slide == name
    assert dock.state.result.bundle_id == dock.state.bundle.id
    rings = len(dock.state.rings())
    assert dock.state.ring == (0 if rings else -1)


@pytest.mark.slow
def test_a_loss_that_is_no_number_is_told_and_nothing_is_lost(
    dock, added: Path, qtbot
) -> None:
    ask(dock, added, NEW, epochs=3, recipe="plain", lr=1e30)
    wait_for(qtbot, dock, Status.FAILED)
    assert "learning rate" in dock.state.problem
    assert dock.train.discard.isVisibleTo(dock.train)
    dock.train.discard.click()
    assert dock.trainings.unfinished_runs() == ()
    assert dock.train.start.isVisibleTo(dock.train)


def test_every_setting_of_the_config_is_in_the_form(dock) -> None:
    from napari_mhim._options import options
    from napari_mhim.mil.config import TrainConfig
    from napari_mhim.plugin.widgets.settings_form import LEFT_OUT

    names = {option.name for option in options(TrainConfig)} - set(LEFT_OUT)
    assert set(dock.train.form.settings.inputs) == names
    for widget in dock.train.form.settings.inputs.values():
        assert widget.toolTip()


def test_settings_are_saved_and_loaded(dock, added: Path, tmp_path: Path) -> None:
    form = dock.train.form
    form.ways[NEW].click()
    form.take("lr", 3e-3)
    form.take("recipe_options", {"momentum": 0.5})
    form.save(str(tmp_path / "s.json"))
    form.take("lr", None)
    form.take("recipe_options", None)
    form.load(str(tmp_path / "s.json"))
    config = dock.trainings.config()
    assert (config.lr, config.recipe_options["momentum"]) == (3e-3, 0.5)


def test_a_setting_that_cannot_be_is_told_and_not_kept(dock) -> None:
    dock.train.form.take("lr", -1.0)
    assert "Lr must be above 0" in dock.state.problem
    assert dock.trainings.config().lr > 0


def test_one_class_only_is_refused_before_the_start(
    dock, added: Path, tmp_path: Path
) -> None:
    lines = added.read_text().splitlines()
    table = tmp_path / "one.csv"
    table.write_text("\n".join([lines[0], *(x for x in lines[1:] if "normal" in x)]))
    dock.train.form.ways[NEW].click()
    dock.train.form.slides.use_table(str(table))
    assert not dock.train.start.isEnabled()
    assert "two classes" in dock.train.why_not.text()
