"""A layer that is drawn on: there only while it is used, and one stroke at a time. No Qt.

The layer is the truth, and may be removed at any time. After a stroke the slide is the
active layer again, so that the next click draws and moves nothing.
"""

from collections.abc import Sequence
from typing import Any

from napari.layers import Shapes
from napari.layers.base import ActionType

from napari_mhim.plugin import overlays
from napari_mhim.plugin.canvas import Canvas
from napari_mhim.plugin.overlays import OURS
from napari_mhim.slide.regions import Region

_TOLD = (ActionType.ADDED, ActionType.CHANGED, ActionType.REMOVED)


class DrawingLayer:
    """Makes the layer, lets one stroke be drawn, and tells when its shapes have changed.

    Parameters
    ----------
    canvas : Canvas
        Where it is shown.
    part, name : str
        What the layer is, and what the reader sees it called.
    """

    def __init__(self, canvas: Canvas, part: str, name: str) -> None:
        self._canvas, self._part, self._name = canvas, part, name
        self._layer: Shapes | None = None
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

    def begin(self, mode: str) -> Shapes | None:
        """Let one shape be drawn.

        Parameters
        ----------
        mode : str
            Of napari's shapes layer.

        Returns
        -------
        Shapes or None
            The layer, the active one now; None without a slide.
        """
        if self._canvas.state.slide is None:
            return None
        layer = self.made()
        self._canvas.viewer.layers.selection.active = layer
        layer.editable = True
        layer.mode = mode
        return layer

    def made(self) -> Shapes:
        """Give the layer, empty where there was none; there must be a slide."""
        if self._layer is None:
            slide = self._canvas.state.slide
            assert slide is not None
            data, kwargs, _ = overlays.marked_layer(slide.name, self._canvas.state.mpp)
            kwargs["name"] = self._name
            kwargs["metadata"][OURS]["part"] = self._part
            self._layer = Shapes(data, **kwargs)
            self._canvas.viewer.add_layer(self._layer)
            self._layer.events.data.connect(self._on_data)
            self._canvas.make_slide_active()
        return self._layer

    def outline(self, regions: Sequence[Region], colours: Sequence[str]) -> int:
        """Draw regions as outlines, in place of what is there; none takes the layer away.

        Parameters
        ----------
        regions : sequence of Region
            In level-0 px.
        colours : sequence of str
            One for each region.

        Returns
        -------
        int
            How many outlines were drawn: a region can have several.
        """
        if not regions:
            self.hide()
            return 0
        layer = self.made()
        # napari's origin is the centre of a pixel, a region's is its corner
        rings = [polygon.outline - 0.5 for one in regions for polygon in one.polygons]
        each = zip(regions, colours, strict=True)
        edges = [colour for one, colour in each for _ in one.polygons]
        with layer.events.data.blocker(self._on_data):
            # an outline that was begun and not finished is dropped
            layer.mode = "pan_zoom"
            layer.data = []
            layer.add_polygons(
                rings, edge_color=edges, edge_width=12.0, face_color="transparent"
            )
        # the workspace is the truth: a shape moved or deleted by hand would deny it
        layer.editable = False
        return len(rings)

    def changed(self, is_new: bool) -> None:
        """Do what follows from other shapes; ``is_new`` where one was drawn."""

    def gone(self) -> None:
        """Do what follows when somebody has removed the layer."""

    def _on_data(self, event: Any) -> None:
        if self._layer is None or event.action not in _TOLD:
            return
        is_new = event.action is ActionType.ADDED
        if is_new:
            # the next click must not draw or move anything
            self._layer.mode = "pan_zoom"
            self._canvas.make_slide_active()
        self.changed(is_new)

    def _on_removed(self, event: Any) -> None:
        if self._layer is not None and self._layer not in self._canvas.viewer.layers:
            self._layer.events.data.disconnect(self._on_data)
            self._layer = None
            self.gone()
