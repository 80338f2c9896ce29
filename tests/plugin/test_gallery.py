"""The section Patches in a real window: gallery, inspector, keys, and letting go."""

import gc
import weakref
from dataclasses import replace
from pathlib import Path

import made
import numpy as np
import pytest
from window_pictures import HAS_DISPLAY, canvas_pixels, settle

from napari_mhim.plugin import show
from napari_mhim.plugin.overlays import EVIDENCE
from napari_mhim.plugin.state.gallery import GalleryState
from napari_mhim.plugin.thumbnails import Thumbnails
from napari_mhim.slide.tiling import PatchGrid

pytestmark = [
    pytest.mark.qt,
    pytest.mark.skipif(not HAS_DISPLAY, reason="no display: use xvfb-run"),
]


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("gallery")
    made.write_folder(folder, "both")
    made.write_folder(folder, "negative", positive=False)
    return folder


@pytest.fixture
def dock(viewer, samples: Path):
    dock = show.open_result(
        viewer,
        samples / "both.tiff",
        samples / "both.h5",
        baseline_result_path=samples / "both.baseline.h5",
    )
    settle()
    dock.canvas.look_at_all()
    settle()
    return dock


@pytest.fixture
def patches(dock):
    found = dock.review.sections["Patches"].open()
    settle()
    area = dock.tabs.currentWidget()
    area.ensureWidgetVisible(found.inspector)
    settle()
    return found


def choose(combo, value: str) -> None:
    combo.setCurrentIndex(combo.findData(value))


def index_of(patches, place: int):
    return patches.gallery.wall.model().index(place, 0)


def click(patches, place: int, double: bool = False) -> None:
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    wall = patches.gallery.wall
    at = wall.visualRect(index_of(patches, place)).center()
    act = QTest.mouseDClick if double else QTest.mouseClick
    if double:
        QTest.mouseClick(wall.viewport(), Qt.MouseButton.LeftButton, pos=at)
    act(wall.viewport(), Qt.MouseButton.LeftButton, pos=at)


def native_canvas():
    from qtpy.QtWidgets import QApplication

    return next(
        widget
        for widget in QApplication.allWidgets()
        if type(widget).__name__ == "CanvasBackendDesktop"
    )


def on_canvas(viewer, row: int):
    """Where a patch's middle is on the canvas, as a QPoint."""
    from qtpy.QtCore import QPoint

    grid, camera = made.grid(), viewer.scene.camera
    world = (grid.corners[row] + grid.patch_px / 2) * made.MPP
    middle = np.array(viewer.canvas.size) / 2
    y, x = (world - np.array(camera.center[-2:])) * camera.zoom + middle
    return QPoint(round(x), round(y))


def let_go() -> None:
    """Delete what Qt was told to delete later, as its own event loop does."""
    from qtpy.QtCore import QEvent
    from qtpy.QtWidgets import QApplication

    settle()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    gc.collect()


def outlines(viewer) -> list:
    settle(3)  # it is added, and shown, in turns of its own
    return [layer for layer in viewer.layers if layer.name == "Patch in view"]


