"""Large slides for the benchmarks: a small rendered phantom, laid side by side.

A tile is encoded once and its bytes are written wherever it recurs, so that a slide of
40 000 by 30 000 pixels takes seconds; each copy lies at a place of its own in the file,
and every reader has to read and decode it there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from imagecodecs import jpeg2k_encode, jpeg8_encode
from numpy.typing import NDArray

from napari_mhim.phantom.config import PhantomConfig
from napari_mhim.phantom.pixels import render
from napari_mhim.slide.source import mean_of_four

TILE = 256
"""Width and height of a tile, px."""
MPP = 0.5
"""Micrometres per level-0 pixel."""
_RENDERED = (8192, 10240)
_REPEATS = 4
_QUALITY = 85
_APERIO_JP2_RGB = 33005
_LEAST_PX = 1024


@dataclass(frozen=True)
class Made:
    """A kind of slide the benchmarks read."""

    name: str
    """Of the file."""
    codec: str
    """``"jpeg"`` or ``"jpeg2000"``."""
    step: int
    """How much coarser each level is than the one before, a power of two."""


JPEG = Made("jpeg.svs", "jpeg", 2)
JPEG_BY_FOUR = Made("jpeg-by-four.svs", "jpeg", 4)
JPEG_2000 = Made("jpeg2000.svs", "jpeg2000", 4)


def written(folder: Path, made: Made, repeats: int = _REPEATS) -> Path:
    """Give a slide's path; it is written where it is not there yet.

    Parameters
    ----------
    folder : Path
        Where it is kept; made on demand.
    made : Made
        Which.
    repeats : int
        How often the phantom is laid side by side, along each axis.

    Returns
    -------
    Path
        The slide: one that OpenSlide reads as Aperio's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / made.name
    if not path.is_file():
        part = path.with_suffix(".part")
        _write(part, made, _phantom(folder), repeats)
        part.replace(path)
    return path


def _phantom(folder: Path) -> NDArray[np.uint8]:
    """Render the phantom, or give the one that was rendered before."""
    path = folder / "phantom.npy"
    if not path.is_file():
        np.save(path, render(PhantomConfig(shape=_RENDERED, easy=True, hard=True)).rgb)
    pixels: NDArray[np.uint8] = np.load(path)
    return pixels


def _write(path: Path, made: Made, pixels: NDArray[np.uint8], repeats: int) -> None:
    size = tuple(n * repeats for n in pixels.shape[:2])
    description = (
        f"Aperio Image Library v12.0.0\n{size[1]}x{size[0]} (256x256) "
        f"|AppMag = 20|MPP = {MPP}"
    )
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        level = 0
        while True:
            height, width = pixels.shape[0] * repeats, pixels.shape[1] * repeats
            tiff.write(
                _tiles(pixels, made.codec, repeats),
                shape=(height, width, 3),
                dtype=np.uint8,
                tile=(TILE, TILE),
                photometric="rgb",
                compression=_APERIO_JP2_RGB if made.codec == "jpeg2000" else "jpeg",
                subsampling=None if made.codec == "jpeg2000" else (2, 2),
                description=description,
                metadata=None,
                subfiletype=1 if level else 0,
            )
            if max(height, width) <= _LEAST_PX * made.step:
                return
            for _ in range(made.step.bit_length() - 1):
                pixels = mean_of_four(pixels)
            level += 1


def _tiles(pixels: NDArray[np.uint8], codec: str, repeats: int) -> Iterator[bytes]:
    if any(n % TILE for n in pixels.shape[:2]):
        # a repeat does not begin on a tile: so small a level is laid out whole
        pixels, repeats = np.tile(pixels, (repeats, repeats, 1)), 1
    rows, cols = (-(-n // TILE) for n in pixels.shape[:2])
    encoded = [
        [_encoded(pixels, row, col, codec) for col in range(cols)]
        for row in range(rows)
    ]
    for _ in range(repeats):
        for row in encoded:
            yield from row * repeats


def _encoded(pixels: NDArray[np.uint8], row: int, col: int, codec: str) -> bytes:
    tile = pixels[row * TILE : (row + 1) * TILE, col * TILE : (col + 1) * TILE]
    missing = [(0, TILE - n) for n in tile.shape[:2]]
    whole = np.ascontiguousarray(np.pad(tile, (*missing, (0, 0)), mode="edge"))
    if codec == "jpeg2000":
        return bytes(jpeg2k_encode(whole, level=38, codecformat="j2k"))
    return bytes(
        jpeg8_encode(
            whole,
            level=_QUALITY,
            colorspace="rgb",
            outcolorspace="ycbcr",
            subsampling=(2, 2),
        )
    )
