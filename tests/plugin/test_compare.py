"""Two models on one slide: found, refused, flipped, subtracted, side by side."""

import gc
import shutil
import weakref
from dataclasses import replace
from pathlib import Path

import made
import numpy as np
import pytest
from napari.components import ViewerModel
from window_pictures import HAS_DISPLAY, settle

from napari_mhim.errors import FeatureMismatchError
from napari_mhim.plugin import sample_data, show
from napari_mhim.plugin.difference import difference_layer
from napari_mhim.plugin.overlays import DIFFERENCE, EVIDENCE, HARD
from napari_mhim.plugin.side_by_side import LinkedCameras
from napari_mhim.plugin.state.compare import Other, check_comparable, results_of
from napari_mhim.plugin.words import disagreement, who_is_right
from napari_mhim.workspace import Workspace


def test_only_other_models_of_the_same_slide_are_listed(tmp_path: Path) -> None:
    own, place = made.result(fingerprint="f1"), Workspace(tmp_path)
    for folder, changes in {
        "own": {},
        "other": {"bundle_id": "b2"},
        "third": {"bundle_id": "b3"},
        "namesake": {"bundle_id": "b2", "fingerprint": "f2"},
    }.items():
        replace(own, **changes).save(place.result_path(folder, own.slide))
    replace(own, bundle_id="b2").save(place.result_path("other", "another slide"))
    place.result_path("damaged", own.slide).parent.mkdir()
    place.result_path("damaged", own.slide).write_bytes(b"no result")
    assert [one.name for one in results_of(place, own)] == ["other", "third"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fingerprint": "f2"}, "of the same slide"),
        ({"slide_shape": (9, 9)}, "of the same slide"),
        ({"target": 0}, "scores 'tumour'"),
        ({"grid": replace(made.grid(), origin=np.array([0.0, 0.0]))}, "patch by patch"),
        ({"grid": replace(made.grid(), cells=made.grid().cells[1:])}, "patch by patch"),
    ],
)
def test_what_cannot_be_compared_is_refused(changes: dict, said: str) -> None:
    own = made.result()
    with pytest.raises(FeatureMismatchError, match=said):
        check_comparable(own, replace(own, **changes))


def test_the_difference_is_b_minus_a_in_the_limits_of_a() -> None:
    a, b = made.result(), made.result(seed=3, evidence_limits=np.array([9.0, 9.0]))
    image, kwargs, _ = difference_layer(a, b, 1, made.MPP)
    rows, cols = a.grid.cells.T
    assert image[rows, cols] == pytest.approx(
        b.contribution[:, 1] - a.contribution[:, 1]
    )
    assert kwargs["contrast_limits"] == (-4, 4)
    back, _, _ = difference_layer(b, a, 1, made.MPP)
    assert back[rows, cols] == pytest.approx(-image[rows, cols])


def test_the_model_that_loses_is_named() -> None:
    up, down = made.result(), made.result(positive=False)
    assert "B is right, A is wrong" in who_is_right(("A", up), ("B", down), False)
    assert "A is right, B is wrong" in who_is_right(("A", up), ("B", down), True)
    assert "both are wrong" in who_is_right(("A", up), ("B", up), False)
    assert "A is above its cut-off, B below" in disagreement(("A", up), ("B", down))
    assert who_is_right(("A", replace(up, cutoff=None)), ("B", down), True) == ""


class TestLinkedCameras:
    def test_each_follows_the_other_until_it_is_let_go(self) -> None:
        one, other = ViewerModel().scene.camera, ViewerModel().scene.camera
        one.center, one.zoom = (0, 30, 40), 5
        link = LinkedCameras(one, other)
        assert (other.center, other.zoom) == ((0, 30, 40), 5)
        other.center = (0, 1, 2)
        other.zoom = 0.5
        assert (one.center, one.zoom) == ((0, 1, 2), 0.5)
        link.release()
        one.zoom = 7
        assert other.zoom == 0.5

    def test_nothing_holds_on_to_them(self) -> None:
        one, other = ViewerModel().scene.camera, ViewerModel().scene.camera
        n_before = len(one.events.center.callbacks)
        link = LinkedCameras(one, other)
        link.release()
        assert len(one.events.center.callbacks) == n_before
        gone = weakref.ref(link)
        del link
        gc.collect()
        assert gone() is None


def _dock(viewer, name: str = "both"):
    dock = show.open_dock(viewer)
    place = sample_data.folder()
    dock.show_layers(
        show.layers(
            place / f"{name}.tiff",
            place / f"{name}.h5",
            place / f"{name}.truth.json",
            place / f"{name}.baseline.h5",
            place / "bundle",
            place / f"{name}.features.h5",
        )
    )
    return dock


@pytest.fixture
def dock(viewer):
    return _dock(viewer)


@pytest.fixture
def view(dock):
    return dock.review.sections["Compare"].open()


def _choose(view, number: int) -> None:
    view.others.setCurrentIndex(number)
    view.others.activated.emit(number)


