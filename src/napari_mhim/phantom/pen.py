"""A felt pen's mark on the glass."""

import numpy as np
from numpy.typing import NDArray

INKS = ((12, 82, 168), (30, 120, 70), (35, 35, 40))
"""Blue, green and black ink, RGB."""


def draw_pen(
    rgb: NDArray[np.uint8], mpp: tuple[float, float], rng: np.random.Generator
) -> None:
    """Draw one bowed stroke across a corner of the slide, in place.

    Parameters
    ----------
    rgb : ndarray, shape (y, x, 3), uint8
        The slide's pixels, changed in place.
    mpp : (float, float)
        Micrometres per pixel, (y, x).
    rng : Generator
        Picks ink, place and width.
    """
    height, width = rgb.shape[:2]
    ink = np.array(INKS[rng.integers(len(INKS))], np.float32)
    extent = np.array([height * mpp[0], width * mpp[1]])
    corner = extent * rng.integers(0, 2, 2)
    radius = rng.uniform(0.42, 0.52) * extent.min()
    half = min(rng.uniform(35, 60), 0.05 * extent.min())
    streaks = np.convolve(rng.random(256), np.ones(5) / 5, "same").astype(np.float32)
    x = (np.arange(width, dtype=np.float32) * mpp[1] - corner[1])[None]
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
        rgb[top + rows, cols] = seen * (1 - cover) + cover * ink * (seen / 255)
