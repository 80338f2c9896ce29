"""What a model saw, as napari layers: plain ``(data, kwargs, kind)`` tuples, no viewer.

Patches are pixels of a small image, stretched over the slide. Lists are in the order of
adding: the last layer is the topmost.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mhim.mil.questions import HIGH, LOW, RANDOM
from napari_mhim.mil.result import SlideResult, hard_instances
from napari_mhim.phantom.truth import PhantomTruth
from napari_mhim.plugin.measures import FIRST, MEASURES, Measure
from napari_mhim.plugin.outlines import closed, dashes
from napari_mhim.plugin.palette import (
    EVIDENCE_MAP,
    HIDDEN_MAP,
    MARKED_COLOUR,
    PARTS_MAP,
    RING_COLOUR,
    TRUTH_COLOUR,
)
from napari_mhim.plugin.register import grid_transform, slide_transform
from napari_mhim.plugin.viewing import drawn_levels
from napari_mhim.slide import Slide

LayerTuple = tuple[Any, dict[str, Any], str]

OURS = "napari_mhim"
"""Key of a layer's metadata under which we say what it is."""
SLIDE, EVIDENCE, ATTENTION, HIDDEN, TRUTH, HARD = (
    "slide",
    "evidence",
    "attention",
    "hidden",
    "truth",
    "hard",
)
"""What a layer of ours can be, bottom to top: ``metadata["napari_mhim"]["part"]``."""
DIFFERENCE = "difference"
"""The layer of two models' evidence compared; there only while it is looked at."""
MARKED = "marked"
"""The layer a reader draws areas on; there only while one does."""
MAX_RINGS = 20
"""At most so many hard patches are ringed."""
_RING_PATCHES = 1.0  # ring's diameter in patches: rings of neighbours only touch
_MIN_RING_SCREEN_PX = 13


def slide_layer(slide: Slide, mpp: tuple[float, float] | None = None) -> LayerTuple:
    """Give the layer of the slide's own pixels.

    Parameters
    ----------
    slide : Slide
        An open slide; the layer's metadata keeps it open.
    mpp : tuple of float, optional
        (y, x) micrometres per level-0 pixel where the slide does not say its own.

    Returns
    -------
    LayerTuple
        A multiscale RGB image, lazily read.
    """
    kwargs = {
        "name": "Slide",
        "multiscale": True,
        "rgb": True,
        # napari's own dask cache takes a quarter of the memory; ours is bounded
        "cache": False,
        "contrast_limits": (0, 255),
        "metadata": {OURS: {"part": SLIDE, "slide": slide.name, "open": slide}},
        **slide_transform(slide.mpp or mpp).kwargs(),
    }
    return drawn_levels(slide), kwargs, "image"


def result_layers(
    result: SlideResult,
    class_index: int,
    mpp: tuple[float, float] | None,
    truth: PhantomTruth | None = None,
) -> list[LayerTuple]:
    """Give all layers of one result, bottom to top.

    Parameters
    ----------
    result : SlideResult
        What the model saw.
    class_index : int
        Class whose evidence and hard patches are shown.
    mpp : tuple of float or None
        (y, x) micrometres per level-0 pixel, as the slide's layer has it.
    truth : PhantomTruth, optional
        Outlines of the lesions; a made slide only.

    Returns
    -------
    list of LayerTuple
        Evidence, attention, hidden, truth where there is one, hard patches.
    """
    layers = [
        evidence_layer(result, class_index, mpp),
        attention_layer(result, mpp),
        hidden_layer(result, mpp),
    ]
    if truth is not None:
        layers.append(truth_layer(truth, mpp, result.slide))
    return [*layers, hard_layer(result, class_index, mpp)]


