"""A felt pen's mark on the glass."""

import numpy as np
from numpy.typing import NDArray

from napari_mhim.phantom.config import INKS as COLOURS
from napari_mhim.phantom.fields import CELL_PX, coarse_shape

INKS = (COLOURS["blue"], COLOURS["green"], COLOURS["black"])
"""Those that are drawn from where no ink is named, RGB."""


def draw_pen(
    rgb: NDArray[np.uint8],
    mpp: tuple[float, float],
    rng: np.random.Generator,
    ink: str = "",
) -> NDArray[np.bool_]:
    """Draw one bowed stroke across a corner of the slide, in place.

    Parameters
    ----------
    rgb : ndarray, shape (y, x, 3), uint8
        The slide's pixels, changed in place.
    mpp : (float, float)
        Micrometres per pixel, (y, x).
    rng : Generator
        Picks ink, place and width.
    ink : str
        A colour of ``config.INKS``; "" leaves it to the generator.

    Returns
    -------
    ndarray, shape (ceil(y / 8) + 1, ceil(x / 8) + 1), bool
        Where ink is, at every eighth pixel, as the coarse maps of ``anatomy``.
    """
    height, width = rgb.shape[:2]
    chosen = INKS[rng.integers(len(INKS))]
    colour = np.array(COLOURS.get(ink, chosen), np.float32)
    extent = np.array([height * mpp[0], width * mpp[1]])
    corner = extent * rng.integers(0, 2, 2)
    radius = rng.uniform(0.42, 0.52) * extent.min()
    half = min(rng.uniform(35, 60), 0.05 * extent.min())
    streaks = np.convolve(rng.random(256), np.ones(5) / 5, "same").astype(np.float32)
    x = (np.arange(width, dtype=np.float32) * mpp[1] - corner[1])[None]
    drawn = np.zeros(coarse_shape((height, width)), bool)
    for top in range(0, height, 256):
        y = np.arange(top, min(top + 256, height), dtype=np.float32)[:, None]
        y = y * mpp[0] - corner[0]
        across = np.hypot(y, x) - radius
        rows, cols = np.nonzero(np.abs(across) < half)
        if len(rows) == 0:
            continue
        off = across[rows, cols] / half
        bristle = streaks[((off + 1) * 127.5).astype(np.intp)]
        cover = np.clip((1 - np.abs(off)) * 8, 0, 1) * (0.72 + 0.4 * bristle)
        cover = np.clip(cover, 0, 0.96)[:, None]
        seen = rgb[top + rows, cols].astype(np.float32)
        rgb[top + rows, cols] = seen * (1 - cover) + cover * colour * (seen / 255)
        on_node = (rows % CELL_PX == 0) & (cols % CELL_PX == 0) & (cover[:, 0] > 0.2)
        drawn[(top + rows[on_node]) // CELL_PX, cols[on_node] // CELL_PX] = True
    return drawn
