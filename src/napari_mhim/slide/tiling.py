"""The patch grid at a wanted mpp: corners that hold enough tissue."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mhim.errors import ConfigError


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