class TestGallery:
    def test_pictures_come_and_show_their_patch(self, patches, qtbot) -> None:
        wall = patches.gallery.wall
        row = int(patches.state.rows[0])
        thumbnails = patches.gallery._thumbnails
        qtbot.waitUntil(lambda: thumbnails.picture(row) is not None, timeout=20_000)
        qtbot.waitUntil(lambda: not thumbnails.is_reading, timeout=20_000)
        settle()
        image = wall.viewport().grab().toImage()
        at = wall.visualRect(index_of(patches, 0)).center()
        colour = image.pixelColor(at)
        # tissue is pink, with purple speckles
        assert colour.red() - colour.green() > 20

    def test_a_click_selects_outlines_and_tells(self, patches, viewer) -> None:
        click(patches, 2)
        row = int(patches.state.rows[2])
        assert patches.state.current == row
        assert len(outlines(viewer)) == 1
        settle()
        patches.inspector.refresh()
        assert f"Patch {row + 1}<" in patches.inspector.text()
        assert "Selected: 3." in patches.gallery.count.text()

    def test_the_outline_is_seen_on_the_slide(self, patches, dock, viewer) -> None:
        dock.canvas.show_only()
        row = 45
        grid = made.grid()
        patches.state.current = row
        patches.picking.fly()
        drawn = canvas_pixels(viewer)
        middle = (grid.corners[row] + grid.patch_px / 2 - 0.5) * made.MPP
        # a patch is square in the world: 48 µm
        side = grid.patch_px[0] * made.MPP[0] / 2
        for step in ((0, side), (0, -side), (side, 0), (-side, 0)):
            found = drawn.around(middle + np.array(step) * 0.95, 3).reshape(-1, 3)
            is_cyan = (found[:, 0] < 60) & (found[:, 1] > 180) & (found[:, 2] > 200)
            assert is_cyan.any(), step
        inside = drawn.around(middle, 3).reshape(-1, 3).mean(axis=0)
        assert inside[0] > inside[1], "the patch itself is not covered"

    def test_a_double_click_flies_there(self, patches, viewer) -> None:
        click(patches, 4, double=True)
        row = int(patches.state.rows[4])
        grid = made.grid()
        wanted = (grid.corners[row] + (grid.patch_px - 1) / 2) * made.MPP
        np.testing.assert_allclose(viewer.scene.camera.center[-2:], wanted)

    def test_arrows_step_and_enter_flies(self, patches, viewer, qtbot) -> None:
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        wall, rows = patches.gallery.wall, patches.state.rows
        QTest.keyClick(wall, Qt.Key.Key_Right)
        assert patches.state.current == rows[0]
        QTest.keyClick(wall, Qt.Key.Key_Right)
        assert patches.state.current == rows[1]
        QTest.keyClick(wall, Qt.Key.Key_Down)
        assert patches.state.current == rows[1 + wall.columns()]
        QTest.keyClick(wall, Qt.Key.Key_Up)
        QTest.keyClick(wall, Qt.Key.Key_Up)
        assert patches.state.current == rows[1]
        QTest.keyClick(wall, Qt.Key.Key_End)
        assert patches.state.current == rows[-1]
        last = wall.visualRect(index_of(patches, len(rows) - 1))
        assert wall.viewport().rect().contains(last.center())
        QTest.keyClick(wall, Qt.Key.Key_Home)
        assert patches.state.current == rows[0]
        zoom = viewer.scene.camera.zoom
        QTest.keyClick(wall, Qt.Key.Key_Return)
        assert viewer.scene.camera.zoom > zoom

    def test_keys_of_the_viewer_step_through_the_gallery(self, patches, viewer) -> None:
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        viewer.window.activate()
        target = native_canvas()
        target.setFocus()
        rows, alt = patches.state.rows, Qt.KeyboardModifier.AltModifier
        QTest.keyClick(target, Qt.Key.Key_Right, alt)
        assert patches.state.current == rows[0]
        QTest.keyClick(target, Qt.Key.Key_Right, alt)
        assert patches.state.current == rows[1]
        QTest.keyClick(target, Qt.Key.Key_Left, alt)
        assert patches.state.current == rows[0]

    def test_the_rings_keys_move_the_gallery_too(self, patches, dock) -> None:
        rings = patches.state.figures.rings
        dock.review.next.click()
        assert patches.state.current == rings[0]
        dock.review.next.click()
        assert patches.state.current == rings[1]
        place = patches.state.place_of(int(rings[1]))
        assert patches.gallery.wall.currentIndex().row() == place

    def test_choices_change_what_is_shown(self, patches) -> None:
        gallery, state = patches.gallery, patches.state
        choose(gallery.kind, "hidden")
        assert len(state.rows) == made.result().mask.sum()
        assert gallery.sort.currentData() == "teacher"
        assert gallery.wall.model().rowCount() == len(state.rows)
        choose(gallery.kind, "all")
        gallery.least.setValue(0.5)
        assert (state.figures.evidence[state.rows] >= 0.5).all()
        choose(gallery.hidden, "kept")
        assert len(state.rows) == 12
        assert "12 of" in gallery.count.text()
        choose(gallery.sort, "teacher")
        before = state.rows.tolist()
        gallery.way.click()
        assert state.rows.tolist() == before[::-1]
        gallery.least.setValue(900)
        assert "No patch is left" in gallery.count.text()
        gallery.least.setValue(gallery.least.minimum())
        assert state.least_evidence is None
        gallery.least.stepUp()
        assert state.least_evidence == 0

    def test_the_seed_is_there_for_random_patches_only(self, patches) -> None:
        gallery = patches.gallery
        assert not gallery.seed.isVisible()
        choose(gallery.kind, "random")
        assert gallery.seed.isVisible()
        gallery.seed.setValue(3)
        assert patches.state.seed == 3

    def test_nothing_is_wider_than_the_dock(self, patches, dock) -> None:
        choose(patches.gallery.kind, "random")
        settle()
        room = dock.tabs.currentWidget().viewport().width()
        assert dock.review.width() <= room
        assert patches.gallery.wall.columns() == 3
        for child in patches.findChildren(object):
            if hasattr(child, "isVisible") and child.isVisible():
                right = child.mapTo(dock.review, child.rect().bottomRight()).x()
                assert right < room, type(child).__name__

    def test_every_control_says_what_it_does(self, patches) -> None:
        gallery = patches.gallery
        for control in (
            *(gallery.kind, gallery.seed, gallery.sort, gallery.way),
            *(gallery.least, gallery.hidden),
        ):
            assert control.toolTip()


