"""A real window on a real or virtual screen: clicks, and pixels of screenshots."""

import os
import subprocess
import sys
from pathlib import Path

import made
import numpy as np
import pytest
from window_pictures import HAS_DISPLAY, canvas_pixels, settle

from napari_mhim.mil.result import SlideResult
from napari_mhim.plugin import sample_data, show
from napari_mhim.plugin.jobs import JobState
from napari_mhim.plugin.overlays import ATTENTION, EVIDENCE, HARD, HIDDEN, SLIDE, TRUTH
from napari_mhim.plugin.widgets import keys

pytestmark = [
    pytest.mark.qt,
    pytest.mark.skipif(not HAS_DISPLAY, reason="no display: use xvfb-run"),
]


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("window")
    made.write_folder(folder, "both")
    made.write_folder(folder, "negative", positive=False)
    made.write_folder(folder, "scaleless", mpp=None)
    return folder


@pytest.fixture
def dock(viewer, samples: Path):
    dock = show.open_result(
        viewer,
        samples / "both.tiff",
        samples / "both.h5",
        samples / "both.truth.json",
        samples / "both.baseline.h5",
    )
    settle()
    dock.canvas.look_at_all()
    settle()
    return dock


def visible(dock) -> set[str]:
    return {part for part, layer in dock.canvas.layers().items() if layer.visible}


def test_an_empty_dock_says_what_to_do_first(viewer) -> None:
    dock = show.open_dock(viewer)
    assert [dock.tabs.tabText(n) for n in range(dock.tabs.count())] == [
        "Slides",
        "Analyse",
        "Review",
        "Train",
    ]
    assert not dock.analyse.run.isEnabled()
    assert dock.analyse.why_not.text() == "Open a slide first."
    assert "No result yet" in dock.review.nothing.text()


def test_the_first_screen(dock, viewer) -> None:
    assert visible(dock) == {SLIDE, EVIDENCE, HARD}
    assert dock.tab == "Review"
    assert "above the cut-off 0.44" in dock.review.score.text()
    assert dock.header.headline.text() == "<b>both · held-out slide</b>"
    assert viewer.layers.selection.active.name == "Slide"
    assert dock.header.badge.isHidden()


def test_overlays_lie_on_their_patches(dock, viewer) -> None:
    result, canvas = dock.state.result, dock.canvas
    canvas.show_only()
    plain = canvas_pixels(viewer)
    canvas.show_only(EVIDENCE)
    drawn = canvas_pixels(viewer)
    warmer = drawn.change_of(plain)
    grid = result.grid
    for row in (0, 7, len(result) - 1):
        corner = (grid.corners[row] + 3) * made.MPP
        end = (grid.corners[row] + grid.patch_px - 4) * made.MPP
        for at in (corner, end):
            red, _, blue = warmer(at)
            # strong evidence is orange: red stays, blue goes
            assert (red - blue > 25) == (row < 8), (row, red, blue)


def test_rings_are_hollow_and_round_their_patch(dock, viewer) -> None:
    canvas = dock.canvas
    canvas.show_only(HARD)
    settle()
    picture = canvas_pixels(viewer)
    hard = canvas.layers()[HARD]
    at = np.array(hard.data_to_world(hard.data[0]))
    radius = hard.size[0] / 2 * np.mean(made.MPP)
    middle = picture.around(at, 2).mean()
    edge = min(
        picture.around(at - [0, radius * f], 2).min() for f in (0.88, 0.92, 0.96)
    )
    assert middle > 120
    assert edge < 60


def test_switches_and_layers_are_bound_both_ways(dock) -> None:
    row = dock.review.rows[ATTENTION]
    layer = dock.canvas.layers()[ATTENTION]
    row.switch.click()
    assert layer.visible
    assert not row.legend.isHidden()
    layer.visible = False
    assert not row.switch.isChecked()
    assert row.legend.isHidden()


def test_the_legend_shows_the_limits_of_the_layer(dock) -> None:
    (bar,) = dock.review.rows[EVIDENCE]._bars
    assert bar.numbers() == ("-4", "0", "+4")
    dock.canvas.layers()[EVIDENCE].contrast_limits = (-2, 2)
    assert bar.numbers() == ("-2", "0", "+2")


def test_the_tour_shows_what_it_asks(dock, viewer) -> None:
    tour = dock.review.tour
    shown = []
    for step in tour.steps:
        step.click()
        shown.append(visible(dock) - {SLIDE})
    assert shown == [
        {EVIDENCE},
        {HIDDEN},
        {EVIDENCE, HARD},
        {TRUTH, HARD},
        {EVIDENCE, HARD},
    ]
    tour.steps[2].click()
    assert dock.state.ring == 0
    assert "Patch 1 of" in tour.answer.text()
    tour.steps[3].click()
    labels = dock.state.ring_labels()
    assert f"Rings inside: hard {labels['hard']}, easy" in tour.answer.text()


