"""The patch grid at a wanted mpp: corners that hold enough tissue."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mhim.errors import ConfigError, NoTissueError, UnknownMppError
from napari_mhim.slide.scale import MPP_RANGE
from napari_mhim.slide.slide import Slide
from napari_mhim.slide.tissue import TissueMask

MOST_CELLS = 50_000_000
"""Cells a grid may have: more is a slip of the settings, not a slide."""


@dataclass(frozen=True)
class GridConfig:
    """How a slide is cut into patches."""

    mpp: float = 0.5
    """Micrometres per pixel at which a model sees the patch."""
    patch_model_px: int = 256
    """Width and height of a patch in the pixels the model sees."""
    overlap: float = 0.0
    """Share of a patch that it has in common with the next one, in [0, 1)."""
    min_tissue: float = 0.25
    """Least share of a patch that must be tissue, in [0, 1]."""

    def __post_init__(self) -> None:
        if not 0.02 <= self.mpp <= 20:
            raise ConfigError(f"mpp must be 0.02 to 20 µm per pixel, got {self.mpp}")
        if self.patch_model_px < 1:
            raise ConfigError(
                f"patch_model_px must be 1 or more, got {self.patch_model_px}"
            )
        if not 0 <= self.overlap < 1:
            raise ConfigError(f"overlap must be in [0, 1), got {self.overlap}")
        if not 0 <= self.min_tissue <= 1:
            raise ConfigError(f"min_tissue must be in [0, 1], got {self.min_tissue}")


@dataclass(frozen=True, eq=False)
class PatchGrid:
    """Where the patches of one slide lie: a regular grid, and which cells are used.

    Lengths are level-0 pixels, (y, x), as floats: a downsample is never rounded.
    """

    origin: NDArray[np.float64]
    """Corner of cell (0, 0), shape (2,), (y, x), level-0 px."""
    stride_px: NDArray[np.float64]
    """Step from cell to cell, shape (2,), (y, x), level-0 px."""
    patch_px: NDArray[np.float64]
    """Height and width of a patch, shape (2,), (y, x), level-0 px."""
    shape: tuple[int, int]
    """Rows and columns of the whole grid, used or not."""
    cells: NDArray[np.int32]
    """Row and column of each used patch, shape (N, 2), in the bag's order."""
    mpp: float
    """Micrometres per pixel at which the model sees a patch."""
    patch_model_px: int
    """Width of a patch in the pixels the model sees."""

    def __len__(self) -> int:
        """Count the used patches."""
        return len(self.cells)

    @property
    def corners(self) -> NDArray[np.float64]:
        """Give the upper left corner of each used patch, shape (N, 2), (y, x), level-0 px."""
        return self.origin + self.cells * self.stride_px

    def raster(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Lay one value per patch out on the grid.

        Parameters
        ----------
        values : ndarray, shape (N,)
            One value for each used patch.

        Returns
        -------
        ndarray, shape (rows, cols), float32
            NaN where there is no patch.
        """
        image = np.full(self.shape, np.nan, np.float32)
        image[self.cells[:, 0], self.cells[:, 1]] = values
        return image


def patch_grid(
    slide_shape: tuple[int, int],
    mpp: tuple[float, float],
    tissue: TissueMask | None,
    config: GridConfig,
) -> PatchGrid:
    """Lay the grid over a slide and keep the cells that hold enough tissue.

    The grid begins at the slide's corner and covers all of it: cells of the last row and
    column may reach outside, where there is no tissue.

    Parameters
    ----------
    slide_shape : tuple of int
        Height and width of the slide in level-0 pixels.
    mpp : tuple of float
        (y, x) µm per level-0 pixel.
    tissue : TissueMask, optional
        Where tissue is; None keeps every cell.
    config : GridConfig
        Scale, patch, overlap and least share of tissue.

    Returns
    -------
    PatchGrid
        Its cells row by row.

    Raises
    ------
    NoTissueError
        If no cell holds enough tissue.
    ConfigError
        If the grid would have more than ``MOST_CELLS`` cells.
    """
    patch_px = config.patch_model_px * config.mpp / np.asarray(mpp, np.float64)
    stride_px = patch_px * (1 - config.overlap)
    # a slide of 2.0000001 strides has no third row: the rest is rounding
    steps = np.ceil((np.asarray(slide_shape) - patch_px) / stride_px - 1e-6)
    rows, cols = (int(n) + 1 for n in np.maximum(steps, 0))
    if rows * cols > MOST_CELLS:
        raise ConfigError(
            f"a grid of {rows} x {cols} patches is more than {MOST_CELLS:,}; take larger "
            "patches, a coarser scale or less overlap"
        )
    if tissue is None:
        used = np.ones((rows, cols), bool)
    else:
        shares = tissue_shares(tissue, (rows, cols), stride_px, patch_px)
        # a little less, so that a patch full of tissue counts as one despite rounding
        used = shares >= config.min_tissue * (1 - 1e-6)
    if not used.any():
        raise NoTissueError(
            f"no patch of {config.patch_model_px} px at {config.mpp:g} µm per pixel "
            f"holds {config.min_tissue:.0%} of tissue; lower the least share, or check "
            "the tissue outline"
        )
    return PatchGrid(
        origin=np.zeros(2),
        stride_px=stride_px,
        patch_px=patch_px,
        shape=(rows, cols),
        cells=np.argwhere(used).astype(np.int32),
        mpp=config.mpp,
        patch_model_px=config.patch_model_px,
    )


def grid_mpp(slide: Slide, override: float | None = None) -> tuple[float, float]:
    """Give the scale to lay a slide's grid with.

    Parameters
    ----------
    slide : Slide
        The slide.
    override : float, optional
        µm per level-0 pixel, where the user says so; goes before the slide's own.

    Returns
    -------
    tuple of float
        (y, x) µm per level-0 pixel.

    Raises
    ------
    UnknownMppError
        If the slide does not say and nobody else does.
    ConfigError
        If ``override`` is no microscope's.
    """
    if override is not None:
        if not MPP_RANGE[0] <= override <= MPP_RANGE[1]:
            raise ConfigError(f"mpp must be 0.02 to 20 µm per pixel, got {override}")
        return override, override
    if slide.mpp is None:
        raise UnknownMppError(
            f"{slide.path.name!r} has no usable scale ({slide.mpp_reason}); "
            "give its micrometres per pixel (--mpp)"
        )
    return slide.mpp


def tissue_shares(
    tissue: TissueMask,
    shape: tuple[int, int],
    stride_px: NDArray[np.float64],
    patch_px: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Give the share of each cell's area that is tissue, exactly.

    Parameters
    ----------
    tissue : TissueMask
        Where tissue is; none outside.
    shape : tuple of int
        Rows and columns of the grid.
    stride_px, patch_px : ndarray, shape (2,)
        Step and size of a cell, (y, x), level-0 px.

    Returns
    -------
    ndarray, shape (rows, cols), float64
        In [0, 1].
    """
    counts = np.zeros([n + 1 for n in tissue.mask.shape])
    counts[1:, 1:] = tissue.mask.cumsum(0, dtype=np.float64).cumsum(1)
    # the integral of a mask of squares is bilinear between the squares' corners
    for axis in (0, 1):
        starts = np.arange(shape[axis]) * stride_px[axis] / tissue.px[axis]
        ends = starts + patch_px[axis] / tissue.px[axis]
        counts = _at(counts, ends, axis) - _at(counts, starts, axis)
    area = np.prod(patch_px / np.asarray(tissue.px))
    shares: NDArray[np.float64] = np.clip(counts / area, 0, 1)  # (rows, cols)
    return shares


def _at(
    values: NDArray[np.float64], places: NDArray[np.float64], axis: int
) -> NDArray[np.float64]:
    """Interpolate along an axis, constant beyond its end."""
    last = values.shape[axis] - 1
    places = np.clip(places, 0, last)
    low = np.minimum(places.astype(np.intp), max(last - 1, 0))
    part = (places - low).reshape((-1, 1) if axis == 0 else (1, -1))
    below, above = (values.take(low + step, axis) for step in (0, 1))
    between: NDArray[np.float64] = below * (1 - part) + above * part
    return between
