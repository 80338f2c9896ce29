"""The layer of hints: what is named on the slide, and a lasso for one more. No Qt."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from napari.layers import Shapes
from napari.layers.base import ActionType
from numpy.typing import NDArray

from napari_mhim.plugin import overlays
from napari_mhim.plugin.canvas import Canvas
from napari_mhim.plugin.palette import HINT_COLOURS, IGNORED_COLOUR
from napari_mhim.slide.regions import Region

PART = "hints"
NAME = "Region hints"


class HintLayer:
    """Outlines of a slide's hints; each finished lasso is handed over, and drawn anew.

    Parameters
    ----------
    canvas : Canvas
        Where it is shown.
    on_drawn : callable
        Called with an outline, (V, 2), (y, x), level-0 px, when one is finished.
    """

    def __init__(
        self, canvas: Canvas, on_drawn: Callable[[NDArray[np.float64]], None]
    ) -> None:
        self._canvas, self._on_drawn = canvas, on_drawn
        self._layer: Shapes | None = None
        self._n = 0
        canvas.viewer.layers.events.removed.connect(self._on_removed)

    def release(self) -> None:
        """Stop listening, and take the layer away."""
        self._canvas.viewer.layers.events.removed.disconnect(self._on_removed)
        self.hide()

    def hide(self) -> None:
        """Take the layer away."""
        layer, self._layer = self._layer, None
        if layer is not None:
            layer.events.data.disconnect(self._on_data)
            self._canvas.take_away(layer)

    def show(self, regions: Sequence[Region], classes: Sequence[str]) -> None:
        """Draw regions in the colours of their classes.

        Parameters
        ----------
        regions : sequence of Region
            Hints and exclusions; none takes the layer away.
        classes : sequence of str
            Classes in the order of the colours.
        """
        if not regions:
            self.hide()
            return
        layer = self._made()
        rings, colours = [], []
        for one in regions:
            for polygon in one.polygons:
                # napari's origin is the centre of a pixel, a region's is its corner
                rings.append(polygon.outline - 0.5)
                colours.append(colour_of(one, classes))
        with layer.events.data.blocker(self._on_data):
            # an outline that was begun and not finished is dropped
            layer.mode = "pan_zoom"
            layer.data = []
            layer.add_polygons(
                rings, edge_color=colours, edge_width=12.0, face_color="transparent"
            )
        self._n = len(rings)
        # the workspace is the truth: a shape moved or deleted by hand would deny it
        layer.editable = False

    def draw(self) -> None:
        """Let the reader draw one region with a lasso."""
        if self._canvas.state.slide is None:
            return
        layer = self._made()
        self._canvas.viewer.layers.selection.active = layer
        layer.editable = True
        layer.mode = "add_polygon_lasso"

    def _made(self) -> Shapes:
        if self._layer is None:
            slide = self._canvas.state.slide
            assert slide is not None  # regions and lassos are of a slide
            data, kwargs, _ = overlays.marked_layer(slide.name, self._canvas.state.mpp)
            kwargs["name"] = NAME
            kwargs["metadata"][overlays.OURS]["part"] = PART
            self._layer, self._n = Shapes(data, **kwargs), 0
            self._canvas.viewer.add_layer(self._layer)
            self._layer.events.data.connect(self._on_data)
            self._canvas.make_slide_active()
        return self._layer

    def _on_data(self, event: Any) -> None:
        layer = self._layer
        if layer is None or event.action is not ActionType.ADDED:
            return
        # the next click must not draw or move anything
        layer.mode = "pan_zoom"
        self._canvas.make_slide_active()
        if len(layer.data) > self._n:
            outline = np.asarray(layer.data[-1], np.float64)[:, -2:] + 0.5
            self._on_drawn(outline)

    def _on_removed(self, event: Any) -> None:
        if self._layer is not None and self._layer not in self._canvas.viewer.layers:
            self._layer.events.data.disconnect(self._on_data)
            self._layer = None


def colour_of(one: Region, classes: Sequence[str]) -> str:
    """Give a region's colour: its class's, or that of what is ignored or unknown."""
    if one.kind != "hint" or one.class_name not in classes:
        return IGNORED_COLOUR
    return HINT_COLOURS[classes.index(one.class_name) % len(HINT_COLOURS)]
