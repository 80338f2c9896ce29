"""Where one looks: close by at a place, or a little aside so that it is in view."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_MARGIN = 0.04  # share of the view that stays free round what is shown whole
_WINDOW_PATCHES = 9  # patches across the view when one is flown to


def fly(
    viewer: Any, layer: Any, at: NDArray[np.float64], patch_px: NDArray[np.float64]
) -> None:
    """Show a place close by.

    Parameters
    ----------
    viewer : napari.Viewer or ViewerModel
        The viewer.
    layer : napari layer
        In whose data the place is given.
    at : ndarray, shape (2,)
        (y, x) in the layer's data.
    patch_px : ndarray, shape (2,)
        Height and width of a patch in the layer's data: how close to go.
    """
    centre = layer.data_to_world(at)
    camera = viewer.scene.camera
    camera.center = (0.0, float(centre[-2]), float(centre[-1]))
    patch = float((patch_px * np.asarray(layer.scale[-2:])).max())
    camera.zoom = max(min(viewer.canvas.size), 100) / (_WINDOW_PATCHES * patch)


def frame(viewer: Any, layer: Any, box: tuple[int, int, int, int]) -> None:
    """Show a part of a layer, as large as fits.

    Parameters
    ----------
    viewer : napari.Viewer or ViewerModel
        The viewer.
    layer : napari layer
        In whose data the part is given.
    box : tuple of int
        y, x, height, width in the layer's data.
    """
    y, x, height, width = box
    low = np.array(layer.data_to_world((y, x))[-2:])
    high = np.array(layer.data_to_world((y + height, x + width))[-2:])
    camera = viewer.scene.camera
    camera.center = (0.0, *(float(n) for n in (low + high) / 2))
    camera.zoom = (1 - _MARGIN) * float((viewer.canvas.size / (high - low)).min())


def magnify(viewer: Any, layer: Any, times: int) -> bool:
    """Show the slide as large as an objective does; the middle of the view stays.

    Parameters
    ----------
    viewer : napari.Viewer or ViewerModel
        The viewer.
    layer : napari layer
        The slide's.
    times : int
        Of the objective: at 10 a screen pixel is 1 µm.

    Returns
    -------
    bool
        False where the slide has no scale.
    """
    if str(layer.units[-1]) == "pixel":
        return False
    viewer.scene.camera.zoom = times / 10
    return True


def bring_into_view(viewer: Any, layer: Any, at: NDArray[np.float64]) -> None:
    """Move the view to a place without zooming, if it lies outside.

    Parameters
    ----------
    viewer : napari.Viewer or ViewerModel
        The viewer.
    layer : napari layer
        In whose data the place is given.
    at : ndarray, shape (2,)
        (y, x) in the layer's data.
    """
    world = np.array(layer.data_to_world(at)[-2:])
    camera = viewer.scene.camera
    half = np.array(viewer.canvas.size) / camera.zoom / 2
    if (np.abs(world - camera.center[-2:]) > half).any():
        camera.center = (0.0, float(world[0]), float(world[1]))
