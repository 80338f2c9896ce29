"""How far out of focus each place of a slide is, in µm, whatever its stain.

A picture that is blurred already hardly changes when it is blurred again (Crete et al.,
"The blur effect: perception and estimation with a new no-reference perceptual blur
metric", SPIE 6492, 2007). Two Gaussians of 1 and 4 µm are taken off the slide: the share
of the local contrast that the narrow one takes away falls as the slide gets blurred, and
does not depend on how strong the contrast is, so that pale stroma is as sharp as a dark
nucleus. Natural pictures lose power with the square of the frequency; for those the share
follows from the width of the blur in closed form, and that width is what is given.

Where there is next to no contrast (glass, the inside of fat) nothing can be said.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from napari_mhim.slide._masks import Floats, Mask, resampled, smoothed
from napari_mhim.slide.slide import Slide
from napari_mhim.slide.source import TileSource

FINE_UM, COARSE_UM = 1.0, 4.0
"""Deviations of the two Gaussians, µm."""
CELL_UM = 32.0
"""Width of a place that is judged, µm."""
MOST_PX = 48_000_000
"""Pixels looked at at most: on larger slides evenly spread blocks stand for the rest."""

_COARSEST_MPP = 1.25  # beyond, a pixel is wider than the narrow Gaussian
_BLOCK_CELLS = 8
# contrast that is enough to judge by: of the slide's own, but never less or more than so
# many grey levels squared: below, noise and JPEG are most of it
_ENOUGH, _ENOUGH_RANGE = 0.03, (1.5, 4.0)


def blur_um(slide: Slide, mpp: tuple[float, float], tissue: Mask) -> Floats:
    """Measure the blur of a slide's tissue.

    Parameters
    ----------
    slide : Slide
        Open; the coarsest of its own levels that shows detail of 1 µm is read, block by
        block: memory does not grow with the slide, and above ``MOST_PX`` time neither.
    mpp : tuple of float
        (y, x) µm per level-0 pixel.
    tissue : ndarray, shape (rows, cols), bool
        Where to look, on a raster over the whole slide.

    Returns
    -------
    ndarray, shape (rows, cols), float32
        Deviation in µm of the Gaussian that would blur a sharp slide as much, on a raster
        of ``CELL_UM`` a side; NaN where it cannot be told.
    """
    extent = [n * m for n, m in zip(slide.shape, mpp, strict=True)]
    rows, cols = (max(1, round(um / CELL_UM)) for um in extent)
    source = _level(slide, mpp)
    if source is None:
        return np.full((rows, cols), np.nan, np.float32)
    fine, coarse = np.zeros((2, rows, cols), np.float32)
    wanted, looked = np.zeros((2, rows, cols), bool)
    for cells, is_looked_at in _blocks(resampled(tissue, (rows, cols)), source):
        wanted[cells] = True
        if is_looked_at:
            fine[cells], coarse[cells] = _contrasts(source, mpp, cells, (rows, cols))
            looked[cells] = True
    blur = _spread(_among_neighbours(_width(fine, coarse)), looked)
    return np.where(wanted, blur, np.float32(np.nan))


def share_left(blur: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the share of local contrast finer than 1 µm at a blur of so many µm.

    Parameters
    ----------
    blur : ndarray, shape (N,), float64
        Deviations above 0, µm.

    Returns
    -------
    ndarray, shape (N,), float64
        Falling as the blur rises.
    """
    fine, coarse = (
        np.log1p(s**4 / 4 / (blur**2 * (blur**2 + s**2))) for s in (FINE_UM, COARSE_UM)
    )
    share: NDArray[np.float64] = fine / coarse
    return share


def _level(slide: Slide, mpp: tuple[float, float]) -> TileSource | None:
    """Give the coarsest level that still shows detail of 1 µm, None without one."""
    usable = [
        source
        for source in slide.sources
        if max(d * m for d, m in zip(source.downsample, mpp, strict=True))
        <= _COARSEST_MPP
    ]
    return usable[-1] if usable else None


def _blocks(
    tissue: Mask, source: TileSource
) -> Iterator[tuple[tuple[slice, slice], bool]]:
    """Give the blocks of cells that hold tissue, and whether each is looked at."""
    step, shape = _BLOCK_CELLS, tissue.shape
    holds = np.add.reduceat(tissue.astype(int), np.arange(0, shape[0], step), 0)
    holds = np.add.reduceat(holds, np.arange(0, shape[1], step), 1) > 0
    n_px = np.prod(source.shape) * holds.mean()
    every = max(1, int(np.ceil(np.sqrt(n_px / MOST_PX))))
    for row, col in np.argwhere(holds).tolist():
        cells = (
            slice(row * step, min((row + 1) * step, shape[0])),
            slice(col * step, min((col + 1) * step, shape[1])),
        )
        yield cells, row % every == 0 and col % every == 0


def _contrasts(
    source: TileSource,
    mpp: tuple[float, float],
    cells: tuple[slice, slice],
    shape: tuple[int, int],
) -> tuple[Floats, Floats]:
    """Give the mean squared contrast finer than each Gaussian in each cell of a block."""
    down, right = (
        np.round(np.arange(part.start, part.stop + 1) * n / count).astype(int)
        for part, n, count in zip(cells, source.shape, shape, strict=True)
    )  # where the cells begin and end, px of the level
    pixels = source.read(
        int(down[0]), int(right[0]), int(np.ptp(down)), int(np.ptp(right))
    )
    grey = pixels.mean(axis=2, dtype=np.float32)
    steps = [d * m for d, m in zip(source.downsample, mpp, strict=True)]
    areas = np.outer(np.diff(down), np.diff(right))
    found = []
    for width in (FINE_UM, COARSE_UM):
        detail = grey - smoothed(grey, (width / steps[0], width / steps[1]))
        sums = np.add.reduceat(detail**2, down[:-1] - down[0], 0)
        found.append(np.add.reduceat(sums, right[:-1] - right[0], 1) / areas)
    return found[0], found[1]


def _width(fine: Floats, coarse: Floats) -> Floats:
    """Turn two contrasts into the width of a blur, NaN where there is none to judge."""
    widths = np.geomspace(0.05, 20, 400)
    shares = share_left(widths)
    typical = float(np.median(coarse[coarse > 0])) if coarse.any() else 0.0
    can_tell = coarse > np.clip(_ENOUGH * typical, *_ENOUGH_RANGE)
    share = np.divide(fine, coarse, out=np.ones_like(fine), where=can_tell)
    found = np.interp(-share, -shares, widths).astype(np.float32)
    return np.where(can_tell, found, np.float32(np.nan))


def _among_neighbours(blur: Floats) -> Floats:
    """Give the median of each cell and its neighbours: one cell holds few edges."""
    rows, cols = blur.shape
    padded = np.pad(blur, 1, constant_values=np.nan)
    shifted = np.stack(
        [padded[i : i + rows, j : j + cols] for i in range(3) for j in range(3)]
    )
    known = np.isfinite(shifted).any(axis=0)
    median = np.full_like(blur, np.nan)
    median[known] = np.nanmedian(shifted[:, known], axis=0)
    return median


def _spread(blur: Floats, looked: Mask) -> Floats:
    """Let each block that was looked at stand for those about it that were not."""
    from scipy import ndimage

    if looked.all() or not looked.any():
        return blur
    at = ndimage.distance_transform_edt(
        ~looked, return_distances=False, return_indices=True
    )
    spread: Floats = blur[tuple(at)]
    return spread
