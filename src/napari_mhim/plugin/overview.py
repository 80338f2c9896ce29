"""The whole slide at a glance: its evidence, what of it is in view, and going elsewhere."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mhim.mil.result import SlideResult
from napari_mhim.plugin.palette import EVIDENCE_MAP

_STEPS = 65  # colours of the map, an odd number: the middle is one of them


def in_view(viewer: Any, layer: Any) -> NDArray[np.float64]:
    """Give what of a slide is in view.

    Parameters
    ----------
    viewer : napari.Viewer or ViewerModel
        The viewer.
    layer : napari layer
        The slide's.

    Returns
    -------
    ndarray, shape (2, 2)
        Upper left and lower right corner, (y, x), level-0 px; it may reach past the slide.
    """
    camera = viewer.scene.camera
    half = np.array(viewer.canvas.size) / camera.zoom / 2
    centre = np.array(camera.center[-2:])
    corners = [layer.world_to_data(centre + side * half) for side in (-1, 1)]
    return np.array([corner[-2:] for corner in corners], np.float64)


def go(viewer: Any, layer: Any, at: NDArray[np.float64]) -> None:
    """Move the view to a place without zooming.

    Parameters
    ----------
    viewer : napari.Viewer or ViewerModel
        The viewer.
    layer : napari layer
        The slide's.
    at : ndarray, shape (2,)
        (y, x), level-0 px.
    """
    world = layer.data_to_world(at)
    viewer.scene.camera.center = (0.0, float(world[-2]), float(world[-1]))


def heat(result: SlideResult) -> NDArray[np.uint8]:
    """Give the evidence for the class of interest in the colours of its layer.

    Parameters
    ----------
    result : SlideResult
        What the model saw.

    Returns
    -------
    ndarray, shape (rows, cols, 4), uint8
        Red, green, blue, opacity; clear where there is no patch.
    """
    limit = float(result.evidence_limits[result.target])
    values = result.contribution[:, result.target]
    raster = result.grid.raster(np.asarray(values, np.float32))  # (rows, cols)
    share = np.clip((raster / limit + 1) / 2, 0, 1)
    table = np.array([EVIDENCE_MAP.at(s) for s in np.linspace(0, 1, _STEPS)])
    step = np.nan_to_num(share * (_STEPS - 1)).round().astype(np.intp)
    colours = table[step]  # (rows, cols, 4)
    colours[np.isnan(raster), 3] = 0
    return np.ascontiguousarray((colours * 255).round().astype(np.uint8))
