"""Marking areas of the slide: one lasso or brush stroke, then the slide is active again.

No Qt: works on a ``ViewerModel`` without a window.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from napari.layers import Shapes
from napari.layers.base import ActionType
from numpy.typing import NDArray

from napari_mhim.plugin import overlays
from napari_mhim.plugin.canvas import Canvas
from napari_mhim.plugin.open_slides import what
from napari_mhim.plugin.overlays import MARKED
from napari_mhim.plugin.palette import MARKED_COLOUR

Outlines = list[NDArray[np.float64]]

_LINE_PX = 12.0
_PAINT = MARKED_COLOUR + "80"
"""A stroke hides what it covers by half."""


class Marking:
    """The layer of marked areas; the layer is the truth, and may be removed at any time.

    Parameters
    ----------
    canvas : Canvas
        Where it is shown.
    on_change : callable
        Called with the outlines, each (V, 2), (y, x), level-0 px, whenever they change.
    """

    def __init__(self, canvas: Canvas, on_change: Callable[[Outlines], None]) -> None:
        self._canvas, self._on_change = canvas, on_change
        self._layer: Shapes | None = None
        canvas.viewer.layers.events.removed.connect(self._on_removed)

    def release(self) -> None:
        """Stop listening, and take the layer away."""
        self._canvas.viewer.layers.events.removed.disconnect(self._on_removed)
        if self._layer is not None:
            self._layer.events.data.disconnect(self._on_data)
            self._canvas.take_away(self._layer)
            self._layer = None

    def draw(self) -> None:
        """Let the reader draw one area with a lasso."""
        self._begin("add_polygon_lasso", MARKED_COLOUR, _LINE_PX)

    def paint(self, brush_px: float) -> None:
        """Let the reader paint one stroke.

        Parameters
        ----------
        brush_px : float
            Width of the brush in level-0 px.
        """
        self._begin("add_path", _PAINT, brush_px)

    def undo(self) -> None:
        """Take the last area away."""
        if self._layer is not None and len(self._layer.data):
            self._layer.data = self._layer.data[:-1]
            self._tell()

    def clear(self) -> None:
        """Take all areas away."""
        if self._layer is not None:
            self._layer.data = []
            self._tell()

    def _begin(self, mode: str, colour: str, width_px: float) -> None:
        slide = self._canvas.state.slide
        if slide is None:
            return
        if self._layer is None:
            data, kwargs, _ = overlays.marked_layer(slide.name, self._canvas.state.mpp)
            self._layer = Shapes(data, **kwargs)
            self._canvas.viewer.add_layer(self._layer)
            self._layer.events.data.connect(self._on_data)
        layer = self._layer
        self._canvas.viewer.layers.selection.active = layer
        # what is selected would take the new width and colour, too
        layer.selected_data = set()
        layer.current_edge_color, layer.current_edge_width = colour, width_px
        layer.mode = mode

    def _on_data(self, event: Any) -> None:
        if event.action not in (
            ActionType.ADDED,
            ActionType.CHANGED,
            ActionType.REMOVED,
        ):
            return
        if event.action is ActionType.ADDED and self._layer is not None:
            # the next click must not draw or move anything
            self._layer.mode = "pan_zoom"
            self._canvas.make_slide_active()
        self._tell()

    def _tell(self) -> None:
        self._on_change([] if self._layer is None else list(_outlines(self._layer)))

    def _on_removed(self, event: Any) -> None:
        if event.value is self._layer or (
            self._layer is not None and what(event.value).get("part") == MARKED
        ):
            assert self._layer is not None
            self._layer.events.data.disconnect(self._on_data)
            self._layer = None
            self._tell()


def stroke_outline(path: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Give what a round brush covers along a path; a loop takes in what it runs round.

    Parameters
    ----------
    path : ndarray, shape (V, 2), float64
        Places of the brush, (y, x); V ≥ 1.
    width : float
        Of the brush, in the same unit, above 0.

    Returns
    -------
    ndarray, shape (W, 2), float64
        The outline, (y, x).
    """
    from shapely import LineString, Point

    # one place, or a click that did not move, is no line
    is_point = len(np.unique(path, axis=0)) < 2
    covered = (Point(path[0]) if is_point else LineString(path)).buffer(width / 2)
    return np.asarray(covered.exterior.coords, np.float64)[:-1]


def _outlines(layer: Shapes) -> Iterator[NDArray[np.float64]]:
    shapes = zip(layer.data, layer.shape_type, layer.edge_width, strict=True)
    for corners, kind, width in shapes:
        outline = np.asarray(corners, np.float64)[:, -2:]
        if kind == "path":
            outline = stroke_outline(outline, width)
        # napari's origin is the centre of a pixel, a region's is its corner
        yield outline + 0.5
