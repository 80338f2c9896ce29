"""Files of several scenes, and slides that are folders, in the window."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from qtpy.QtWidgets import QFileDialog
from window_pictures import HAS_DISPLAY, settle

from napari_mhim.plugin.canvas import Canvas
from napari_mhim.plugin.state.desk import DeskState

SHAPES = {"Smith, left": (600, 900), "right": (500, 700)}


@pytest.fixture
def two_scenes(tmp_path: Path) -> Path:
    path = tmp_path / "two.ome.tiff"
    with tifffile.TiffWriter(path, ome=True) as tiff:
        for value, (name, shape) in enumerate(SHAPES.items()):
            said = {"axes": "YXS", "Name": name, "PhysicalSizeX": 0.5}
            image = np.full((*shape, 3), 100 + 50 * value, np.uint8)
            tiff.write(image, photometric="rgb", tile=(64, 64), metadata=said)
    return path


def test_another_scene_is_another_slide_for_looking_only(two_scenes: Path) -> None:
    canvas = Canvas(ViewerModel(), DeskState())
    canvas.open(str(two_scenes))
    first = canvas.state.slide
    assert (first.scene, first.scenes) == (0, tuple(SHAPES))
    canvas.state.bundle = object()  # any model
    canvas.state.given_mpp = 0.5
    assert canvas.state.can_run() is None
    canvas.open(str(two_scenes), 1)
    second = canvas.state.slide
    assert (second.scene, second.shape) == (1, SHAPES["right"])
    assert second.fingerprint != first.fingerprint
    assert "first scene" in canvas.state.can_run()
    canvas.make_room()


@pytest.mark.qt
@pytest.mark.skipif(not HAS_DISPLAY, reason="no display: use xvfb-run")
class TestWindow:
    @pytest.fixture
    def tab(self, viewer):
        from napari_mhim.plugin import show

        dock = show.open_dock(viewer)
        dock.turn_to("Analyse")
        yield dock.analyse
        dock.make_room()

    def test_scenes_are_chosen_in_the_analyse_tab(self, tab, two_scenes: Path) -> None:
        state = tab._state
        tab._open_slide(str(two_scenes))
        settle()
        assert tab.scenes.isVisible()
        listed = [tab.scenes.itemText(n) for n in range(tab.scenes.count())]
        assert listed == ["Scene 1 of 2 · Smith, left", "Scene 2 of 2 · right"]
        tab.scenes.activated.emit(1)
        settle()
        assert state.slide.scene == tab.scenes.currentIndex() == 1
        assert not tab.run.isEnabled()
        state.aliases = {"two.ome": "Case 01"}
        settle()
        # a scene can be named after the patient
        assert tab.scenes.itemText(0) == "Scene 1 of 2"
        tab.scenes.activated.emit(0)
        assert state.slide.scene == 0
        state.aliases = {}

    def test_one_scene_is_no_choice_and_a_folder_can_be_a_slide(
        self, tab, test_data: Path, monkeypatch
    ) -> None:
        folder = test_data / "data/slides/omezarr/CMU-1-Small-Region-JPEG.zarr"
        monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))
        tab.open_folder.click()
        settle()
        assert tab._state.problem == ""
        assert tab._state.slide.path == str(folder)
        assert not tab.scenes.isVisible()

    def test_a_folder_that_is_no_slide_is_told(
        self, tab, tmp_path: Path, monkeypatch
    ) -> None:
        monkeypatch.setattr(
            QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path)
        )
        tab.open_folder.click()
        assert tmp_path.name in tab._state.problem