def test_comparing_shows_both_scores_and_swaps_the_evidence(dock) -> None:
    tour = dock.review.tour
    tour.steps[4].click()
    before = dock.canvas.layers()[EVIDENCE].data.copy()
    tour.baseline.click()
    assert "Baseline 0.65" in tour.answer.text()
    assert "MHIM 0.91" in tour.answer.text()
    assert not np.array_equal(
        before, dock.canvas.layers()[EVIDENCE].data, equal_nan=True
    )
    tour.mhim.click()
    np.testing.assert_array_equal(before, dock.canvas.layers()[EVIDENCE].data)


def test_a_negative_slide_says_that_there_is_no_ring(dock, viewer, samples) -> None:
    show.open_result(viewer, samples / "negative.tiff", samples / "negative.h5")
    review = dock.review
    assert "No remaining patch supports <i>tumour</i>." in review.no_rings.text()
    assert not review.no_rings.isHidden()
    assert not review.next.isEnabled()
    review.tour.steps[2].click()
    assert "No remaining patch" in review.tour.answer.text()
    assert review.tour.steps[3].isHidden()
    assert review.tour.steps[4].isHidden()


def test_keys_of_the_viewer_do_what_the_dock_lists(dock, viewer, qtbot) -> None:
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QApplication

    viewer.window.activate()
    settle()
    target = next(
        w
        for w in QApplication.allWidgets()
        if type(w).__name__ == "CanvasBackendDesktop"
    )
    target.setFocus()
    QTest.keyClick(target, Qt.Key.Key_N)
    assert dock.state.ring == 0
    QTest.keyClick(target, Qt.Key.Key_N)
    assert dock.state.ring == 1
    QTest.keyClick(target, Qt.Key.Key_N, Qt.KeyboardModifier.ShiftModifier)
    assert dock.state.ring == 0
    QTest.keyPress(target, Qt.Key.Key_H, Qt.KeyboardModifier.AltModifier)
    assert visible(dock) == {SLIDE}
    QTest.keyRelease(target, Qt.Key.Key_H, Qt.KeyboardModifier.AltModifier)
    assert visible(dock) == {SLIDE, EVIDENCE, HARD}


def test_an_unreadable_file_is_told_in_the_dock(dock, tmp_path: Path) -> None:
    bad = tmp_path / "bad.svs"
    bad.write_text("this is no slide")
    dock.open_slide(str(bad))
    assert "bad.svs" in dock.message.text.text()
    assert not dock.message.isHidden()
    assert dock.state.slide.name == "both"


def test_a_folder_that_is_no_model_is_told_in_the_dock(dock, tmp_path: Path) -> None:
    dock.runs.choose_bundle(str(tmp_path))
    assert "config.json" in dock.message.text.text()
    assert dock.state.bundle is None


def test_a_slide_without_scale_wears_a_badge_and_remembers_what_it_is_told(
    viewer, samples: Path
) -> None:
    dock = show.open_dock(viewer)
    dock.open_slide(str(samples / "scaleless.tiff"))
    assert not dock.header.badge.isHidden()
    assert not dock.analyse.mpp_box.isHidden()
    dock.analyse.mpp.setValue(0.25)
    dock.analyse._give_mpp()
    assert dock.header.badge.isHidden()
    assert str(viewer.layers[0].units[0]) == "micrometer"
    dock.open_slide(str(samples / "both.tiff"))
    dock.open_slide(str(samples / "scaleless.tiff"))
    assert dock.state.mpp == (0.25, 0.25)
    assert str(viewer.layers[0].units[0]) == "micrometer"


def test_nothing_is_cut_off_on_a_small_screen(dock) -> None:
    from qtpy.QtWidgets import QWidget

    dock.review.tour.steps[4].click()
    settle()
    for number, tab in enumerate((dock.slides, dock.analyse, dock.review)):
        dock.tabs.setCurrentIndex(number)
        settle()
        room = dock.tabs.widget(number).viewport().width()
        assert tab.width() <= room
        for child in tab.findChildren(QWidget):
            if hasattr(child, "mapTo") and child.isVisible():
                right = child.mapTo(tab, child.rect().bottomRight()).x()
                assert right < room, (type(child).__name__, right, room)


def test_closing_the_dock_leaves_a_working_viewer(dock, viewer) -> None:
    viewer.window.remove_dock_widget(dock)
    settle()
    hard = next(layer for layer in viewer.layers if layer.name == "Hard patches")
    hard.visible = False
    viewer.layers.remove(hard)
    viewer.layers.clear()
    again = show.open_dock(viewer)
    assert again.state.slide is None


def test_a_dock_opened_again_shows_the_result_that_is_there(dock, viewer) -> None:
    viewer.window.remove_dock_widget(dock)
    settle()
    again = show.open_dock(viewer)
    assert again is not dock
    assert again.state.result.slide == "both"
    assert again.tab == "Review"