@pytest.mark.qt
@pytest.mark.skipif(not HAS_DISPLAY, reason="no display: use xvfb-run")
class TestWindow:
    def test_flip_draws_the_other_in_the_same_colours(self, dock, view) -> None:
        _choose(view, 1)
        layer = dock.canvas.layers()[EVIDENCE]
        a, limits = layer.data.copy(), tuple(layer.contrast_limits)
        view.b.click()
        assert dock.state.shown is dock.state.baseline
        assert not np.allclose(layer.data, a, equal_nan=True)
        assert tuple(layer.contrast_limits) == limits
        assert "Shown: B demo-baseline" in _plain(view.scores.text())
        view.a.click()
        assert np.allclose(layer.data, a, equal_nan=True)

    def test_a_model_that_loses_is_told(self, viewer) -> None:
        # on this slide the model trained without hiding misses the lesion
        view = _dock(viewer, "hard").review.sections["Compare"].open()
        _choose(view, 1)
        assert "A demo is right, B demo-baseline is wrong here" in _plain(
            view.scores.text()
        )

    def test_the_difference_is_there_only_while_it_is_looked_at(
        self, dock, view, viewer
    ) -> None:
        _choose(view, 1)
        n_layers = len(viewer.layers)
        view.minus.click()
        found = dock.canvas.layers()
        assert {p for p, one in found.items() if one.visible} == {"slide", DIFFERENCE}
        settle(2)  # rows are made once for all layers that come
        assert DIFFERENCE in dock.review.rows
        wanted = dock.state.baseline.contribution - dock.state.result.contribution
        assert np.nanmax(found[DIFFERENCE].data) == pytest.approx(wanted[:, 1].max())
        view.minus.click()
        settle(3)  # it goes in a turn of its own
        assert len(viewer.layers) == n_layers
        assert dock.canvas.layers()[HARD].visible
        # taken away by hand, the button comes up again
        view.minus.click()
        viewer.layers.remove(dock.canvas.layers()[DIFFERENCE])
        assert not view.minus.isChecked()

    def test_another_result_of_the_workspace_and_of_a_file(
        self, dock, view, tmp_path: Path
    ) -> None:
        own = dock.state.result
        place = Workspace(dock.runs.workspace)
        third = replace(own, bundle_id="3", bundle="third", probabilities=own.remaining)
        third.save(place.result_path("third", own.slide))
        view.hide()
        view.show()
        assert [one.name for one in view.state.others] == ["demo-baseline", "third"]
        _choose(view, 2)
        view.b.click()
        assert dock.state.shown.bundle == "third"
        # the tour's last step is about the baseline again
        dock.review.tour.steps[4].click()
        assert dock.state.other is dock.state.baseline
        assert view.state.chosen is None

        bad = replace(own, bundle_id="4", grid=replace(own.grid, origin=np.ones(2)))
        bad.save(tmp_path / "bad.h5")
        view.choose(Other("", 0.0, str(tmp_path / "bad.h5")))
        assert "patch by patch" in view.refused.text()
        assert dock.state.shown is own

    @pytest.mark.parametrize("by", ["viewer", "window"])
    def test_side_by_side_follows_and_goes(self, dock, view, viewer, by) -> None:
        _choose(view, 1)
        view.beside.click()
        second = view.side.viewer
        assert not view.beside.isEnabled()
        assert second.layers[0].name == "Slide"
        assert tuple(second.layers["Evidence: tumour"].contrast_limits) == tuple(
            dock.canvas.layers()[EVIDENCE].contrast_limits
        )
        settle()
        second.scene.camera.center = (0, 700, 900)
        assert viewer.scene.camera.center == (0, 700, 900)
        viewer.scene.camera.zoom = 0.3
        assert second.scene.camera.zoom == 0.3
        gone, slide = weakref.ref(view.side), second.layers[0].metadata
        assert slide["napari_mhim"]["open"] is not dock.canvas.slide()
        callbacks = len(viewer.scene.camera.events.zoom.callbacks)
        # a program closes the viewer, a user the window
        (second if by == "viewer" else second.window).close()
        settle(12)
        assert view.side is None
        assert view.beside.isEnabled()
        assert len(viewer.scene.camera.events.zoom.callbacks) < callbacks
        del second, slide
        gc.collect()
        assert gone() is None
        # the first window's slide is still open
        assert dock.canvas.slide().read_region(0, 0, 8, 8).shape == (8, 8, 3)

    def test_the_second_window_goes_with_the_slide(self, dock, view, viewer) -> None:
        _choose(view, 1)
        view.beside.click()
        assert view.side is not None
        dock.make_room()
        settle(12)
        assert view.side is None
        assert view.state.others == ()

    def test_a_slide_file_that_is_gone_is_told(self, viewer, tmp_path: Path) -> None:
        place = sample_data.folder()
        slide = shutil.copy(place / "both.tiff", tmp_path / "both.tiff")
        dock = show.open_dock(viewer)
        dock.show_layers(
            show.layers(slide, place / "both.h5", None, place / "both.baseline.h5")
        )
        view = dock.review.sections["Compare"].open()
        _choose(view, 1)
        Path(slide).unlink()
        view.beside.click()
        assert view.side is None
        assert dock.state.problem


def _plain(text: str) -> str:
    return text.replace("<b>", "").replace("</b>", "")