def evidence_layer(
    result: SlideResult, class_index: int, mpp: tuple[float, float] | None
) -> LayerTuple:
    """Give the map of each patch's push towards or away from a class.

    Parameters
    ----------
    result : SlideResult
        What the model saw.
    class_index : int
        Index of the class.
    mpp : tuple of float or None
        (y, x) micrometres per level-0 pixel.

    Returns
    -------
    LayerTuple
        Image (rows, cols), float32, NaN outside the tissue; limits are the bundle's.
    """
    limit = float(result.evidence_limits[class_index])
    name = f"Evidence: {result.classes[class_index]}"
    return grid_image(
        result,
        result.contribution[:, class_index],
        mpp,
        EVIDENCE,
        name=name,
        colormap=EVIDENCE_MAP.as_napari(),
        contrast_limits=(-limit, limit),
        opacity=0.5,
        visible=True,
    )


def attention_layer(
    result: SlideResult,
    mpp: tuple[float, float] | None,
    measure: Measure = MEASURES[FIRST],
) -> LayerTuple:
    """Give the map of one measure of the patches: attention, unless told otherwise.

    Parameters
    ----------
    result : SlideResult
        What the model saw; branches are averaged.
    mpp : tuple of float or None
        (y, x) micrometres per level-0 pixel.
    measure : Measure
        What is shown; attention is a multiple of the mean weight.

    Returns
    -------
    LayerTuple
        Image (rows, cols), float32, NaN outside the tissue; off at first.
    """
    values = measure.values(result)  # (N,)
    return grid_image(
        result,
        values,
        mpp,
        ATTENTION,
        name=measure.name,
        colormap=measure.colours.as_napari(),
        contrast_limits=measure.limits(values),
        opacity=0.6,
        visible=False,
    )


def hidden_layer(result: SlideResult, mpp: tuple[float, float] | None) -> LayerTuple:
    """Give the patches the teacher would hide in training.

    Parameters
    ----------
    result : SlideResult
        What the model saw.
    mpp : tuple of float or None
        (y, x) micrometres per level-0 pixel.

    Returns
    -------
    LayerTuple
        Image (rows, cols), float32, 1 where hidden, NaN elsewhere; off at first.
    """
    values = np.where(result.mask, 1.0, np.nan)
    return grid_image(
        result,
        values,
        mpp,
        HIDDEN,
        name="Hidden by teacher",
        colormap=HIDDEN_MAP.as_napari(),
        contrast_limits=(0.0, 1.0),
        opacity=0.8,
        visible=False,
    )


def parts_layer(
    result: SlideResult, parts: NDArray[np.uint8], mpp: tuple[float, float] | None
) -> LayerTuple:
    """Give the patches that other ratios would hide, each part in its colour.

    Parameters
    ----------
    result : SlideResult
        What the model saw.
    parts : ndarray, shape (N,), uint8
        Bits of ``mil.questions`` for each patch; of several the first is drawn.
    mpp : tuple of float or None
        (y, x) micrometres per level-0 pixel.

    Returns
    -------
    LayerTuple
        Image (rows, cols), float32, 1 high, 2 low, 3 random, NaN where kept.
    """
    values = np.full(len(parts), np.nan)
    for place, bit in ((3, RANDOM), (2, LOW), (1, HIGH)):
        values[(parts & bit) > 0] = place
    return grid_image(
        result,
        values,
        mpp,
        HIDDEN,
        name="Hidden by teacher",
        colormap=PARTS_MAP.as_napari(),
        contrast_limits=(1.0, 3.0),
        opacity=0.8,
        visible=True,
    )


def hard_layer(
    result: SlideResult, class_index: int, mpp: tuple[float, float] | None
) -> LayerTuple:
    """Give rings around the hard patches: at most 20, and only where evidence is positive.

    Parameters
    ----------
    result : SlideResult
        What the model saw.
    class_index : int
        Class that the patches must speak for.
    mpp : tuple of float or None
        (y, x) micrometres per level-0 pixel.

    Returns
    -------
    LayerTuple
        Points at patch centres in level-0 px; empty when no patch supports the class.
    """
    hard = hard_instances(result, class_index, k=MAX_RINGS)
    centres = result.grid.corners[hard.index] + (result.grid.patch_px - 1) / 2
    kwargs = {
        "name": "Hard patches",
        "symbol": "disc",
        "face_color": "transparent",
        "border_color": RING_COLOUR,
        "border_width": 0.1,
        "size": float(result.grid.patch_px.mean()) * _RING_PATCHES,
        "canvas_size_limits": (_MIN_RING_SCREEN_PX, 10000),
        "features": {
            "rank": np.arange(1, len(hard) + 1),
            "evidence": hard.evidence,
            "reason": np.array(hard.reasons, dtype=object),
        },
        "metadata": _ours(result, HARD),
        "visible": True,
        **slide_transform(mpp).kwargs(),
    }
    return centres.reshape(-1, 2), kwargs, "points"