class TestInspector:
    def test_the_mouse_over_the_slide_is_followed(self, patches, viewer) -> None:
        from qtpy.QtTest import QTest

        target = native_canvas()
        for row in (12, 60):
            QTest.mouseMove(target, on_canvas(viewer, row))
            settle()
            assert patches.state.hovered == row
            patches.inspector.refresh()
            assert f"Patch {row + 1}<" in patches.inspector.text()
            assert "under the mouse" in patches.inspector.text()

    def test_a_click_on_the_slide_selects_in_the_gallery(self, patches, viewer) -> None:
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        target = native_canvas()
        QTest.mouseClick(target, Qt.MouseButton.LeftButton, pos=on_canvas(viewer, 33))
        settle()
        assert patches.state.current == 33
        wall = patches.gallery.wall
        place = patches.state.place_of(33)
        assert wall.currentIndex().row() == place
        rect = wall.visualRect(wall.currentIndex())
        assert wall.viewport().rect().contains(rect.center())

    def test_the_baseline_shows_its_own_figures(self, patches, dock) -> None:
        patches.state.current = 3
        patches.inspector.refresh()
        own = patches.inspector.text()
        dock.state.shows_baseline = True
        assert patches.state.current == 3
        patches.inspector.refresh()
        other = patches.inspector.text()
        assert "own rank" in other
        assert other != own
        dock.state.shows_baseline = False
        patches.inspector.refresh()
        assert patches.inspector.text() == own

    def test_without_a_patch_it_says_what_to_do(self, patches) -> None:
        patches.inspector.refresh()
        assert "Point at a patch" in patches.inspector.text()


