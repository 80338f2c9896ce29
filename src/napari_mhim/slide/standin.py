"""A picture of part of a slide from the tiles that are there; coarser ones stand in."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from napari_mhim.slide.loading import Place
from napari_mhim.slide.source import Pixels, TileSource, paste_tiles, tile_span

Box = tuple[int, int, int, int]
"""y, x, height, width in a level's pixels."""
NOT_YET = 232
"""Grey of what nothing is known of yet: not the white of glass."""


def places_in(source: TileSource, level: int, box: Box) -> list[Place]:
    """Give the tiles that a rectangle touches, those at its middle first.

    Parameters
    ----------
    source : TileSource
        The level.
    level : int
        Its index.
    box : Box
        May reach outside the level.

    Returns
    -------
    list of Place
        Empty where the rectangle lies outside.
    """
    y, x, height, width = box
    rows = range(*tile_span(y, height, source.tile[0], source.shape[0]))
    cols = range(*tile_span(x, width, source.tile[1], source.shape[1]))
    middle = (y + height / 2) / source.tile[0], (x + width / 2) / source.tile[1]

    def distance(place: Place) -> float:
        _, row, col = place
        return (row + 0.5 - middle[0]) ** 2 + (col + 0.5 - middle[1]) ** 2

    return sorted(((level, row, col) for row in rows for col in cols), key=distance)


def scaled(box: Box, source: TileSource, other: TileSource) -> Box:
    """Give the part of one level that a rectangle of another shows, rounded outwards.

    Parameters
    ----------
    box : Box
        In pixels of ``source``.
    source, other : TileSource
        The levels.

    Returns
    -------
    Box
        In pixels of ``other``, cut at its edges; at least one pixel a side.
    """
    cut = []
    for axis in (0, 1):
        by = source.downsample[axis] / other.downsample[axis]
        low = int(box[axis] * by)
        high = int(np.ceil((box[axis] + box[axis + 2]) * by))
        low = min(max(low, 0), other.shape[axis] - 1)
        cut.append((low, max(min(high, other.shape[axis]) - low, 1)))
    (y, height), (x, width) = cut
    return y, x, height, width


def paint(
    sources: Sequence[TileSource],
    level: int,
    box: Box,
    tile: Callable[[Place], Pixels | None],
) -> Pixels:
    """Give a rectangle of a level from what is there.

    Parameters
    ----------
    sources : sequence of TileSource
        A slide's levels, the finest first.
    level : int
        Which of them.
    box : Box
        Within the level.
    tile : callable
        Gives the tile at a place, None where it is not there.

    Returns
    -------
    ndarray, shape (height, width, 3), uint8
        Where a tile is missing, the finest of the coarser levels that is there, enlarged;
        grey where there is none.
    """
    y, x, height, width = box
    out = np.empty((height, width, 3), np.uint8)
    source = sources[level]
    for place in places_in(source, level, box):
        top, left, tall, wide = _inside(source, place, box)
        into = out[top - y : top - y + tall, left - x : left - x + wide]
        found = tile(place)
        if found is None:
            into[:] = _stand_in(sources, level, (top, left, tall, wide), tile)
        else:
            from_y, from_x = (
                top - place[1] * source.tile[0],
                left - place[2] * source.tile[1],
            )
            into[:] = found[from_y : from_y + tall, from_x : from_x + wide]
    return out


def _inside(source: TileSource, place: Place, box: Box) -> Box:
    """Give what of a tile lies in a rectangle."""
    y, x, height, width = box
    top, left = place[1] * source.tile[0], place[2] * source.tile[1]
    low_y, low_x = max(top, y), max(left, x)
    high_y = min(top + source.tile[0], y + height, source.shape[0])
    high_x = min(left + source.tile[1], x + width, source.shape[1])
    return low_y, low_x, high_y - low_y, high_x - low_x


def _stand_in(
    sources: Sequence[TileSource],
    level: int,
    box: Box,
    tile: Callable[[Place], Pixels | None],
) -> Pixels:
    fine = sources[level]
    for index in range(level + 1, len(sources)):
        coarse = sources[index]
        part = scaled(box, fine, coarse)
        places = places_in(coarse, index, part)
        tiles = {
            place[1:]: pixels for place in places if (pixels := tile(place)) is not None
        }
        if len(tiles) == len(places):
            pixels = paste_tiles(coarse, partial(_of, tiles), part)
            return _enlarged(pixels, box, part, fine, coarse)
    return np.full((*box[2:], 3), NOT_YET, np.uint8)


def _of(tiles: Mapping[tuple[int, int], Pixels], row: int, col: int) -> Pixels:
    return tiles[row, col]


def _enlarged(
    pixels: Pixels, box: Box, part: Box, fine: TileSource, coarse: TileSource
) -> Pixels:
    """Give each pixel of ``box`` the one of ``part`` that its middle lies in."""
    # across first, while there are few rows: three times as fast
    for axis in (1, 0):
        by = fine.downsample[axis] / coarse.downsample[axis]
        at = ((box[axis] + np.arange(box[axis + 2]) + 0.5) * by).astype(np.intp)
        pixels = pixels.take(np.clip(at - part[axis], 0, part[axis + 2] - 1), axis)
    return pixels
