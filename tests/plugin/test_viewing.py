"""The slide on screen: coarse at once, sharp when it has come, never waiting for the disk."""

import copy
import threading

import numpy as np
import pytest
from gated import Disk, pictures, slide_on
from window_pictures import HAS_DISPLAY, settle

from napari_mhim.errors import SlideError
from napari_mhim.plugin import refreshing, viewing
from napari_mhim.plugin.canvas import Canvas
from napari_mhim.plugin.open_slides import open_slide
from napari_mhim.plugin.overlays import SLIDE, slide_layer
from napari_mhim.plugin.state.desk import DeskState
from napari_mhim.plugin.viewing import DrawnLevel, SlideView

DRAWN = (slice(256, 900, 1), slice(512, 1400, 1), slice(None))
"""How napari asks for what it draws."""


@pytest.fixture(autouse=True)
def _no_tile_is_slow(monkeypatch) -> None:
    # however busy the machine
    monkeypatch.setattr(viewing, "_SLOW_TILE_SECONDS", 1e9)


@pytest.fixture
def disk():
    disk = Disk()
    yield disk
    disk.lets.set()


@pytest.fixture
def view(disk: Disk, tmp_path, qapp):
    with slide_on(disk, tmp_path / "made.svs") as slide:
        view = SlideView(slide)
        assert view.loader.wait(20)
        yield view


def test_others_get_the_slides_own_pixels_however_slow_the_disk(view, disk) -> None:
    wanted = pictures()[0]
    disk.lets.clear()
    threading.Timer(0.3, disk.lets.set).start()
    part = view.levels[0][256:900, 512:1400]
    np.testing.assert_array_equal(np.asarray(part), wanted[256:900, 512:1400])
    np.testing.assert_array_equal(np.asarray(view.levels[0]), wanted)
    assert view.levels[0].exact is view.slide.levels[0]


def test_what_is_drawn_is_coarse_at_once_and_then_the_slides_own(
    view, disk, qtbot
) -> None:
    fine = pictures()[0][256:900, 512:1400]
    disk.lets.clear()
    coarse = view.levels[0][DRAWN]
    assert coarse.shape == fine.shape
    assert not view.is_sharp
    assert 0 < np.abs(coarse.astype(int) - fine).max() <= 2
    disk.lets.set()
    qtbot.waitUntil(lambda: view.is_sharp, timeout=20_000)
    np.testing.assert_array_equal(view.levels[0][DRAWN], fine)


def test_the_slide_is_never_read_by_the_windows_own_thread(view, disk, qtbot) -> None:
    for level in view.levels[:-1]:
        level[slice(0, 500, 1), slice(0, 700, 1), :]
    qtbot.waitUntil(lambda: not view.loader.is_busy, timeout=20_000)
    np.asarray(view.levels[-1])
    assert disk.read
    assert threading.main_thread() not in disk.threads


def test_the_coarsest_level_comes_though_the_view_has_moved_on(
    disk, tmp_path, qtbot
) -> None:
    disk.lets.clear()
    with slide_on(disk, tmp_path / "made.svs") as slide:
        view = SlideView(slide)
        kept = np.asarray(view.levels[-1])
        assert (kept == viewing.NOT_YET).all()
        view.levels[0][DRAWN]
        disk.lets.set()
        qtbot.waitUntil(lambda: view.is_sharp, timeout=20_000)
        np.testing.assert_array_equal(kept, pictures()[-1])


def test_what_lies_round_the_view_is_read_ahead_and_no_more_than_fits(
    view, disk, qtbot
) -> None:
    disk.read.clear()
    view.levels[0][slice(768, 1024, 1), slice(1024, 1280, 1), :]
    qtbot.waitUntil(lambda: not view.loader.is_busy, timeout=20_000)
    assert {(0, 3, 4), (0, 2, 4), (0, 4, 4), (0, 3, 3), (0, 3, 5)} <= set(disk.read)
    assert view.loader.tile((1, 0, 1)) is not None
    view.slide.cache_bytes = 0
    disk.read.clear()
    view.levels[0][slice(0, 256, 1), slice(2560, 2816, 1), :]
    qtbot.waitUntil(lambda: not view.loader.is_busy, timeout=20_000)
    assert disk.read == [(0, 0, 10)]


def test_it_looks_further_ahead_where_the_view_is_moving_to(view) -> None:
    def ahead(x: int) -> set[int]:
        box = (512, x, 256, 512)
        found = {col for level, _, col in view._may_be_next(0, box) if level == 0}
        view._last = 0, box
        return found

    assert (min(ahead(1024)), max(ahead(1024))) == (3, 6)
    assert max(ahead(1280)) == 8
    assert min(ahead(1024)) == 2


