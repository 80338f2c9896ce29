"""One level of a slide as tiles: the file's own, and those halved from a finer one."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mhim.errors import SlideError
from napari_mhim.slide.cache import TileCache

Pixels = NDArray[np.uint8]

WHITE = 255
"""What stands for glass: outside the slide, and in place of a missing tile."""

MOST_WHOLE_PX = 178_000_000
"""Pixels of a picture that is held in memory whole, some 13 000 a side."""

_DERIVED_TILE = 512


class DamagedTileError(SlideError):
    """A tile's bytes are there and do not decode; the rest of the slide may do."""


@dataclass(frozen=True)
class NativeLevel:
    """One level as a format's file gives it."""

    shape: tuple[int, int]
    """Height and width, (y, x), in the level's own pixels."""
    tile: tuple[int, int]
    """Height and width of a tile; those at the right and lower edge may hold less."""
    decode: Callable[[int, int], Pixels | None]
    """Tile at (row, column) as (h, w, 3) RGB, or None where the file holds none.

    It may be larger than what lies in the slide. Raises SlideError where the file's
    bytes cannot be read, DamagedTileError where they cannot be decoded. Called from
    several threads at once.
    """


class TileSource:
    """One level of an open slide, read tile by tile.

    Parameters
    ----------
    native : NativeLevel
        Where the tiles come from.
    downsample : tuple of float
        (y, x) level-0 pixels per pixel of this level.
    cache : TileCache
        Where decoded tiles are kept.
    key : tuple
        The slide's number, and the level's within it.
    missing : set
        Gathers the places of tiles that could not be had.
    """

    def __init__(
        self,
        native: NativeLevel,
        downsample: tuple[float, float],
        cache: TileCache,
        key: tuple[int, int],
        missing: set[tuple[int, int, int]],
    ) -> None:
        self.shape = native.shape
        self.tile = native.tile
        self.downsample = downsample
        self._decode = native.decode
        self._cache = cache
        self._owner, self._level = key
        self._missing = missing

    @property
    def tiles(self) -> tuple[int, int]:
        """Count the rows and columns of tiles."""
        rows, cols = (-(-n // t) for n, t in zip(self.shape, self.tile, strict=True))
        return rows, cols

    def decode_tile(self, row: int, col: int) -> Pixels | None:
        """Decode one tile, past the cache.

        Parameters
        ----------
        row, col : int
            Which tile.

        Returns
        -------
        ndarray, shape (h, w, 3), uint8, or None
            The tile, cut at the level's edge; None where the file holds none.

        Raises
        ------
        SlideError
            If the file's bytes cannot be decoded.
        """
        pixels = self._decode(row, col)
        if pixels is None:
            return None
        height, width = self._tile_shape(row, col)
        return pixels[:height, :width]

    def tile_pixels(self, row: int, col: int) -> Pixels:
        """Give one tile, past the cache: white and counted where it cannot be had.

        Parameters
        ----------
        row, col : int
            Which tile.

        Returns
        -------
        ndarray, shape (h, w, 3), uint8
            The tile, cut at the level's edge.

        Raises
        ------
        SlideError
            If the file cannot be read at all: it is closed, or its disk is gone.
        """
        try:
            pixels = self.decode_tile(row, col)
        except DamagedTileError:
            # one bad tile must not cost the slide; how many there are is reported
            pixels = None
        if pixels is None:
            self._missing.add((self._level, row, col))
            return np.full((*self._tile_shape(row, col), 3), WHITE, np.uint8)
        # nearly every tile is told from black by its first pixel
        if not pixels[0, 0].any() and not pixels.any():
            # a scanner writes black where it lost the image; it stays as it is
            self._missing.add((self._level, row, col))
        return pixels

    def read(self, y: int, x: int, height: int, width: int) -> Pixels:
        """Read a rectangle, white outside the level.

        Parameters
        ----------
        y, x : int
            Upper left corner in this level's pixels; may lie outside.
        height, width : int
            Size in this level's pixels.

        Returns
        -------
        ndarray, shape (height, width, 3), uint8
            RGB.
        """
        return paste_tiles(self, self.cached_tile, (y, x, height, width))

    def cached_tile(self, row: int, col: int) -> Pixels:
        """Give one tile by way of the cache; otherwise as :meth:`tile_pixels`.

        Parameters
        ----------
        row, col : int
            Which tile.

        Returns
        -------
        ndarray, shape (h, w, 3), uint8
            The tile, cut at the level's edge; not to be written to.

        Raises
        ------
        SlideError
            If the file cannot be read at all: it is closed, or its disk is gone.
        """
        key = (self._owner, (self._level, row, col))
        return self._cache.get(key, lambda: self._own_tile(row, col))

    def tile_at_hand(self, row: int, col: int) -> Pixels | None:
        """Give one tile if the cache has it, without reading.

        Parameters
        ----------
        row, col : int
            Which tile.

        Returns
        -------
        ndarray, shape (h, w, 3), uint8, or None
            The tile, not to be written to; None where it would have to be read.
        """
        return self._cache.peek((self._owner, (self._level, row, col)))

    def _own_tile(self, row: int, col: int) -> Pixels:
        # a view would keep a larger buffer alive than the cache counts
        tile = self.tile_pixels(row, col)
        return tile if tile.base is None else tile.copy()

    def _tile_shape(self, row: int, col: int) -> tuple[int, int]:
        height, width = self.tile
        below, right = self.shape[0] - row * height, self.shape[1] - col * width
        return min(height, below), min(width, right)


def tile_span(start: int, length: int, tile: int, limit: int) -> tuple[int, int]:
    """Give the tiles that an interval touches, along one axis.

    Parameters
    ----------
    start, length : int
        The interval in pixels; may reach outside the level.
    tile, limit : int
        Length of a tile and of the level in pixels.

    Returns
    -------
    tuple of int
        First tile and the one after the last; equal where nothing is touched.
    """
    low, high = max(start, 0), min(start + length, limit)
    return (low // tile, -(-high // tile)) if low < high else (0, 0)


def paste_tiles(
    source: TileSource,
    tile_at: Callable[[int, int], Pixels],
    box: tuple[int, int, int, int],
    out: Pixels | None = None,
) -> Pixels:
    """Put a rectangle of a level together from its tiles.

    Parameters
    ----------
    source : TileSource
        Says how the level is tiled.
    tile_at : callable
        Gives the tile at (row, column), cut at the level's edge.
    box : tuple of int
        y, x, height, width in the level's pixels.
    out : ndarray, shape (height, width, 3), uint8, optional
        Where to put it; a new array where not given.

    Returns
    -------
    ndarray, shape (height, width, 3), uint8
        RGB, white outside the level; ``out`` where it was given.
    """
    y, x, height, width = box
    rows = range(*tile_span(y, height, source.tile[0], source.shape[0]))
    cols = range(*tile_span(x, width, source.tile[1], source.shape[1]))
    if out is None:
        out = np.empty((height, width, 3), np.uint8)
    if y < 0 or x < 0 or y + height > source.shape[0] or x + width > source.shape[1]:
        out[:] = WHITE
    for row in rows:
        for col in cols:
            top, left = row * source.tile[0] - y, col * source.tile[1] - x
            tile = tile_at(row, col)
            part = tile[max(-top, 0) : height - top, max(-left, 0) : width - left]
            into_y, into_x = max(top, 0), max(left, 0)
            out[into_y : into_y + part.shape[0], into_x : into_x + part.shape[1]] = part
    return out


def halved(source: TileSource) -> NativeLevel:
    """Make the next coarser level of one, by the mean of 2 by 2 pixels, lazily.

    Parameters
    ----------
    source : TileSource
        The finer level.

    Returns
    -------
    NativeLevel
        Of half its height and width, rounded up; an odd last row or column stands
        for itself.
    """
    height, width = (-(-n // 2) for n in source.shape)
    side = _DERIVED_TILE

    def decode(row: int, col: int) -> Pixels:
        # through the finer level's cache, a tile at a time: a coarse level of a huge
        # one-level file must not put that file into memory
        tall, wide = min(side, height - row * side), min(side, width - col * side)
        fine = source.read(2 * row * side, 2 * col * side, 2 * tall, 2 * wide)
        below = 2 * (row * side + tall) - source.shape[0]
        right = 2 * (col * side + wide) - source.shape[1]
        if below > 0:
            fine[-1] = fine[-2]
        if right > 0:
            fine[:, -1] = fine[:, -2]
        return mean_of_four(fine)

    return NativeLevel((height, width), (side, side), decode)


def mean_of_four(pixels: Pixels) -> Pixels:
    """Halve an image of even height and width by the rounded mean of 2 by 2 pixels.

    Parameters
    ----------
    pixels : ndarray, shape (2 h, 2 w, 3), uint8
        RGB.

    Returns
    -------
    ndarray, shape (h, w, 3), uint8
        RGB.
    """
    wide = pixels.astype(np.uint16)
    rows = wide[::2] + wide[1::2]  # (h, 2 w, 3)
    total = rows[:, ::2] + rows[:, 1::2]  # (h, w, 3)
    return ((total + 2) >> 2).astype(np.uint8)


def read_whole(level: NativeLevel) -> Pixels:
    """Read a level that is small enough, a label for instance, past every cache.

    Parameters
    ----------
    level : NativeLevel
        The level.

    Returns
    -------
    ndarray, shape (height, width, 3), uint8
        RGB, white where a tile does not decode.

    Raises
    ------
    SlideError
        If it is too large for memory, or the file cannot be read.
    """
    height, width = level.shape
    if height * width > MOST_WHOLE_PX:
        raise SlideError(
            f"the picture has {width} × {height} pixels, and at most "
            f"{MOST_WHOLE_PX // 1_000_000} million are read whole"
        )
    source = TileSource(level, (1.0, 1.0), TileCache(0), (-1, 0), set())
    return source.read(0, 0, height, width)
