"""Outlines as paths: closed, or cut into dashes, which napari does not draw itself."""

import numpy as np
from numpy.typing import NDArray

DASHES = 9
"""Dashes along one outline: few, so that small lesions are seen from afar."""


def dashes(polygon: NDArray[np.float64], n: int = DASHES) -> list[NDArray[np.float64]]:
    """Cut a closed outline into dashes, as long as the gaps between them.

    Parameters
    ----------
    polygon : ndarray, shape (V, 2)
        Corners, (y, x); the last is joined to the first.
    n : int
        How many dashes.

    Returns
    -------
    list of ndarray, shape (S, 2)
        Paths along the outline, each with at least two points.
    """
    ring = closed(polygon)
    steps = np.hypot(*np.diff(ring, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(steps)])  # (V + 1,)
    whole = along[-1]
    if whole == 0:
        return []
    found = []
    for start in np.arange(n) * whole / n:
        end = start + whole / (2 * n)
        between = along[(along > start) & (along < end)]
        at = np.concatenate([[start], between, [end]])
        found.append(np.stack([np.interp(at, along, axis) for axis in ring.T], axis=1))
    return found


def closed(polygon: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give an outline whose last corner is its first, shape (V or V + 1, 2)."""
    points = np.asarray(polygon, np.float64)
    return (
        points if (points[0] == points[-1]).all() else np.vstack([points, points[:1]])
    )
