"""From anatomy to pixels: stains are laid down, nuclei stamped, light shone through."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_closing

from napari_mhim.phantom.anatomy import Anatomy, grow, lattice
from napari_mhim.phantom.artefacts import spoil, truth_masks
from napari_mhim.phantom.config import PhantomConfig
from napari_mhim.phantom.fields import (
    CELL_PX,
    TILE_PX,
    Rising,
    fat_tile,
    fibre_tile,
)
from napari_mhim.phantom.nuclei import Float, Nuclei, stamp
from napari_mhim.phantom.pen import draw_pen
from napari_mhim.phantom.truth import PhantomTruth

BAND_ROWS = 8
"""Coarse rows composed at a time: few enough to stay in the processor's cache."""
_FAINTEST = 10  # of 255: what is less densely stained counts as glass


@dataclass(frozen=True, eq=False)
class Phantom:
    """A made slide with its truth."""

    config: PhantomConfig
    """What it was made from."""
    rgb: NDArray[np.uint8]
    """Pixels, shape (y, x, 3)."""
    truth: PhantomTruth
    """Where its lesions are."""
    masks: Mapping[str, NDArray[np.bool_]]
    """Where stained tissue, pen, fold, blur and bubble are, at every eighth pixel: (i, j) is
    level-0 pixel (8 i, 8 j), the last row and column may lie outside."""

    @property
    def label(self) -> str:
        """Give the slide's class, ``"normal"`` or ``"tumour"``."""
        return self.config.label


def render(config: PhantomConfig) -> Phantom:
    """Make one slide.

    Parameters
    ----------
    config : PhantomConfig
        What it is to hold; the same values give the same pixels.

    Returns
    -------
    Phantom
        Pixels and truth.
    """
    body = grow(config)
    haematoxylin, eosin = _lay_stains(body)
    _stamp_nuclei(body, haematoxylin, eosin)
    rgb = _shine(haematoxylin, eosin, body.rng, config.stain)
    shapes = spoil(rgb, body)
    masks = {
        "tissue": _stained(haematoxylin, eosin, body.tissue.shape),
        "pen": np.zeros(body.tissue.shape, bool),
        **truth_masks(shapes, body.y, body.x),
    }
    if config.pen:
        masks["pen"] = draw_pen(rgb, config.mpp, body.rng, config.ink)
    polygons = {
        kind: tuple(blob.outline(config.mpp) for blob in blobs)
        for kind, blobs in body.lesions.items()
    }
    truth = PhantomTruth(config.shape, config.mpp, polygons)
    return Phantom(config, rgb, truth, masks)


def _lay_stains(body: Anatomy) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Give the stains without nuclei, two arrays, shape (y, x), uint8, 255 is densest."""
    height, width = body.config.shape
    rows = body.tissue.shape[0] - 1
    haematoxylin = np.empty((rows * CELL_PX, width), np.uint8)
    eosin = np.empty_like(haematoxylin)
    shift = body.rng.integers(TILE_PX, size=2).astype(np.float32)
    maps = {
        name: Rising(nodes, width)
        for name, nodes in {
            "tissue": body.tissue,
            "fat": np.clip(body.fat * 6 - 2.5, 0, 1),
            "down": body.warp[0] + shift[0] + np.arange(rows + 1)[:, None] * CELL_PX,
            "right": body.warp[1] + shift[1],
            "eosin": 255 * body.eosin,
            "haematoxylin": 255 * body.haematoxylin,
            "fibrous": body.fibrous,
        }.items()
    }
    for first in range(0, rows, BAND_ROWS):
        last = min(first + BAND_ROWS, rows)
        here = {name: rising.band(first, last) for name, rising in maps.items()}
        band = slice(first * CELL_PX, last * CELL_PX)
        _compose(here, body.config.mpp, haematoxylin[band], eosin[band])
    return haematoxylin[:height], eosin[:height]


def _stained(
    haematoxylin: NDArray[np.uint8], eosin: NDArray[np.uint8], shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Give where stain was laid, at the nodes of the coarse maps."""
    mask = np.zeros(shape, bool)
    laid = np.maximum(haematoxylin[::CELL_PX, ::CELL_PX], eosin[::CELL_PX, ::CELL_PX])
    # between two fibres there is no stain, and yet tissue
    mask[: laid.shape[0], : laid.shape[1]] = binary_closing(laid > _FAINTEST)
    return mask


