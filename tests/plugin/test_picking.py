"""Patches on the slide: found under the mouse, outlined, flown to; on a viewer model."""

import gc
import weakref
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import made
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel

from napari_mhim.plugin import show
from napari_mhim.plugin.canvas import Canvas
from napari_mhim.plugin.overlays import HARD
from napari_mhim.plugin.picking import IN_VIEW, Finder, Picking
from napari_mhim.plugin.state.desk import DeskState
from napari_mhim.plugin.state.gallery import GalleryState
from napari_mhim.slide.tiling import PatchGrid


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("picking")
    made.write_folder(folder, "both")
    return folder


@pytest.fixture
def canvas(samples):
    canvas = Canvas(ViewerModel(), DeskState())
    canvas.put(show.layers(samples / "both.tiff", samples / "both.h5"))
    yield canvas
    canvas.make_room()


@pytest.fixture
def picking(canvas):
    state = GalleryState()
    state.take(canvas.state.shown)
    picking = Picking(canvas, state)
    picking.open()
    yield picking
    picking.release()


def outline(canvas):
    found = [
        layer
        for layer in canvas.viewer.layers
        if layer.metadata.get("napari_mhim", {}).get("part") == IN_VIEW
    ]
    assert len(found) <= 1
    return found[0] if found else None


def centre_of(row: int) -> np.ndarray:
    """World position of a patch's middle."""
    grid = made.grid()
    return (grid.corners[row] + grid.patch_px / 2 - 0.5) * made.MPP


def move(canvas, world) -> None:
    event = SimpleNamespace(position=tuple(world), type="mouse_move")
    for callback in canvas.viewer.mouse_move_callbacks:
        callback(canvas.viewer, event)


def click(canvas, world, button: int = 1, drag: float = 0, modifiers=()) -> None:
    """Press and let go as napari does: one event that changes between the steps."""
    event = SimpleNamespace(
        position=tuple(world),
        pos=np.array([100.0, 100.0]),
        type="mouse_press",
        button=button,
        modifiers=modifiers,
    )
    ours = canvas.viewer.mouse_drag_callbacks[-1](canvas.viewer, event)
    if next(ours, "over") == "over":
        return
    event.type, event.pos = "mouse_move", event.pos + drag
    next(ours)
    event.type = "mouse_release"
    assert next(ours, "over") == "over"


class TestFinder:
    @settings(max_examples=200, deadline=None)
    @given(
        y=st.floats(-300, 1500),
        x=st.floats(-300, 2000),
        stride=st.sampled_from([0.5, 0.75, 1.0, 1.3]),
    )
    def test_the_nearest_patch_that_covers_the_place(self, y, x, stride) -> None:
        grid = replace(made.grid(), stride_px=made.grid().patch_px * stride)
        centres = grid.corners + grid.patch_px / 2
        off = np.abs(centres - (y, x)) / grid.stride_px
        # the cell whose middle is nearest, where there is one and it reaches so far
        inside = (np.abs(centres - (y, x)) <= grid.patch_px / 2).all(axis=1)
        nearest = inside & (off <= 0.5).all(axis=1)
        wanted = set(np.flatnonzero(nearest).tolist()) or {-1}
        assert Finder(grid).at(y, x) in wanted

    def test_whatever_the_order_of_the_bag(self) -> None:
        grid = made.grid()
        order = np.random.default_rng(0).permutation(len(grid))
        shuffled = replace(grid, cells=grid.cells[order])
        finder = Finder(shuffled)
        for row in range(len(grid)):
            middle = shuffled.corners[row] + grid.patch_px / 2
            assert finder.at(*middle) == row

    def test_a_grid_of_many_empty_cells_takes_no_room_for_them(self) -> None:
        grid = PatchGrid(
            origin=np.zeros(2),
            stride_px=np.ones(2),
            patch_px=np.ones(2),
            shape=(2_000_000, 2_000_000),
            cells=np.array([[3, 4], [1_999_999, 1_999_998]], np.int32),
            mpp=0.5,
            patch_model_px=1,
        )
        finder = Finder(grid)
        assert finder.at(1_999_999.5, 1_999_998.5) == 1
        assert finder.at(1_999_999.5, 1_999_999.5) == -1


class TestMouse:
    def test_the_patch_under_the_mouse_is_told(self, canvas, picking) -> None:
        for row in (0, 20, len(made.grid()) - 1):
            move(canvas, centre_of(row))
            assert picking._state.hovered == row
        move(canvas, (-50, -50))
        assert picking._state.hovered == -1

    def test_the_edges_of_a_patch_are_those_of_its_overlay(
        self, canvas, picking
    ) -> None:
        half = made.grid().patch_px / 2 * made.MPP
        for row in (3, 30):
            for sign in ((1, 1), (-1, 1), (1, -1), (-1, -1)):
                at = centre_of(row) + np.array(sign) * half * 0.98
                assert picking.patch_at(at) == row
                layer = canvas.layers()["evidence"]
                cell = np.rint(layer.world_to_data(at)).astype(int)
                assert cell.tolist() == made.grid().cells[row].tolist()

    def test_a_viewer_with_more_dimensions_is_no_hindrance(
        self, canvas, picking
    ) -> None:
        canvas.viewer.add_image(np.zeros((2, 8, 8)), name="stack")
        assert picking.patch_at((1.0, *centre_of(4))) == 4

    def test_a_click_chooses_and_a_drag_does_not(self, canvas, picking) -> None:
        click(canvas, centre_of(7))
        assert picking._state.current == 7
        click(canvas, centre_of(9), drag=30)
        click(canvas, centre_of(9), button=2)
        click(canvas, centre_of(9), modifiers=("Shift",))
        click(canvas, (-50, -50))
        assert picking._state.current == 7

    def test_a_click_of_someone_who_draws_is_left_alone(self, canvas, picking) -> None:
        drawing = canvas.viewer.add_shapes(None, ndim=2)
        drawing.mode = "add_polygon_lasso"
        click(canvas, centre_of(7))
        assert picking._state.current == -1
        drawing.mode = "pan_zoom"

    def test_the_baseline_has_its_own_figures_at_the_same_place(
        self, canvas, picking
    ) -> None:
        picking._state.take(made.result(seed=3))
        move(canvas, centre_of(11))
        assert picking._state.hovered == 11

    def test_without_a_slide_there_is_no_patch(self, canvas, picking) -> None:
        canvas.make_room()
        move(canvas, centre_of(11))
        assert picking._state.hovered == -1


