"""The layer of hints: what is named on the slide, and a lasso for one more. No Qt."""

from collections.abc import Callable, Sequence

import numpy as np
from napari.layers import Shapes
from numpy.typing import NDArray

from napari_mhim.plugin.canvas import Canvas
from napari_mhim.plugin.drawing import DrawingLayer
from napari_mhim.plugin.palette import HINT_COLOURS, IGNORED_COLOUR
from napari_mhim.slide.regions import Region

PART = "hints"
NAME = "Region hints"


class HintLayer(DrawingLayer):
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
        super().__init__(canvas, PART, NAME)
        self._on_drawn = on_drawn
        self._n = 0

    def show(self, regions: Sequence[Region], classes: Sequence[str]) -> None:
        """Draw regions in the colours of their classes.

        Parameters
        ----------
        regions : sequence of Region
            Hints and exclusions; none takes the layer away.
        classes : sequence of str
            Classes in the order of the colours.
        """
        self._n = self.outline(regions, [colour_of(one, classes) for one in regions])

    def draw(self) -> None:
        """Let the reader draw one region with a lasso."""
        self.begin("add_polygon_lasso")

    def made(self) -> Shapes:
        """Give the layer; a new one has no shape yet."""
        if self._layer is None:
            self._n = 0
        return super().made()

    def changed(self, is_new: bool) -> None:
        """Hand over the outline that was finished."""
        layer = self._layer
        if is_new and layer is not None and len(layer.data) > self._n:
            outline = np.asarray(layer.data[-1], np.float64)[:, -2:] + 0.5
            self._on_drawn(outline)


def colour_of(one: Region, classes: Sequence[str]) -> str:
    """Give a region's colour: its class's, or that of what is ignored or unknown."""
    if one.kind != "hint" or one.class_name not in classes:
        return IGNORED_COLOUR
    return HINT_COLOURS[classes.index(one.class_name) % len(HINT_COLOURS)]
