"""Patches on the slide: which one is under the mouse, and the outline of the current one.

No Qt: works on a ``ViewerModel`` without a window.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Points
from numpy.typing import NDArray

from napari_mhim.mil.result import SlideResult
from napari_mhim.plugin import flying
from napari_mhim.plugin.canvas import Canvas
from napari_mhim.plugin.overlays import HARD, OURS, SLIDE, LayerTuple
from napari_mhim.plugin.palette import RING_IN_VIEW_COLOUR
from napari_mhim.plugin.register import slide_transform
from napari_mhim.plugin.state.gallery import GalleryState
from napari_mhim.slide.tiling import PatchGrid

IN_VIEW = "in view"
"""What the outline's layer is called in its metadata; there only while it is used."""
_CLICK_PX = 4  # a hand that clicks moves less than this
_MIN_SCREEN_PX = 15  # a patch of a large slide is smaller than that from afar


def in_view_layer(
    result: SlideResult, row: int, mpp: tuple[float, float] | None
) -> LayerTuple:
    """Give the outline of one patch, seen from afar too.

    Parameters
    ----------
    result : SlideResult
        What the model saw.
    row : int
        The patch.
    mpp : tuple of float or None
        (y, x) micrometres per level-0 pixel, as the slide's layer has it.

    Returns
    -------
    LayerTuple
        Points with one hollow square.
    """
    grid = result.grid
    kwargs = {
        "name": "Patch in view",
        "symbol": "square",
        "face_color": "transparent",
        "border_color": RING_IN_VIEW_COLOUR,
        "border_width": 0.08,
        "size": float(grid.patch_px.mean()),
        "canvas_size_limits": (_MIN_SCREEN_PX, 10000),
        "metadata": {OURS: {"part": IN_VIEW, "slide": result.slide}},
        **slide_transform(mpp).kwargs(),
    }
    return _centre(grid, row)[None], kwargs, "points"


class Finder:
    """Finds the patch at a place, in a time that hardly grows with their number.

    Parameters
    ----------
    grid : PatchGrid
        Where the patches lie.
    """

    def __init__(self, grid: PatchGrid) -> None:
        self._grid = grid
        keys = grid.cells[:, 0].astype(np.int64) * grid.shape[1] + grid.cells[:, 1]
        # no picture of the whole grid: that may have millions of empty cells
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]

    def at(self, y: float, x: float) -> int:
        """Give the patch at a place.

        Parameters
        ----------
        y, x : float
            Level-0 px, where (0, 0) is the corner of the slide.

        Returns
        -------
        int
            Row of the bag, of several patches that overlap the one with the nearest
            centre; -1 where there is none.
        """
        grid = self._grid
        half = grid.patch_px / 2
        off = (y, x) - grid.origin - half
        cell = np.rint(off / grid.stride_px)
        if (np.abs(off - cell * grid.stride_px) > half).any():
            return -1
        row, col = int(cell[0]), int(cell[1])
        if not (0 <= row < grid.shape[0] and 0 <= col < grid.shape[1]):
            return -1
        key = row * grid.shape[1] + col
        place = int(np.searchsorted(self._keys, key))
        if place == len(self._keys) or self._keys[place] != key:
            return -1
        return int(self._order[place])