class TestOutline:
    def test_it_lies_on_the_current_patch(self, canvas, picking) -> None:
        for row in (5, 40):
            picking._state.current = row
            layer = outline(canvas)
            (at,) = layer.data
            np.testing.assert_allclose(layer.data_to_world(at), centre_of(row))

    def test_the_active_layer_stays(self, canvas, picking) -> None:
        active = canvas.viewer.layers.selection.active
        assert active is not None
        picking._state.current = 5
        assert canvas.viewer.layers.selection.active is active

    def test_there_is_none_before_a_patch_is_chosen_and_after_closing(
        self, canvas, picking
    ) -> None:
        n = len(canvas.viewer.layers)
        assert outline(canvas) is None
        picking._state.current = 5
        assert len(canvas.viewer.layers) == n + 1
        picking.close()
        assert len(canvas.viewer.layers) == n
        picking._state.current = 6
        assert len(canvas.viewer.layers) == n

    def test_two_galleries_share_one(self, canvas, picking) -> None:
        picking.open()
        picking._state.current = 5
        picking.close()
        assert outline(canvas) is not None
        picking.close()
        assert outline(canvas) is None
        picking.release()

    def test_removed_by_hand_it_comes_back_with_the_next_patch(
        self, canvas, picking
    ) -> None:
        picking._state.current = 5
        canvas.viewer.layers.remove(outline(canvas))
        picking._state.current = 6
        assert outline(canvas) is not None

    def test_it_goes_with_the_slide(self, canvas, picking) -> None:
        picking._state.current = 5
        canvas.make_room()
        assert len(canvas.viewer.layers) == 0

    def test_it_follows_a_scale_that_is_given_later(self, samples, tmp_path) -> None:
        made.write_folder(tmp_path, "scaleless", mpp=None)
        canvas = Canvas(ViewerModel(), DeskState())
        canvas.put(show.layers(tmp_path / "scaleless.tiff", tmp_path / "scaleless.h5"))
        state = GalleryState()
        state.take(canvas.state.shown)
        picking = Picking(canvas, state)
        picking.open()
        state.current = 5
        canvas.set_mpp(0.25)
        layer = outline(canvas)
        assert tuple(layer.scale) == (0.25, 0.25)
        assert {str(unit) for unit in layer.units} == {"micrometer"}
        picking.release()
        canvas.make_room()


class TestFlying:
    def test_it_flies_to_the_current_patch(self, canvas, picking) -> None:
        row = 45
        assert picking._state.figures.ring(row) == -1
        picking._state.current = row
        picking.fly()
        centre = np.array(canvas.viewer.scene.camera.center[-2:])
        np.testing.assert_allclose(centre, centre_of(row))
        assert canvas.state.ring == -1

    def test_to_a_hard_patch_it_is_the_ring_that_is_in_view(
        self, canvas, picking
    ) -> None:
        picking._state.current = int(picking._state.figures.rings[2])
        picking.fly()
        assert canvas.state.ring == 2
        colours = canvas.layers()[HARD].border_color
        assert not np.allclose(colours[2], colours[0])

    def test_to_a_hard_patch_also_where_the_rings_were_removed(
        self, canvas, picking
    ) -> None:
        row = int(picking._state.figures.rings[2])
        picking._state.current = row
        canvas.viewer.layers.remove(canvas.layers()[HARD])
        picking.fly()
        centre = np.array(canvas.viewer.scene.camera.center[-2:])
        np.testing.assert_allclose(centre, centre_of(row))

    def test_the_view_moves_only_for_a_patch_outside(self, canvas, picking) -> None:
        camera = canvas.viewer.scene.camera
        picking._state.current = 45
        picking.fly()
        camera.zoom *= 2
        zoom, centre = camera.zoom, camera.center
        picking._state.current = 46
        picking.bring_into_view()
        assert camera.center == centre
        picking._state.current = 0
        picking.bring_into_view()
        np.testing.assert_allclose(camera.center[-2:], centre_of(0))
        assert camera.zoom == zoom

    def test_without_a_patch_nothing_moves(self, canvas, picking) -> None:
        camera = canvas.viewer.scene.camera
        centre = camera.center
        picking.fly()
        picking.bring_into_view()
        assert camera.center == centre


def test_released_it_leaves_nothing_behind(canvas) -> None:
    viewer = canvas.viewer
    before = len(viewer.mouse_move_callbacks), len(viewer.mouse_drag_callbacks)
    state = GalleryState()
    state.take(canvas.state.shown)
    picking = Picking(canvas, state)
    picking.open()
    state.current = 5
    layer = weakref.ref(outline(canvas))
    picking.release()
    picking.release()
    after = len(viewer.mouse_move_callbacks), len(viewer.mouse_drag_callbacks)
    assert after == before
    gone = weakref.ref(picking)
    del picking
    gc.collect()
    assert gone() is None
    assert layer() is None
