"""One array of a Zarr as a level: its axes, its middle planes, its chunks as tiles."""

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mhim.errors import SlideError
from napari_mhim.slide.address import url_of
from napari_mhim.slide.quiet import quiet
from napari_mhim.slide.source import DamagedTileError, NativeLevel, Pixels

if TYPE_CHECKING:
    from zarr import Array

PLANES = {"t": "time", "z": "focal plane"}
"""Axes of which the middle is taken, and what one step of them is called."""

_MAX_CHUNK_BYTES = 1 << 30
# a chunk may hold more than its place takes, but not without end
_MOST_OVER = 8

MARKS = ("zarr.json", ".zgroup", ".zarray", ".zattrs")
"""Files one of which every Zarr has at its top."""

# what zarr, its codecs and its stores raise over damaged bytes
DAMAGE = (
    *(ValueError, TypeError, LookupError, RuntimeError, ArithmeticError),
    MemoryError,
)


class Place:
    """Where a Zarr lies: tells an absent chunk from a folder that is gone.

    Parameters
    ----------
    path : Path
        The folder, or its web address.
    store : CarefulStore
        Of it.
    """

    def __init__(self, path: Path, store: Any) -> None:
        self.path = path
        self._store = store
        self._is_closed = False

    def close(self) -> None:
        """Close the store."""
        self._is_closed = True
        self._store.close()

    def allow(self, chunk_bytes: int) -> None:
        """Let chunks decode to so many bytes, and to somewhat more."""
        allowed = _MOST_OVER * chunk_bytes
        self._store.most_bytes = max(self._store.most_bytes, allowed)

    def refuse_closed(self) -> None:
        """Raise SlideError where the slide has been closed."""
        if self._is_closed:
            raise SlideError(f"{self.path.name!r} is closed; open it again")

    def refuse_lost(self) -> None:
        """Raise SlideError where the folder is gone: its chunks would read as absent."""
        if url_of(self.path) is not None:
            # a server that is gone does not answer, which is an error of its own
            return
        if not any((self.path / name).exists() for name in MARKS):
            raise SlideError(f"{self.path.name!r} cannot be read: the folder is gone")


def array_level(array: "Array", axes: Sequence[str], place: Place) -> NativeLevel:
    """Make a level of an array.

    Parameters
    ----------
    array : zarr.Array
        8-bit, with one or three channels.
    axes : sequence of str
        Name of each axis, in the array's order.
    place : Place
        Where the array lies.

    Returns
    -------
    NativeLevel
        A chunk a tile; an absent chunk is an absent tile.

    Raises
    ------
    SlideError
        If it holds no 8-bit RGB or grey picture, or chunks too large for memory.
    """
    _refuse(array, axes)
    place.allow(prod(array.chunks))
    y, x = axes.index("y"), axes.index("x")
    shape = (array.shape[y], array.shape[x])
    tile = (min(array.chunks[y], shape[0]), min(array.chunks[x], shape[1]))
    # where reading leaves y, x and the channels, these come in the array's order
    kept = [axis for axis in axes if axis not in PLANES]
    order = [kept.index(axis) for axis in "yxc" if axis in kept]
    fill = array.fill_value

    def decode(row: int, col: int) -> Pixels | None:
        place.refuse_closed()
        index: list[int | slice] = [
            slice(None) if name == "c" else n // 2
            for name, n in zip(axes, array.shape, strict=True)
        ]
        for axis, number, length in ((y, row, tile[0]), (x, col, tile[1])):
            index[axis] = slice(number * length, (number + 1) * length)
        pixels = _read(array, tuple(index)).transpose(order)
        if not fill and not pixels.any():
            # an absent chunk reads as its fill value, and black is no slide's glass
            place.refuse_lost()
            return None
        return _as_rgb(pixels)

    return NativeLevel(shape, tile, decode)


def plane_notes(axes: Sequence[str], shape: Sequence[int]) -> list[str]:
    """Say which planes are shown, a sentence for each axis that has several.

    Parameters
    ----------
    axes : sequence of str
        Names of the axes.
    shape : sequence of int
        Lengths of them.

    Returns
    -------
    list of str
        Empty where there is but one plane.
    """
    return [
        f"It holds {n} {PLANES[axis]}s: this is number {n // 2 + 1}, the middle one."
        for axis, n in zip(axes, shape, strict=True)
        if axis in PLANES and n > 1
    ]


def _refuse(array: "Array", axes: Sequence[str]) -> None:
    if len(axes) != array.ndim or "y" not in axes or "x" not in axes:
        raise SlideError(
            f"its axes are {', '.join(axes) or 'not named'} for {array.ndim} dimensions; "
            "a slide has y and x"
        )
    if others := [axis for axis in axes if axis not in "yxc" and axis not in PLANES]:
        raise SlideError(f"it has an axis {others[0]!r}; known are t, c, z, y and x")
    channels = array.shape[axes.index("c")] if "c" in axes else 1
    if array.dtype != np.uint8 or channels not in (1, 3):
        raise SlideError(
            f"it holds {channels} channels of {array.dtype}; a slide here is 8-bit RGB "
            "or 8-bit grey"
        )
    if min(array.shape) < 1:
        raise SlideError(f"one of its arrays is empty, of shape {array.shape}")
    chunk_bytes = prod(array.chunks)
    if chunk_bytes > _MAX_CHUNK_BYTES:
        raise SlideError(
            f"its chunks decode to {chunk_bytes >> 20} MiB each and at most "
            f"{_MAX_CHUNK_BYTES >> 20} are read; write it in smaller chunks"
        )


def _read(array: "Array", index: tuple[int | slice, ...]) -> Any:
    try:
        with quiet():
            return np.asarray(array[index])
    except OSError as err:
        raise SlideError(f"a chunk of it cannot be read: {err}") from err
    except DAMAGE as err:
        if _is_of_the_web(err):
            raise SlideError(f"its web address does not answer: {err}") from err
        raise DamagedTileError(f"a chunk of it does not decode: {err}") from err


def _is_of_the_web(err: Exception) -> bool:
    return type(err).__module__.partition(".")[0] in ("aiohttp", "fsspec")


def _as_rgb(pixels: Pixels) -> Pixels:
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.shape[2] == 1:
        return np.repeat(pixels, 3, axis=2)
    return np.ascontiguousarray(pixels)
