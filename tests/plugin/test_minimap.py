"""The whole slide at a glance: what is in view, and going there."""

import made
import numpy as np
import pytest
from napari.components import ViewerModel
from window_pictures import HAS_DISPLAY, settle

from napari_mhim.plugin import sample_data, show
from napari_mhim.plugin.overview import go, heat, in_view
from napari_mhim.plugin.palette import EVIDENCE_MAP


def test_what_is_in_view_is_told_in_pixels_of_the_slide() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((100, 200)), scale=(0.5, 0.25))
    viewer.scene.camera.zoom = 10
    go(viewer, layer, np.array([40.0, 120.0]))
    low, high = in_view(viewer, layer)
    assert (low + high) / 2 == pytest.approx([40, 120])
    height, width = np.array(viewer.canvas.size) / 10
    assert high - low == pytest.approx([height / 0.5, width / 0.25])


def test_heat_is_in_the_colours_of_the_layer() -> None:
    result = made.result()
    colours = heat(result)
    rows, cols = result.grid.cells.T
    assert (np.delete(colours[..., 3], 0) >= 0).all()
    outside = np.ones(result.grid.shape, bool)
    outside[rows, cols] = False
    assert (colours[outside, 3] == 0).all()
    strongest = int(result.contribution[:, 1].argmax())
    limit = float(result.evidence_limits[1])
    share = min(1, (result.contribution[strongest, 1] / limit + 1) / 2)
    wanted = EVIDENCE_MAP.at(share) * 255
    assert colours[rows[strongest], cols[strongest]] == pytest.approx(wanted, abs=6)


@pytest.mark.qt
@pytest.mark.skipif(not HAS_DISPLAY, reason="no display: use xvfb-run")
class TestWindow:
    @pytest.fixture
    def dock(self, viewer):
        place = sample_data.folder()
        dock = show.open_dock(viewer)
        dock.show_layers(show.layers(place / "both.tiff", place / "both.h5"))
        settle()
        dock.canvas.look_at_all()
        return dock

    def test_a_click_goes_there_and_the_frame_follows(
        self, dock, viewer, qtbot
    ) -> None:
        from qtpy.QtCore import QPointF, Qt

        picture = dock.review.sections["Map"].open().picture
        settle()
        whole = picture.frame()
        viewer.scene.camera.zoom *= 4
        close = picture.frame()
        assert close.width() < whole.width() / 2
        at = picture._room().center() + QPointF(30, 20)
        qtbot.mouseClick(picture, Qt.MouseButton.LeftButton, pos=at.toPoint())
        moved = picture.frame()
        assert moved.center().x() == pytest.approx(at.x(), abs=2)
        assert moved.center().y() == pytest.approx(at.y(), abs=2)

    def test_it_draws_the_evidence(self, dock) -> None:
        picture = dock.review.sections["Map"].open().picture
        settle()
        result = dock.state.result
        row = int(result.contribution[:, result.target].argmax())
        middle = result.grid.corners[row] + result.grid.patch_px / 2
        at = picture._to_widget(middle, picture._room()).toPoint()
        with_it = picture.grab().toImage().pixelColor(at)
        picture._heat = None
        without = picture.grab().toImage().pixelColor(at)
        # orange: red stays, blue goes
        assert without.blue() - with_it.blue() > 20

    def test_it_lets_go(self, dock, viewer) -> None:
        camera = viewer.scene.camera
        before = len(camera.events.center.callbacks)
        section = dock.review.sections["Map"]
        section.open()
        assert len(camera.events.center.callbacks) == before + 1
        dock.make_room()
        assert section.content.picture.frame() is None
        section.release()
        assert len(camera.events.center.callbacks) == before