def test_run_from_button_to_result(viewer, small_run, qtbot) -> None:
    dock = show.open_dock(viewer)
    dock.open_slide(str(small_run.slides[0]))
    assert dock.analyse.why_not.text() == "Choose a model first."
    dock.runs.choose_bundle(str(small_run.bundle))
    qtbot.waitUntil(lambda: dock.state.n_patches is not None, timeout=60_000)
    qtbot.waitUntil(lambda: dock.state.device != "", timeout=60_000)
    assert "patches" in dock.analyse.cost.text()
    dock.analyse.run.click()
    assert not dock.analyse.run.isEnabled()
    assert not dock.job_bar.isHidden()
    qtbot.waitUntil(lambda: dock.state.result is not None, timeout=120_000)
    assert dock.state.problem == ""
    assert dock.tab == "Review"
    assert dock.state.n_patches == len(dock.state.result)
    kept = dock.runs.workspace / "results"
    (path,) = kept.rglob("*.h5")
    assert SlideResult.load(path).score == pytest.approx(dock.state.result.score)
    qtbot.waitUntil(lambda: dock.job_bar.isHidden(), timeout=10_000)


def test_a_run_is_cancelled_from_the_job_bar(viewer, small_run, qtbot) -> None:
    dock = show.open_dock(viewer)
    dock.open_slide(str(small_run.slides[1]))
    dock.runs.choose_bundle(str(small_run.bundle))
    dock.analyse.run.click()
    job = dock.runs._job
    dock.job_bar.cancel.click()
    assert dock.job_bar.cancel.text() == "Cancelling …"
    qtbot.waitUntil(lambda: job.state is JobState.CANCELLED, timeout=10_000)
    assert dock.job_bar.isHidden()
    assert dock.state.result is None
    assert dock.analyse.run.isEnabled()
    assert "Cancelled" in dock.message.text.text()


def test_open_sample_shows_slide_result_and_dock(
    viewer, samples: Path, monkeypatch
) -> None:
    monkeypatch.setattr(sample_data, "folder", lambda: samples)
    for name, n_rings in (("both", 12), ("negative", 0)):
        viewer.open_sample("napari-mhim", name)
        settle()
        dock = show.open_dock(viewer)
        assert dock.state.result.slide == name
        assert dock.tab == "Review"
        assert len(dock.canvas.layers()[HARD].data) == n_rings
        assert [layer.name for layer in viewer.layers.selection] == ["Slide"]
        assert len(viewer.layers) == 6


def test_pictures_of_the_first_screen_and_the_tour(
    dock, viewer, tmp_path: Path
) -> None:
    pictures = show.screenshots(viewer, dock, tmp_path / "pictures")
    assert [path.name for path in pictures] == [
        "screen-0-first.png",
        *(f"screen-{number}-tour.png" for number in range(1, 6)),
    ]
    assert len({path.read_bytes() for path in pictures}) == len(pictures)


def test_the_windows_process_never_imports_torch(samples: Path, tmp_path: Path) -> None:
    program = f"""
import sys, time
import napari
from qtpy.QtWidgets import QApplication
from napari_mhim.plugin import sample_data, show
viewer = napari.Viewer()
dock = show.open_dock(viewer)
dock.open_slide({str(samples / "both.tiff")!r})
until = time.monotonic() + 120
# the child that finds the device imports torch
while not dock.state.device and not dock.state.problem and time.monotonic() < until:
    QApplication.processEvents()
    time.sleep(0.02)
assert dock.state.device, dock.state.problem
assert "torch" not in sys.modules
viewer.close()
"""
    env = {**os.environ, "NAPARI_MHIM_WORKSPACE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_device_that_is_not_there_is_told(viewer, qtbot) -> None:
    dock = show.open_dock(viewer)
    # no computer has both
    absent = "mps" if sys.platform != "darwin" else "cuda"
    dock.analyse.device.setCurrentIndex(dock.analyse.device.findData(absent))
    qtbot.waitUntil(lambda: bool(dock.state.problem), timeout=60_000)
    assert f"'{absent}' is not on this computer" in dock.message.text.text()
    assert dock.header.device.text() == f"no {absent} here"


@pytest.mark.parametrize(("key", "is_claimed"), [("Key_H", True), ("Key_J", False)])
def test_alt_h_alone_is_kept_from_the_menu(qapp, key: str, is_claimed: bool) -> None:
    from qtpy.QtCore import QEvent, Qt
    from qtpy.QtGui import QKeyEvent

    pressed = QKeyEvent(
        QEvent.Type.ShortcutOverride,
        getattr(Qt.Key, key),
        Qt.KeyboardModifier.AltModifier,
    )
    pressed.ignore()
    assert keys.HelpKeepsOff(None).eventFilter(None, pressed) is is_claimed
    assert pressed.isAccepted() is is_claimed
