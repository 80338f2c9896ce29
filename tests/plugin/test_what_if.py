"""Areas of the sample slide, with a real model behind them."""

from pathlib import Path

import numpy as np
import pytest
from window_pictures import HAS_DISPLAY, settle

from napari_mhim.mil.questions import Score, Without, open_reading
from napari_mhim.plugin import sample_data, show
from napari_mhim.plugin.marking import stroke_outline
from napari_mhim.plugin.open_slides import what
from napari_mhim.plugin.overlays import MARKED
from napari_mhim.plugin.state.whatif import WhatIfState, cells_in
from napari_mhim.slide.regions import SlideIdentity, read_regions, region
from napari_mhim.slide.tiling import PatchGrid

needs_window = [
    pytest.mark.qt,
    pytest.mark.skipif(not HAS_DISPLAY, reason="no display: use xvfb-run"),
]


def _square(y: float, x: float, side: float) -> np.ndarray:
    return np.array([[y, x], [y, x + side], [y + side, x + side], [y + side, x]])


@pytest.fixture
def grid() -> PatchGrid:
    rows, cols = np.mgrid[:4, :5]
    return PatchGrid(
        origin=np.zeros(2),
        stride_px=np.array([100.0, 100.0]),
        patch_px=np.array([100.0, 100.0]),
        shape=(4, 5),
        cells=np.stack([rows.ravel(), cols.ravel()], axis=1).astype(np.int32),
        mpp=0.5,
        patch_model_px=100,
    )


def test_what_is_marked_is_left_out_or_all_that_is_kept(grid) -> None:
    state = WhatIfState(areas=(region(_square(0, 0, 210)),))
    inside = {tuple(cell) for cell in grid.cells[state.question(grid).rows]}
    assert inside == {(0, 0), (0, 1), (1, 0), (1, 1)}
    state.keeps_only = True
    assert state.question(grid).rows.sum() == 20 - 4


def test_areas_that_overlap_count_once(grid) -> None:
    two = (region(_square(0, 0, 210)), region(_square(0, 100, 210)))
    assert cells_in(two, grid).sum() == 6


def test_nothing_marked_asks_nothing_and_forgets_the_score(grid) -> None:
    state = WhatIfState(score=Score(np.array([0.5, 0.5], np.float32), 3))
    assert state.question(grid) is None
    assert state.score is None
    assert state.exclusion(grid) is None


@pytest.mark.parametrize("path", [[[5.0, 7.0]], [[5.0, 7.0], [5.0, 7.0]]])
def test_a_click_of_the_brush_is_a_disc(path: list[list[float]]) -> None:
    away = np.linalg.norm(stroke_outline(np.array(path), 6.0) - path[0], axis=1)
    assert away == pytest.approx(np.full(len(away), 3.0))


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
    return dock


def press(dock, letter: str) -> None:
    """Press a letter with Alt on the canvas."""
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    key = getattr(Qt.Key, f"Key_{letter}")
    QTest.keyClick(
        dock.canvas.viewer.window._qt_viewer, key, Qt.KeyboardModifier.AltModifier
    )


def _mark(dock, view, outline: np.ndarray) -> None:
    """Draw as a lasso does: napari tells of a finished shape with the same event."""
    press(dock, "D")
    layer = dock.canvas.viewer.layers["Marked area"]
    assert dock.canvas.viewer.layers.selection.active is layer
    assert layer.mode == "add_polygon_lasso"
    layer.add_polygons(outline)


def _asked_directly(rows: np.ndarray) -> np.ndarray:
    place = sample_data.folder()
    answer = open_reading(str(place / "bundle"), str(place / "both.features.h5"), "cpu")
    (score,) = answer(Without(rows))
    return score.probabilities