class TestLettingGo:
    def test_closing_the_section_takes_outline_and_mouse_away(
        self, patches, dock, viewer
    ) -> None:
        section = dock.review.sections["Patches"]
        click(patches, 0)
        assert len(outlines(viewer)) == 1
        assert len(viewer.layers) == 6
        section.head.setChecked(False)
        assert outlines(viewer) == []
        assert not patches.picking.is_open
        section.head.setChecked(True)
        assert len(outlines(viewer)) == 1

    def test_another_tab_takes_them_away_too(self, patches, dock, viewer) -> None:
        click(patches, 0)
        here = dock.tabs.currentIndex()
        dock.tabs.setCurrentIndex(here - 1)
        assert outlines(viewer) == []
        dock.tabs.setCurrentIndex(here)
        assert len(outlines(viewer)) == 1

    def test_another_result(self, patches, dock, viewer, samples) -> None:
        click(patches, 0)
        show.open_result(viewer, samples / "negative.tiff", samples / "negative.h5")
        settle()
        assert patches.state.current == -1
        assert outlines(viewer) == []
        assert patches.state.figures.result.slide == "negative"
        choose(patches.gallery.kind, "hard")
        assert "No patch is left" in patches.gallery.count.text()

    def test_slide_removed_by_hand(self, patches, dock, viewer, qtbot) -> None:
        click(patches, 0)
        viewer.layers.remove(viewer.layers["Slide"])
        settle()
        assert patches.state.figures is None
        assert outlines(viewer) == []
        patches.gallery.wall.viewport().update()
        patches.step(1)
        settle()

    def test_evidence_and_rings_removed_by_hand(self, patches, viewer) -> None:
        click(patches, 0)
        viewer.layers.remove(viewer.layers["Hard patches"])
        viewer.layers.remove(viewer.layers["Evidence: tumour"])
        settle()
        assert patches.state.figures is None
        assert outlines(viewer) == []

    def test_slide_closed_while_pictures_are_read(
        self, patches, dock, viewer, samples, qtbot
    ) -> None:
        thumbnails = patches.gallery._thumbnails
        for _ in range(5):
            thumbnails.want(list(range(len(patches.state.rows))))
            viewer.layers.remove(viewer.layers["Slide"])
            dock.show_layers(show.layers(samples / "both.tiff", samples / "both.h5"))
        qtbot.waitUntil(lambda: not thumbnails.is_reading, timeout=20_000)
        assert patches.state.figures is not None

    def test_the_dock_closed_leaves_the_viewer_as_it_was(
        self, patches, dock, viewer
    ) -> None:
        click(patches, 0)
        state = patches.state
        viewer.window.remove_dock_widget(dock)
        let_go()
        assert outlines(viewer) == []
        assert viewer.keymap == {}
        assert not any(
            "picking" in str(getattr(callback, "__qualname__", "")).lower()
            for callback in (*viewer.mouse_move_callbacks, *viewer.mouse_drag_callbacks)
        )
        layer = next(one for one in viewer.layers if one.name.startswith("Evidence"))
        layer.visible = False
        state.current = 4
        assert outlines(viewer) == []

    def test_nothing_is_leaked(self, viewer, samples) -> None:
        dock = show.open_result(viewer, samples / "both.tiff", samples / "both.h5")
        settle()
        patches = dock.review.sections["Patches"].open()
        settle()
        click(patches, 1)
        settle()
        held = [
            weakref.ref(one)
            for one in (patches.state, patches.picking, patches.gallery._thumbnails)
        ]
        result = weakref.ref(dock.state.result)
        viewer.window.remove_dock_widget(dock)
        viewer.layers.clear()
        del dock, patches
        for _ in range(10):
            let_go()
        assert [one() for one in held] == [None, None, None]
        assert result() is None