class Picking:
    """Follows the mouse over the slide, and outlines the current patch while it is open.

    Parameters
    ----------
    canvas : Canvas
        Where the slide is shown.
    state : GalleryState
        Told of the patch under the mouse and of the one clicked.
    """

    def __init__(self, canvas: Canvas, state: GalleryState) -> None:
        self._canvas, self._state = canvas, state
        self._finder: tuple[PatchGrid, Finder] | None = None
        self._layer: Points | None = None
        self._drawn: tuple[PatchGrid, tuple[float, float] | None] | None = None
        self._users = 0

    @property
    def is_open(self) -> bool:
        """Tell whether the mouse is followed."""
        return self._users > 0

    def open(self) -> None:
        """Follow the mouse and outline the current patch, until as often closed."""
        self._users += 1
        if self._users > 1:
            return
        viewer = self._canvas.viewer
        viewer.mouse_move_callbacks.append(self._on_move)
        viewer.mouse_drag_callbacks.append(self._on_press)
        viewer.layers.events.removed.connect(self._on_removed)
        for event in self._events():
            event.connect(self.outline, max_args=0)
        self.outline()

    def close(self) -> None:
        """Let the mouse go, and take the outline away; for the last one who opened it."""
        was_open, self._users = self.is_open, max(self._users - 1, 0)
        if not was_open or self.is_open:
            return
        viewer = self._canvas.viewer
        viewer.mouse_move_callbacks.remove(self._on_move)
        viewer.mouse_drag_callbacks.remove(self._on_press)
        for event in self._events():
            event.disconnect(self.outline)
        self._state.hovered = -1
        self._take_away()
        viewer.layers.events.removed.disconnect(self._on_removed)

    def release(self) -> None:
        """Close it, however often it was opened."""
        if self.is_open:
            self._users = 1
            self.close()

    def outline(self) -> None:
        """Draw the outline where the current patch is, or take it away."""
        figures, row = self._state.figures, self._state.current
        if figures is None or not 0 <= row < len(figures) or not self._canvas.slide():
            self._take_away()
            return
        mpp = self._canvas.state.mpp
        data, kwargs, _ = in_view_layer(figures.result, row, mpp)
        if self._layer is None:
            self._layer = Points(data, visible=False, **kwargs)
            # napari takes a tenth of a second to add it, and again to draw it first
            self._canvas.later(partial(self._add, self._layer))
        else:
            self._layer.data = data
            if self._drawn != (figures.result.grid, mpp):
                # each of these makes napari measure the whole scene again
                self._layer.size, self._layer.scale = kwargs["size"], kwargs["scale"]
                self._layer.units = kwargs["units"]
        self._drawn = figures.result.grid, mpp

    def fly(self) -> None:
        """Show the current patch close by; where it has a ring, that is the ring in view."""
        figures, slide = self._state.figures, self._canvas.layers().get(SLIDE)
        row = self._state.current
        if figures is None or slide is None or row < 0:
            return
        ring = figures.ring(row)
        if ring >= 0 and HARD in self._canvas.layers():
            self._canvas.fly_to_ring(ring)
        else:
            grid = figures.result.grid
            flying.fly(self._canvas.viewer, slide, _centre(grid, row), grid.patch_px)

    def bring_into_view(self) -> None:
        """Move the view to the current patch, if it lies outside."""
        figures, slide = self._state.figures, self._canvas.layers().get(SLIDE)
        row = self._state.current
        if figures is not None and slide is not None and row >= 0:
            centre = _centre(figures.result.grid, row)
            flying.bring_into_view(self._canvas.viewer, slide, centre)

    def patch_at(self, world: NDArray[np.float64] | tuple[float, ...]) -> int:
        """Give the patch at a place of the world.

        Parameters
        ----------
        world : sequence of float
            As the viewer gives it; the last two are (y, x).

        Returns
        -------
        int
            Row of the bag, -1 where there is none.
        """
        figures, slide = self._state.figures, self._canvas.layers().get(SLIDE)
        if figures is None or slide is None:
            return -1
        grid = figures.result.grid
        if self._finder is None or self._finder[0] is not grid:
            self._finder = grid, Finder(grid)
        y, x = slide.world_to_data(world)[-2:]
        # the centre of level-0 pixel (0, 0) is napari's origin, its corner is ours
        return self._finder[1].at(y + 0.5, x + 0.5)

    def _events(self) -> tuple[Any, ...]:
        events = self._state.events
        return events.current, events.figures, self._canvas.state.events.given_mpp

    def _on_move(self, viewer: Any, event: Any) -> None:
        self._state.hovered = self.patch_at(event.position)

    def _on_press(self, viewer: Any, event: Any) -> Iterator[None]:
        start = np.array(event.pos, float)
        if event.button != 1 or len(event.modifiers) or self._is_drawing():
            return
        yield
        while event.type == "mouse_move":
            yield
        if np.abs(np.array(event.pos, float) - start).max() <= _CLICK_PX:
            row = self.patch_at(event.position)
            if row >= 0:
                self._state.current = row

    def _is_drawing(self) -> bool:
        active = self._canvas.viewer.layers.selection.active
        return str(getattr(active, "mode", "pan_zoom")) != "pan_zoom"

    def _add(self, layer: Points) -> None:
        viewer = self._canvas.viewer
        if layer is not self._layer or layer in viewer.layers:
            return
        active = viewer.layers.selection.active
        viewer.add_layer(layer)
        # napari makes it the active one: a click would move it
        viewer.layers.selection.active = active
        self._canvas.later(partial(setattr, layer, "visible", True))

    def _take_away(self) -> None:
        layer, self._layer = self._layer, None
        self._canvas.take_away(layer)

    def _on_removed(self, event: Any) -> None:
        if event.value is self._layer:
            self._layer = None


def _centre(grid: PatchGrid, row: int) -> NDArray[np.float64]:
    """Give the middle of a patch in the slide layer's data, shape (2,)."""
    corner = grid.origin + grid.cells[row] * grid.stride_px
    return np.asarray(corner + (grid.patch_px - 1) / 2)