def test_on_a_slow_disk_a_coarser_level_is_read_before_the_one_in_view(
    view, disk, qtbot, monkeypatch
) -> None:
    monkeypatch.setattr(viewing, "_SLOW_TILE_SECONDS", 0)
    disk.read.clear()
    view.levels[0][DRAWN]
    qtbot.waitUntil(lambda: view.is_sharp, timeout=20_000)
    assert any(level == 1 for level, _, _ in disk.read)


def test_a_duplicated_layer_draws_from_the_same_slide(view) -> None:
    assert copy.deepcopy(view.levels)[0].view is view


def test_a_disk_that_is_gone_is_told_once_without_a_name(
    view, disk, qtbot, monkeypatch
) -> None:
    said = []
    monkeypatch.setattr(
        "napari.utils.notifications.show_error", lambda text: said.append(text)
    )
    disk.is_gone = True
    shown = view.levels[0][DRAWN]
    qtbot.waitUntil(lambda: view.is_sharp and bool(said), timeout=20_000)
    view.levels[0][slice(0, 256, 1), slice(0, 256, 1), :]
    qtbot.waitUntil(lambda: view.is_sharp, timeout=20_000)
    assert said == [viewing.UNREADABLE]
    assert "patient" not in said[0]
    assert np.abs(shown.astype(int) - pictures()[0][256:900, 512:1400]).max() <= 2


def test_the_window_goes_on_while_a_slide_is_opened(qapp) -> None:
    from qtpy.QtCore import QTimer

    answered = threading.Event()
    # only a window that goes on comes to this
    QTimer.singleShot(300, answered.set)
    assert refreshing.aside(lambda: answered.wait(20))
    assert refreshing.aside(threading.current_thread) is not threading.main_thread()


def test_what_goes_wrong_while_a_slide_is_opened_is_raised(qapp, tmp_path) -> None:
    with pytest.raises(SlideError, match="no file"):
        open_slide(tmp_path / "none.svs")


@pytest.mark.qt
@pytest.mark.skipif(not HAS_DISPLAY, reason="no display: use xvfb-run")
class TestWindow:
    @pytest.fixture
    def canvas(self, viewer):
        canvas = Canvas(viewer, DeskState())
        yield canvas
        canvas.make_room()
        canvas.release()

    def put(self, canvas, disk, tmp_path):
        # too small a cache to read ahead into
        slide = slide_on(disk, tmp_path / "made.svs", cache_bytes=1 << 19)
        canvas.put([slide_layer(slide)])
        settle()
        return canvas.layers()[SLIDE]

    def test_napari_draws_coarse_and_then_sharp_without_waiting(
        self, canvas, viewer, disk, tmp_path
    ) -> None:
        layer = self.put(canvas, disk, tmp_path)
        assert viewing.wait_until_sharp(viewer)
        assert isinstance(layer.data[0], DrawnLevel)
        disk.lets.clear()
        viewer.scene.camera.center = (0.0, 700.0, 900.0)
        viewer.scene.camera.zoom = 1.0
        settle()
        assert layer.data_level == 0
        low, high = layer.corner_pixels
        fine = pictures()[0][low[0] : high[0] + 1, low[1] : high[1] + 1].astype(int)
        at = tuple(((high - low) // 2).tolist())

        def shown():
            # what napari hands to the screen, at the middle of the view
            _, colour = layer.get_value(low + at)
            return np.abs(colour.astype(int) - fine[at]).max()

        assert not viewing.wait_until_sharp(viewer, 0.2)
        assert shown() <= 2
        disk.lets.set()
        assert viewing.wait_until_sharp(viewer)
        assert shown() == 0
        assert threading.main_thread() not in disk.threads

    def test_a_slide_taken_away_while_it_is_read_closes_when_that_ends(
        self, canvas, viewer, disk, tmp_path, qtbot
    ) -> None:
        layer = self.put(canvas, disk, tmp_path)
        assert viewing.wait_until_sharp(viewer)
        disk.lets.clear()
        viewer.scene.camera.zoom = 1.0
        settle()
        canvas.make_room()
        settle()
        assert layer.data[0].view.slide.is_closed
        disk.lets.set()
        qtbot.waitUntil(lambda: disk.is_closed, timeout=20_000)
        settle()

    def test_the_layers_picture_in_the_list_is_of_the_slide(
        self, canvas, viewer, disk, tmp_path, monkeypatch
    ) -> None:
        monkeypatch.setattr(viewing, "GRACE_SECONDS", 0)
        disk.lets.clear()
        layer = self.put(canvas, disk, tmp_path)
        before = layer.thumbnail.copy()
        disk.lets.set()
        assert layer.data[0].view.loader.wait(20)
        # drawn in between, before the window has come to what has arrived
        layer.data[0][slice(0, 99, 1), slice(0, 99, 1), :]
        assert viewing.wait_until_sharp(viewer)
        assert (layer.thumbnail != before).any()
