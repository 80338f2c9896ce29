"""Made slides: pink tissue with dark dots on bright glass, neither square nor regular."""

from pathlib import Path

import numpy as np
import tifffile
from scipy import ndimage

from napari_mhim.slide.write import write_pyramid

MPP = (0.5, 0.55)
"""(y, x), unequal so that swapped axes show."""


def picture(shape: tuple[int, int] = (550, 750), seed: int = 0) -> np.ndarray:
    """Draw glass with islands of tissue, (height, width, 3) uint8."""
    rng = np.random.default_rng(seed)
    rough = ndimage.gaussian_filter(rng.normal(size=shape), 45)
    tissue = rough > np.quantile(rough, 0.55)
    fine = ndimage.gaussian_filter(rng.normal(size=shape), 2)
    nuclei = fine > np.quantile(fine, 0.85)
    rgb = np.full((*shape, 3), 244.0)
    rgb[tissue] = (222, 150, 190)
    rgb[tissue & nuclei] = (95, 60, 140)
    rgb += rng.normal(0, 4, rgb.shape)
    return rgb.clip(0, 255).astype(np.uint8)


def write_slide(
    path: Path, mpp: tuple[float, float] | None = MPP, seed: int = 0
) -> Path:
    """Write a slide with tissue."""
    write_pyramid(path, picture(seed=seed), mpp, tile=128)
    return path


def write_blank(path: Path) -> Path:
    """Write a slide without tissue."""
    write_pyramid(path, np.full((300, 450, 3), 244, np.uint8), MPP)
    return path


def damage_tiles(path: Path, tiles: tuple[int, ...]) -> None:
    """Overwrite tiles of level 0 with bytes that no decoder takes."""
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        places = [(page.dataoffsets[i], page.databytecounts[i]) for i in tiles]
    with path.open("r+b") as file:
        for offset, n_bytes in places:
            file.seek(offset)
            file.write(b"\xab" * n_bytes)
