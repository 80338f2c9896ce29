"""The layer of two models' evidence compared; it is there only while it is looked at."""

from typing import Any

from napari.layers import Layer

from napari_mhim.mil.result import SlideResult
from napari_mhim.plugin.canvas import Canvas
from napari_mhim.plugin.open_slides import what
from napari_mhim.plugin.overlays import DIFFERENCE, SLIDE, LayerTuple, grid_image
from napari_mhim.plugin.palette import EVIDENCE_MAP


def difference_layer(
    result: SlideResult,
    other: SlideResult,
    class_index: int,
    mpp: tuple[float, float] | None,
) -> LayerTuple:
    """Give the map of what another model's evidence is more or less than this one's.

    Parameters
    ----------
    result : SlideResult
        What the model saw; its colour limits are the map's.
    other : SlideResult
        What the other saw on the same patches.
    class_index : int
        Index of the class.
    mpp : tuple of float or None
        (y, x) micrometres per level-0 pixel.

    Returns
    -------
    LayerTuple
        Image (rows, cols), float32, other − this, NaN outside the tissue.
    """
    limit = float(result.evidence_limits[class_index])
    values = other.contribution - result.contribution  # (N, C)
    return grid_image(
        result,
        values[:, class_index],
        mpp,
        DIFFERENCE,
        name=f"Difference: {result.classes[class_index]}",
        colormap=EVIDENCE_MAP.as_napari(),
        contrast_limits=(-limit, limit),
        opacity=0.6,
        visible=True,
    )


class Difference:
    """Puts the layer on the viewer and takes it away; the user may do so, too.

    Parameters
    ----------
    canvas : Canvas
        Where it is shown.
    """

    def __init__(self, canvas: Canvas) -> None:
        self._canvas = canvas
        self._shown_before: tuple[str, ...] = ()

    @property
    def is_shown(self) -> bool:
        """Tell whether the layer is there."""
        return DIFFERENCE in self._canvas.layers()

    def show(self, result: SlideResult, other: SlideResult) -> None:
        """Draw the difference, alone over the slide.

        Parameters
        ----------
        result, other : SlideResult
            A and B, of the same patches.
        """
        data, kwargs, kind = difference_layer(
            result, other, result.target, self._canvas.state.mpp
        )
        found = self._canvas.layers()
        if DIFFERENCE in found:
            found[DIFFERENCE].data = data
            return
        self._shown_before = tuple(
            part for part, layer in found.items() if layer.visible and part != SLIDE
        )
        layers = self._canvas.viewer.layers
        # below outlines and rings, above the maps
        above = [i for i, one in enumerate(layers) if _is_above(one)]
        layers.insert(min(above, default=len(layers)), Layer.create(data, kwargs, kind))
        self._canvas.show_only(DIFFERENCE)
        self._canvas.make_slide_active()

    def hide(self) -> None:
        """Take the layer away, and show what was shown before."""
        found = self._canvas.layers()
        if DIFFERENCE not in found:
            return
        self._canvas.take_away(found[DIFFERENCE])
        self._canvas.show_only(*self._shown_before)


def _is_above(layer: Any) -> bool:
    return what(layer).get("part") in ("truth", "hard")
