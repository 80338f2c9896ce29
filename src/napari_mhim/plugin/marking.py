"""Marking areas of the slide: one lasso or brush stroke, then the slide is active again.

No Qt: works on a ``ViewerModel`` without a window.
"""

from collections.abc import Callable, Iterator

import numpy as np
from napari.layers import Shapes
from numpy.typing import NDArray

from napari_mhim.plugin.canvas import Canvas
from napari_mhim.plugin.drawing import DrawingLayer
from napari_mhim.plugin.overlays import MARKED
from napari_mhim.plugin.palette import MARKED_COLOUR

Outlines = list[NDArray[np.float64]]

_LINE_PX = 12.0
_PAINT = MARKED_COLOUR + "80"
"""A stroke hides what it covers by half."""


class Marking(DrawingLayer):
    """The layer of marked areas.

    Parameters
    ----------
    canvas : Canvas
        Where it is shown.
    on_change : callable
        Called with the outlines, each (V, 2), (y, x), level-0 px, whenever they change.
    """

    def __init__(self, canvas: Canvas, on_change: Callable[[Outlines], None]) -> None:
        super().__init__(canvas, MARKED, "Marked area")
        self._on_change = on_change

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
        if self._layer is not None and len(self._layer.data) > 1:
            self._layer.data = self._layer.data[:-1]
            self._tell()
        else:
            self.clear()

    def clear(self) -> None:
        """Take all areas away, and their layer."""
        if self._layer is not None:
            self.hide()
            self._canvas.make_slide_active()
            self._tell()

    def changed(self, is_new: bool) -> None:
        """Hand the outlines over."""
        self._tell()

    def gone(self) -> None:
        """Say that no area is marked any more."""
        self._tell()

    def _begin(self, mode: str, colour: str, width_px: float) -> None:
        layer = self.begin(mode)
        if layer is not None:
            # what is selected would take the new width and colour, too
            layer.selected_data = set()
            layer.current_edge_color, layer.current_edge_width = colour, width_px

    def _tell(self) -> None:
        self._on_change([] if self._layer is None else list(_outlines(self._layer)))


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
