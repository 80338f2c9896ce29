"""Large slides for the benchmarks: a small rendered phantom, laid side by side.

A tile is encoded once and its bytes are written wherever it recurs, so that a slide of
40 000 by 30 000 pixels takes seconds; each copy lies at a place of its own in the file,
and every reader has to read and decode it there.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

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
_HUGE = (150_016, 200_192)


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


def written_huge(folder: Path) -> Path:
    """Give the path of a slide of 200 192 x 150 016 px; it is written where it is not there.

    All tiles of a level are the same bytes at one place of the file, which is small
    therefore; who reads it decodes each of them all the same.

    Parameters
    ----------
    folder : Path
        Where it is kept; made on demand.

    Returns
    -------
    Path
        A pyramid of levels each half the one before.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "huge.tif"
    if not path.is_file():
        part = path.with_suffix(".part")
        _write_huge(part)
        part.replace(path)
    return path


def _write_huge(path: Path) -> None:
    shape = _HUGE
    pixels = np.random.default_rng(0).integers(120, 250, (TILE, TILE, 3), np.uint8)
    tile = _encoded(pixels, 0, 0, "jpeg")
    with path.open("wb") as file:
        file.write(
            b"II+\0\x08\0\0\0" + bytes(8)
        )  # BigTIFF; the first directory's place
        at, link = file.tell(), 8
        file.write(tile)
        while True:
            link = _append_directory(file, shape, link, at, len(tile))
            if max(shape) <= _LEAST_PX:
                return
            shape = -(-shape[0] // 2), -(-shape[1] // 2)


def _append_directory(
    file: BinaryIO, shape: tuple[int, int], link: int, at: int, nbytes: int
) -> int:
    """Append a level whose tiles all lie at one place; give where its successor is named."""
    count = -(-shape[0] // TILE) * -(-shape[1] // TILE)
    file.seek(0, 2)
    offsets = file.tell()
    file.write(np.full(count, at, "<u8").tobytes())
    counts = file.tell()
    file.write(np.full(count, nbytes, "<u4").tobytes())
    place = file.tell()
    short, long, long8 = 3, 4, 16
    entries = [
        (254, long, 1, int(link != 8)),  # a reduced picture
        (256, long, 1, shape[1]),
        (257, long, 1, shape[0]),
        (258, short, 3, 8 | 8 << 16 | 8 << 32),
        (259, short, 1, 7),  # JPEG
        (262, short, 1, 6),  # YCbCr
        (277, short, 1, 3),
        (322, long, 1, TILE),
        (323, long, 1, TILE),
        (324, long8, count, offsets if count > 1 else at),
        (325, long, count, counts if count > 2 else nbytes | nbytes << 32),
        (530, short, 2, 2 | 2 << 16),
    ]
    file.write(struct.pack("<Q", len(entries)))
    for entry in entries:
        file.write(struct.pack("<HHQQ", *entry))
    last = file.tell()
    file.write(bytes(8))
    file.seek(link)
    file.write(struct.pack("<Q", place))
    return last


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
