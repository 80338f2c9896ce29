"""Smooth random fields, textures that tile, and their way up to full resolution."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.spatial import cKDTree

from napari_mhim.phantom.nuclei import Float, Mpp

CELL_PX = 8
"""Level-0 pixels from node to node of the coarse maps."""
TILE_PX = 1024
"""Width and height of a texture tile, level-0 px; a power of two, for the modulo."""


def smooth_noise(
    shape: tuple[int, int],
    wavelength: tuple[float, float],
    rng: np.random.Generator,
) -> Float:
    """Draw a smooth random field, of mean 0 and deviation 1.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns.
    wavelength : (float, float)
        Deviation of the Gaussian that smooths it, (y, x), in pixels of the field.
    rng : Generator
        Where the randomness comes from.

    Returns
    -------
    ndarray, shape ``shape``, float32
        The field; it tiles where both sides are powers of two.
    """
    # filtered in the frequency domain: wide Gaussians cost no more than narrow ones
    fast = (
        fft.next_fast_len(shape[0], real=True),
        fft.next_fast_len(shape[1], real=True),
    )
    spectrum = fft.rfft2(rng.standard_normal(fast, dtype=np.float32))
    fy = fft.fftfreq(fast[0])[:, None].astype(np.float32) * wavelength[0]
    fx = fft.rfftfreq(fast[1])[None].astype(np.float32) * wavelength[1]
    spectrum *= np.exp(-2 * np.pi**2 * (fy**2 + fx**2))
    field = fft.irfft2(spectrum, fast)[: shape[0], : shape[1]]
    field -= field.mean()
    field /= field.std() + 1e-9
    return np.asarray(field, np.float32)


@lru_cache(maxsize=4)
def fibre_tile(mpp: Mpp) -> NDArray[np.uint8]:
    """Give the texture of collagen: wavy strands along x, shape (TILE_PX, TILE_PX).

    Brightness 0 to 255 is the amount of collagen; 128 is the mean.
    """
    rng = np.random.default_rng(11)
    shape = (TILE_PX, TILE_PX)

    def strands(across_um: float, along_um: float) -> Float:
        return smooth_noise(shape, (across_um / mpp[0], along_um / mpp[1]), rng)

    field = 0.55 * strands(0.6, 9) + 0.75 * strands(1.8, 26) + 0.6 * strands(6, 50)
    # a crack between bundles is narrow and pale: the tissue shrank when it was fixed
    cracks = np.clip(1 - np.abs(strands(3.2, 34)) / 0.16, 0, 1)
    field = field / field.std() - 1.9 * cracks + 0.22 * strands(0.5, 0.5)
    return np.asarray(np.clip(128 + 42 * field, 0, 255), np.uint8)


@lru_cache(maxsize=4)
def fat_tile(mpp: Mpp) -> NDArray[np.uint8]:
    """Give the texture of fat, shape (TILE_PX, TILE_PX): 255 on membranes, 0 in vacuoles."""
    rng = np.random.default_rng(12)
    extent = np.array(mpp) * TILE_PX
    rows, cols = np.maximum(np.round(extent / 62), 2).astype(int)
    nodes = np.stack(np.meshgrid(np.arange(rows), np.arange(cols), indexing="ij"), -1)
    jitter = rng.uniform(0.12, 0.88, nodes.shape)
    points = ((nodes + jitter) / (rows, cols) * extent).reshape(-1, 2) % extent
    step = 2  # the membranes are smooth: half resolution is enough
    axes = [(np.arange(0, TILE_PX, step) + step / 2) * m for m in mpp]
    where = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    near, _ = cKDTree(points, boxsize=extent).query(where, k=2)
    gap = near[..., 1] - near[..., 0]  # 0 on the border between two cells
    membrane = np.clip(1.25 - gap / 4.0, 0, 1)
    tile = (255 * membrane).astype(np.uint8)
    return np.repeat(np.repeat(tile, step, 0), step, 1)


def coarse_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """Give the nodes of the coarse map that spans a slide of this shape, level-0 px."""
    return -(-shape[0] // CELL_PX) + 1, -(-shape[1] // CELL_PX) + 1


class Rising:
    """A coarse map brought to full resolution by straight lines, band by band.

    Node (i, j) of the map lies on the level-0 pixel (i, j) × ``CELL_PX``.
    """

    def __init__(self, nodes: Float, width: int) -> None:
        x = np.arange(width, dtype=np.float32) / CELL_PX
        left = x.astype(np.intp)
        self._rows = nodes[:, left]
        self._rows += (nodes[:, left + 1] - self._rows) * (x - left)
        self._steps = np.diff(self._rows, axis=0)
        self._rise = np.arange(CELL_PX, dtype=np.float32)[None, :, None] / CELL_PX

    def band(self, first: int, last: int) -> Float:
        """Give the rows between two coarse rows.

        Parameters
        ----------
        first, last : int
            Coarse rows; the band spans level-0 rows ``first * CELL_PX`` up to, not
            including, ``last * CELL_PX``.

        Returns
        -------
        ndarray, shape ((last - first) * CELL_PX, width), float32
            The values.
        """
        # an output of its own: numpy would lay the product out with rows innermost
        width = self._rows.shape[1]
        block = np.empty((last - first, CELL_PX, width), np.float32)
        np.multiply(self._steps[first:last, None], self._rise, out=block)
        block += self._rows[first:last, None]
        return block.reshape(-1, width)