class TestWindow:
    pytestmark = needs_window

    def test_the_score_is_that_of_the_other_patches(self, dock, qtbot) -> None:
        result = dock.state.result
        view = dock.review.sections["What if"].open()
        assert not view.leave_out.isEnabled()
        _mark(dock, view, _square(-50, -50, 2 * max(result.slide_shape)))
        # all of it is marked: nothing would be left to score
        qtbot.waitUntil(lambda: "leaves nothing" in view.found.text(), timeout=120_000)
        # drawn once, the slide is active again: the next drag must not draw
        active = dock.canvas.viewer.layers.selection.active
        assert what(active).get("part") == "slide"
        press(dock, "Z")
        assert not view.found.isVisibleTo(view)

        corners = result.grid.corners[result.contribution[:, 1] > 1.0]
        low, high = corners.min(axis=0), corners.max(axis=0) + result.grid.patch_px
        _mark(
            dock,
            view,
            np.array([low, [low[0], high[1]], high, [high[0], low[1]]]),
        )
        qtbot.waitUntil(lambda: view.state.score is not None, timeout=60_000)
        wanted = _asked_directly(cells_in(view.state.areas, result.grid))
        assert view.state.score.probabilities == pytest.approx(wanted, abs=1e-5)
        assert f"{result.score:.2f} → {wanted[1]:.2f}" in view.found.text()

        view.mode.setCurrentIndex(1)
        qtbot.waitUntil(lambda: view.state.score is not None, timeout=60_000)
        wanted = _asked_directly(~cells_in(view.state.areas, result.grid))
        assert view.state.score.probabilities == pytest.approx(wanted, abs=1e-5)
        assert "with only the marked area" in view.found.text()

    def test_an_exclusion_is_kept_with_its_reason_and_can_be_taken_back(
        self, dock, qtbot
    ) -> None:
        view = dock.review.sections["What if"].open()
        _mark(dock, view, _square(200, 200, 900))
        n = int(cells_in(view.state.areas, dock.state.result.grid).sum())
        assert n > 0
        view.reason.setCurrentText("pen")
        view.leave_out.click()
        assert view.state.areas == ()
        qtbot.waitUntil(lambda: view.state.excluding_score is not None, timeout=120_000)
        assert "with 1 area excluded" in view.original.text()
        path = Path(dock.runs.workspace) / "regions" / "both.geojson"
        slide = dock.canvas.slide()
        (kept,) = read_regions(path, SlideIdentity.of(slide)).regions
        assert (kept.kind, kept.reason) == ("exclude", "pen")

        # another result, for instance after a restart: it is there again
        dock.show_layers(
            show.layers(
                slide.path,
                sample_data.folder() / "both.h5",
                bundle_path=sample_data.folder() / "bundle",
                features_path=sample_data.folder() / "both.features.h5",
            )
        )
        assert [one.reason for one in view.state.excluded] == ["pen"]
        settle()
        assert "Marked area" not in dock.canvas.viewer.layers
        outline = dock.canvas.viewer.layers["Left out"]
        assert len(outline.data) == 1
        assert not outline.editable
        assert what(dock.canvas.viewer.layers.selection.active)["part"] == "slide"
        view.take_back(0)
        assert view.state.excluded == ()
        settle()
        assert "Left out" not in dock.canvas.viewer.layers
        assert read_regions(path, SlideIdentity.of(dock.canvas.slide())).regions == ()

    def test_a_stroke_of_the_brush_marks_what_it_covers(self, dock) -> None:
        grid = dock.state.result.grid
        view = dock.review.sections["What if"].open()
        view.brush.setCurrentIndex(view.brush.findData(4))
        press(dock, "B")
        layer = dock.canvas.viewer.layers["Marked area"]
        assert layer.mode == "add_path"
        width = layer.current_edge_width
        assert width == pytest.approx(4 * grid.patch_px.max())
        start, end = np.array([400.0, 300.0]), np.array([400.0, 1500.0])
        layer.add_paths(np.stack([start, (start + end) / 2, end]))
        assert layer.mode == "pan_zoom"
        (area,) = view.state.areas
        middles = grid.corners + grid.patch_px / 2
        inside = cells_in((area,), grid)
        along = np.clip(middles[:, 1], start[1], end[1])
        away = np.hypot(middles[:, 0] - start[0], middles[:, 1] - along)
        clear = np.abs(away - width / 2) > 2  # a circle of few corners
        assert inside.any()
        np.testing.assert_array_equal(inside[clear], away[clear] < width / 2)
        # the next area drawn is a line again, and both count
        _mark(dock, view, _square(200, 200, 900))
        assert len(view.state.areas) == 2
        assert list(layer.shape_type) == ["path", "polygon"]
        assert layer.edge_width[1] < layer.edge_width[0]

    def test_removing_the_layer_forgets_the_areas(self, dock) -> None:
        view = dock.review.sections["What if"].open()
        _mark(dock, view, _square(200, 200, 900))
        assert view.state.areas
        dock.canvas.viewer.layers.remove("Marked area")
        assert view.state.areas == ()
        view.lasso.click()
        assert what(dock.canvas.viewer.layers["Marked area"])["part"] == MARKED

    def test_a_workspace_that_cannot_be_written_is_told(
        self, dock, tmp_path: Path
    ) -> None:
        view = dock.review.sections["What if"].open()
        _mark(dock, view, _square(200, 200, 900))
        blocked = tmp_path / "a file"
        blocked.write_text("")
        dock.runs.workspace = blocked
        view.leave_out.click()
        assert view.state.excluded == ()
        assert view.state.areas, "what was drawn is not lost"
        assert dock.state.problem