def _compose(
    here: dict[str, Float],
    mpp: tuple[float, float],
    haematoxylin: NDArray[np.uint8],
    eosin: NDArray[np.uint8],
) -> None:
    """Fill one band of the stains from the maps brought to its resolution."""
    width = eosin.shape[1]
    row = here["down"].astype(np.int32)
    col = (here["right"] + np.arange(width, dtype=np.float32)).astype(np.int32)
    spot = ((row & (TILE_PX - 1)) * TILE_PX) + (col & (TILE_PX - 1))
    fibre = fibre_tile(mpp).ravel().take(spot).astype(np.float32)
    fibre -= 128
    fibre /= 128
    # fibres fray the edge of the tissue, and hardly that of a gland
    fibre *= here["fibrous"]
    body = here["tissue"] + 9 * fibre
    body *= 0.5
    body += 0.5
    np.clip(body, 0, 1, out=body)
    stroma = here["eosin"]
    stroma *= 1 + 0.62 * fibre
    fat = here["fat"]
    membrane = fat_tile(mpp).ravel().take(spot) * np.float32(0.42)
    stroma += fat * (membrane - stroma)
    stroma *= body
    np.clip(stroma, 0, 255, out=stroma)
    eosin[:] = stroma
    blue = here["haematoxylin"]
    blue *= 1 + 0.5 * fibre
    blue *= body * (1 - 0.8 * fat)
    np.clip(blue, 0, 255, out=blue)
    haematoxylin[:] = blue


def _stamp_nuclei(
    body: Anatomy, haematoxylin: NDArray[np.uint8], eosin: NDArray[np.uint8]
) -> None:
    for kind in body.densities:
        centres = lattice(body, kind)
        nuclei = Nuclei(kind, centres, _angles(body, kind, centres))
        stamp(nuclei, haematoxylin, eosin, body.config.mpp, body.rng)
    for nuclei in body.nuclei:
        stamp(nuclei, haematoxylin, eosin, body.config.mpp, body.rng)


def _angles(body: Anatomy, kind: str, centres: NDArray[np.float64]) -> NDArray:
    """Turn stromal nuclei along the fibres, others anyhow; radians, shape (N,)."""
    rng = body.rng
    if kind not in ("spindle", "plump"):
        return rng.uniform(0, np.pi, len(centres))
    down = np.asarray(np.gradient(body.warp[0], CELL_PX, axis=0))
    across = np.asarray(np.gradient(body.warp[0], CELL_PX, axis=1))
    last = np.array(body.tissue.shape) - 1
    at = tuple(np.clip(np.round(centres / CELL_PX).astype(int), 0, last).T)
    # a fibre is where y + warp stays the same
    ratio = body.config.mpp[0] / body.config.mpp[1]
    along = np.arctan2(-across[at] * ratio, 1 + down[at])
    tilt: NDArray = along + rng.normal(0, 0.3, len(centres))
    return tilt


def _shine(
    haematoxylin: NDArray[np.uint8],
    eosin: NDArray[np.uint8],
    rng: np.random.Generator,
    stain: tuple[float, float],
) -> NDArray[np.uint8]:
    """Give the light that two stains leave, shape (y, x, 3), uint8.

    Stain strength, hue and white point differ from slide to slide, as between batches.
    """
    blue = np.array([0.62, 0.72, 0.32]) + rng.normal(0, 0.02, 3)
    pink = np.array([0.10, 0.78, 0.36]) + rng.normal(0, 0.02, 3)
    strength = np.exp(rng.normal(0, 0.07, 2)) * (1.0, 0.62) * stain
    white = np.array([243, 241, 244]) + rng.uniform(-3, 3, 3)
    level = np.arange(256) / 255
    density = (
        level[:, None, None] * blue * strength[0] + level[:, None] * pink * strength[1]
    )
    table = np.zeros((256, 256, 4), np.uint8)
    table[..., :3] = np.round(white * 10**-density)
    # one look-up of four bytes is faster than three of one
    packed = table.reshape(-1, 4).view(np.uint32).ravel()
    rgb = np.empty((*eosin.shape, 3), np.uint8)
    for top in range(0, len(rgb), BAND_ROWS * CELL_PX):
        band = slice(top, top + BAND_ROWS * CELL_PX)
        spot = haematoxylin[band].astype(np.uint16) << 8
        spot |= eosin[band]
        rgb[band] = packed.take(spot).view(np.uint8).reshape(*spot.shape, 4)[..., :3]
    return rgb