def truth_layer(
    truth: PhantomTruth, mpp: tuple[float, float] | None, slide: str
) -> LayerTuple:
    """Give the outlines of a made slide's lesions: easy solid, hard dashed.

    Parameters
    ----------
    truth : PhantomTruth
        Outlines of the lesions.
    mpp : tuple of float or None
        (y, x) micrometres per level-0 pixel.
    slide : str
        Slide's name.

    Returns
    -------
    LayerTuple
        Shapes; off at first.
    """
    paths: list[NDArray[np.float64]] = []
    kinds: list[str] = []
    for kind, polygons in truth.polygons.items():
        for corners in polygons:
            # outlines run along pixel edges, napari's origin is a pixel's centre
            polygon = np.asarray(corners, np.float64) - 0.5
            # napari draws no dashes, so a dashed outline is many short paths
            parts = dashes(polygon) if kind == "hard" else [closed(polygon)]
            paths += parts
            kinds += [kind] * len(parts)
    kwargs = {
        "name": "Truth (demo only)",
        "ndim": 2,
        "shape_type": "path",
        "edge_color": TRUTH_COLOUR,
        "edge_width": max(truth.shape) / 250,
        "face_color": "transparent",
        "features": {"kind": np.array(kinds, dtype=object)},
        "metadata": {OURS: {"part": TRUTH, "slide": slide, "truth": truth}},
        "opacity": 1.0,
        "visible": False,
        **slide_transform(mpp).kwargs(),
    }
    return paths, kwargs, "shapes"


def marked_layer(slide: str, mpp: tuple[float, float] | None) -> LayerTuple:
    """Give an empty layer to draw areas on, in level-0 px.

    Parameters
    ----------
    slide : str
        Slide's name.
    mpp : tuple of float or None
        (y, x) micrometres per level-0 pixel, as the slide's layer has it.

    Returns
    -------
    LayerTuple
        Shapes without any.
    """
    kwargs = {
        "name": "Marked area",
        "ndim": 2,
        "edge_color": MARKED_COLOUR,
        "edge_width": 12.0,
        "face_color": "transparent",
        "metadata": {OURS: {"part": MARKED, "slide": slide}},
        "opacity": 1.0,
        **slide_transform(mpp).kwargs(),
    }
    return None, kwargs, "shapes"


def grid_image(
    result: SlideResult,
    values: NDArray[Any],
    mpp: tuple[float, float] | None,
    part: str,
    **kwargs: Any,
) -> LayerTuple:
    """Give a number for each patch as an image over the slide.

    Parameters
    ----------
    result : SlideResult
        Whose patches they are.
    values : ndarray, shape (N,)
        What is shown.
    mpp : tuple of float or None
        (y, x) micrometres per level-0 pixel.
    part : str
        What the layer is.
    **kwargs : Any
        Name, colours, limits, opacity and visibility of the layer.

    Returns
    -------
    LayerTuple
        Image (rows, cols), float32, NaN outside the tissue.
    """
    image = result.grid.raster(np.asarray(values, np.float32))  # (rows, cols)
    fixed = {
        "interpolation2d": "nearest",
        "blending": "translucent",
        "metadata": _ours(result, part),
        **grid_transform(result.grid, mpp).kwargs(),
    }
    return image, {**kwargs, **fixed}, "image"


def _ours(result: SlideResult, part: str) -> dict[str, Any]:
    return {OURS: {"part": part, "slide": result.slide, "result": result}}
