"""Drawing areas on the slide: one lasso at a time, then the slide is active again.

No Qt: works on a ``ViewerModel`` without a window.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from napari.layers import Shapes
from napari.layers.base import ActionType
from numpy.typing import NDArray

from napari_mhim.plugin import overlays
from napari_mhim.plugin.canvas import Canvas
from napari_mhim.plugin.open_slides import what
from napari_mhim.plugin.overlays import MARKED

Outlines = list[NDArray[np.float64]]


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
            if self._layer in self._canvas.viewer.layers:
                self._canvas.viewer.layers.remove(self._layer)
            self._layer = None

    def draw(self) -> None:
        """Let the reader draw one area with a lasso."""
        slide = self._canvas.state.slide
        if slide is None:
            return
        if self._layer is None:
            data, kwargs, _ = overlays.marked_layer(slide.name, self._canvas.state.mpp)
            self._layer = Shapes(data, **kwargs)
            self._canvas.viewer.add_layer(self._layer)
            self._layer.events.data.connect(self._on_data)
        self._canvas.viewer.layers.selection.active = self._layer
        self._layer.mode = "add_polygon_lasso"

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
        shapes = [] if self._layer is None else self._layer.data
        # napari's origin is the centre of a pixel, a region's is its corner
        self._on_change([np.asarray(one, np.float64)[:, -2:] + 0.5 for one in shapes])

    def _on_removed(self, event: Any) -> None:
        if event.value is self._layer or (
            self._layer is not None and what(event.value).get("part") == MARKED
        ):
            assert self._layer is not None
            self._layer.events.data.disconnect(self._on_data)
            self._layer = None
            self._tell()
