"""The pyramid a viewer needs, made from the levels a file has."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_mhim.slide.cache import TileCache
from napari_mhim.slide.source import NativeLevel, Pixels, TileSource, halved

LAST_LEVEL_PX = 1024
"""Long side of the last level at most: a viewer reads that one whole."""

# a step this large between two levels of a file gets a halved one in between
_WIDE_STEP = 2.8
_CHUNK_PX, _LARGE_CHUNK_PX, _LARGE_SLIDE_PX = 1024, 2048, 150_000


def pyramid(
    natives: Sequence[NativeLevel],
    cache: TileCache,
    number: int,
    missing: set[tuple[int, int, int]],
) -> list[tuple[TileSource, bool]]:
    """Fill the gaps between a file's levels, and go on to a small one.

    Parameters
    ----------
    natives : sequence of NativeLevel
        The file's levels, the finest first.
    cache : TileCache
        Where decoded tiles are kept.
    number : int
        The slide's number in the cache.
    missing : set
        Gathers the places of the file's tiles that could not be had.

    Returns
    -------
    list of (TileSource, bool)
        The levels, the finest first, each about half the one before, the last at most
        1024 px on its long side; True for the file's own.
    """
    full = natives[0].shape
    levels: list[tuple[TileSource, bool]] = []

    def add(level: NativeLevel, is_native: bool) -> None:
        key = (number, len(levels))
        gathers: set[tuple[int, int, int]] = missing if is_native else set()
        downsample = nominal_downsample(full, level.shape)
        levels.append((TileSource(level, downsample, cache, key, gathers), is_native))

    for native in natives:
        while levels and _step(levels[-1][0].shape, native.shape) > _WIDE_STEP:
            add(halved(levels[-1][0]), is_native=False)
        add(native, is_native=True)
    while max(levels[-1][0].shape) > LAST_LEVEL_PX:
        add(halved(levels[-1][0]), is_native=False)
    return levels


def nominal_downsample(
    full: tuple[int, int], shape: tuple[int, int]
) -> tuple[float, float]:
    """Give the level-0 pixels that one pixel of a level stands for, (y, x).

    Levels are made by a whole factor, and what does not fill a last pixel is dropped or
    padded: 2967 rows by 4 are 741 or 742. The factor is 4 then, not 4.004.

    Parameters
    ----------
    full, shape : tuple of int
        Height and width of level 0 and of the level.

    Returns
    -------
    tuple of float
        Whole numbers where they explain the shape on both axes, else the ratios.
    """
    ratios = [n / m for n, m in zip(full, shape, strict=True)]
    factor = round(sum(ratios) / 2)
    if factor and all(
        abs(n / factor - m) < 1 for n, m in zip(full, shape, strict=True)
    ):
        return float(factor), float(factor)
    return ratios[0], ratios[1]


@dataclass(frozen=True, eq=False)
class _Lazy:
    """A level as dask asks for it: by a tuple of slices with step 1."""

    source: TileSource
    shape: tuple[int, int, int]
    dtype = np.dtype(np.uint8)
    ndim = 3

    def __getitem__(self, index: tuple[slice, ...]) -> Pixels:
        rows, cols, bands = (
            range(*s.indices(n)) for s, n in zip(index, self.shape, strict=True)
        )
        pixels = self.source.read(rows.start, cols.start, len(rows), len(cols))
        return pixels[:, :, bands.start : bands.stop]


def dask_level(source: TileSource, full: tuple[int, int]) -> Any:
    """Wrap a level as a dask array that reads nothing until it is asked.

    Parameters
    ----------
    source : TileSource
        The level.
    full : tuple of int
        Height and width of level 0, which decide how large chunks are.

    Returns
    -------
    dask array, shape (y, x, 3), uint8
        Chunked in multiples of the file's tile, at least 1024 pixels.
    """
    import dask.array as da

    shape = (*source.shape, 3)
    wanted = _LARGE_CHUNK_PX if max(full) >= _LARGE_SLIDE_PX else _CHUNK_PX
    chunks = (*_chunks(source.tile, wanted), 3)
    # not by content, inlined, not as ndarray: a graph of few keys that costs nothing
    return da.from_array(
        _Lazy(source, shape), chunks, name=False, inline_array=True, asarray=False
    )


def _chunks(tile: Iterable[int], wanted: int) -> tuple[int, ...]:
    # a strip is as wide as the slide: there the cache has to do
    return tuple(wanted if t > 2 * wanted else -(-wanted // t) * t for t in tile)


def _step(fine: tuple[int, int], coarse: tuple[int, int]) -> float:
    return max(n / m for n, m in zip(fine, coarse, strict=True))
