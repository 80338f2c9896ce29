"""Where real slides lie, and tissue that is drawn: for the tests of this room."""

import os
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[3] / "shared"
SLIDES = Path(os.environ.get("NAPARI_MHIM_TEST_DATA", ROOT)) / "data" / "slides"


def made_tissue(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Draw pink tissue with purple nuclei in an ellipse that is off the middle."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[: shape[0], : shape[1]]
    dy, dx = (y / shape[0] - 0.4) / 0.3, (x / shape[1] - 0.6) / 0.25
    tissue = dy**2 + dx**2 < 1
    rgb = np.full((*shape, 3), 243.0)
    rgb[tissue] = (222, 150, 190)
    waves = 18 * np.sin(y / 9) * np.cos(x / 14)
    nuclei = (np.sin(y / 5.0) * np.sin(x / 6.3) > 0.7) & tissue
    rgb[nuclei] = (104, 62, 140)
    rgb[tissue] += waves[tissue, None]
    rgb += rng.normal(0, 1.5, rgb.shape)
    return np.clip(rgb, 0, 255).astype(np.uint8), tissue
