"""The one layer of tissue and artefacts: there only while its section is open. No Qt."""

from typing import Any

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray

from napari_mhim.plugin.canvas import Canvas
from napari_mhim.plugin.overlays import OURS
from napari_mhim.plugin.register import raster_transform

PART = "tissue"
"""What the layer's metadata say it is."""


class TissueLayer:
    """Draws pictures of tissue over the slide; the user may remove the layer at any time.

    Parameters
    ----------
    canvas : Canvas
        Where it is shown.
    """

    def __init__(self, canvas: Canvas) -> None:
        self._canvas = canvas
        self._layer: Any = None

    def draw(self, picture: NDArray[np.uint8], px: tuple[float, float]) -> None:
        """Show a picture, in place of the one before.

        Parameters
        ----------
        picture : ndarray, shape (rows, cols, 4), uint8
            RGBA, over the whole slide.
        px : tuple of float
            (y, x) level-0 pixels that one of its pixels covers.
        """
        layers, place = self._canvas.viewer.layers, self._place(px)
        if self._layer is not None and self._layer in layers:
            self._layer.data = picture
            self._layer.scale, self._layer.translate = (
                place["scale"],
                place["translate"],
            )
            self._layer.units = place["units"]
            return
        self._layer = Image(
            picture,
            name="Tissue and quality",
            rgb=True,
            metadata={OURS: {"part": PART}},
            **place,
        )
        self._canvas.viewer.add_layer(self._layer)
        self._canvas.make_slide_active()

    def remove(self) -> None:
        """Take the layer away."""
        layers = self._canvas.viewer.layers
        if self._layer is not None and self._layer in layers:
            layers.remove(self._layer)
        self._layer = None

    def _place(self, px: tuple[float, float]) -> dict[str, Any]:
        return raster_transform(px, self._canvas.state.mpp).kwargs()