class TestWide:
    @pytest.fixture
    def wide(self, patches, viewer):
        found = open_wide(viewer)
        yield found
        if found in list(viewer.window.dock_widgets.values()):
            viewer.window.remove_dock_widget(found)
            let_go()

    def test_it_floats_and_shows_more_columns(self, wide, patches) -> None:
        assert wide.window() is not patches.window()
        assert wide.gallery.wall.columns() > patches.gallery.wall.columns()

    def test_both_show_the_same_patches_and_the_same_current_one(
        self, wide, patches, viewer
    ) -> None:
        choose(wide.gallery.kind, "hidden")
        assert patches.gallery.kind.currentData() == "hidden"
        assert len(patches.state.rows) == made.result().mask.sum()
        patches.step(1)
        assert wide.gallery.wall.currentIndex().row() == 0
        assert len(outlines(viewer)) == 1

    def test_it_follows_the_slide_while_the_section_is_closed(
        self, wide, patches, dock, viewer
    ) -> None:
        patches.state.current = 3
        dock.review.sections["Patches"].head.setChecked(False)
        assert len(outlines(viewer)) == 1
        viewer.window.remove_dock_widget(wide)
        let_go()
        assert outlines(viewer) == []
        assert not patches.picking.is_open

    def test_without_the_dock_it_says_what_to_do(self, wide, dock, viewer) -> None:
        viewer.window.remove_dock_widget(dock)
        let_go()
        assert not wide.gone.isHidden()
        assert "Open it again" in wide.gone.text()
        assert outlines(viewer) == []


def open_wide(viewer):
    _, found = viewer.window.add_plugin_dock_widget(
        "napari-mhim", "MHIM: Gallery (wide)"
    )
    settle()
    return found


def test_fifty_thousand_patches_lay_out_only_what_is_seen(qtbot) -> None:
    """No picture is asked for, and no item painted, beyond the visible lines."""
    from napari_mhim.plugin.widgets.wall import Wall

    n, asked = 50_000, []
    state = GalleryState()
    state.take(large_result(n))

    class Watched(Thumbnails):
        def want(self, rows) -> None:
            asked.append(list(rows))

    thumbnails = Watched(px=32)
    wall = Wall(state, thumbnails)
    qtbot.addWidget(wall)
    wall.resize(330, 300)
    wall.show()
    settle()
    bar = wall.verticalScrollBar()
    lines = -(-n // wall.columns())
    assert bar.maximum() == lines * wall.cell().height() - wall.viewport().height()
    for value in (0, bar.maximum() // 2, bar.maximum()):
        bar.setValue(value)
        settle()
        assert 0 < len(asked[-1]) <= 5 * wall.columns()
    assert asked[-1][-1] == state.rows[-1]
    for place in (0, 25_001, n - 1):
        index = wall.model().index(place, 0)
        wall.scrollTo(index)
        at = wall.visualRect(index).center()
        assert wall.indexAt(at).row() == place
    wall.release()
    thumbnails.close()


def large_result(n: int):
    rows = -(-n // 250)
    cells = np.argwhere(np.ones((rows, 250), bool))[:n].astype(np.int32)
    rng = np.random.default_rng(0)
    attention = rng.random((1, n)).astype(np.float32)
    push = rng.normal(size=n).astype(np.float32)
    return replace(
        made.result(),
        grid=PatchGrid(
            origin=np.zeros(2),
            stride_px=np.full(2, 4.0),
            patch_px=np.full(2, 4.0),
            shape=(rows, 250),
            cells=cells,
            mpp=0.5,
            patch_model_px=4,
        ),
        attention=attention / attention.sum(),
        evidence=np.stack([-push, push], axis=1),
        student_scores=attention[0],
        teacher_scores=rng.random(n).astype(np.float32),
        mask=rng.random(n) < 0.1,
    )


def test_the_evidence_strip_has_the_colours_of_the_slide(patches, dock, qtbot) -> None:
    wall = patches.gallery.wall
    settle()
    image = wall.viewport().grab().toImage()
    choose(patches.gallery.sort, "contribution")
    settle()
    strongest = wall.viewport().grab().toImage()
    rect = wall.visualRect(index_of(patches, 0))
    at = rect.topLeft()
    # below the picture: orange, for the class
    y = at.y() + 5 + (rect.width() - 10) + 2
    colour = strongest.pixelColor(rect.center().x(), y)
    assert colour.red() - colour.blue() > 60
    assert image.size() == strongest.size()
    assert dock.canvas.layers()[EVIDENCE].visible
