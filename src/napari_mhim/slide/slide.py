"""A slide: its levels, its scale, where it comes from."""

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_mhim.errors import SlideError
from napari_mhim.slide.cache import TileCache, shared_cache
from napari_mhim.slide.identity import file_fingerprint, folder_fingerprint, slide_name
from napari_mhim.slide.levels import dask_level, pyramid
from napari_mhim.slide.quiet import quiet
from napari_mhim.slide.source import NativeLevel, Pixels, TileSource

__all__ = ["Slide", "SlideFile", "TileSource"]

MOST_PX = 1 << 22
"""Pixels along one side of a level at most: no scanner writes a tenth of it."""
# two open slides never share a number, not even where they share a file
_numbers = count()


@dataclass(frozen=True)
class SlideFile:
    """What a format knows of an open file; :class:`Slide` makes the rest of it."""

    levels: Sequence[NativeLevel]
    """The file's levels, the finest first."""
    close: Callable[[], None]
    """Closes the file; called once."""
    mpp: tuple[float, float] | None = None
    """(y, x) µm per level-0 pixel."""
    mpp_reason: str = ""
    """Why ``mpp`` is None, empty otherwise."""
    objective_power: float | None = None
    """Magnification of the objective."""
    vendor: str = ""
    """Who made the scanner or the file."""
    properties: Mapping[str, str] = field(default_factory=dict)
    """What else the file says."""
    associated: Mapping[str, Callable[[], Pixels]] = field(default_factory=dict)
    """Pictures beside the slide, by name."""
    icc: bytes = b""
    """ICC profile of the pixels, empty where the file has none."""
    bounds: tuple[int, int, int, int] | None = None
    """What was scanned: y, x, height, width in level-0 pixels; None is all of it."""
    scenes: Sequence[str] = ("",)
    """Names of the scenes that the file holds."""
    notes: Sequence[str] = ()
    """What a reader should know of how it was opened, a sentence each."""
    fingerprint: Callable[[], str] | None = None
    """Gives what tells it from others; of its bytes where not given."""


class Slide:
    """An open slide: lazy levels and what is known of them. A context manager.

    Parameters
    ----------
    path : Path
        The file or folder.
    file : SlideFile
        What its format made of it.
    cache : TileCache, optional
        Where decoded tiles are kept; the process's own where not given.
    """

    path: Path
    """The file or folder."""
    name: str
    """The file's name without its suffix: the slide's name everywhere."""
    levels: tuple[Any, ...]
    """dask arrays, (y, x, 3) uint8: the full slide first, the last one at most 1024 px."""
    sources: tuple[TileSource, ...]
    """The file's own levels, the finest first."""
    level_sources: tuple[TileSource, ...]
    """What each of ``levels`` is read from, the file's own or halved."""
    cache_bytes: int
    """How much its decoded tiles and those of other slides may weigh together."""
    mpp: tuple[float, float] | None
    """(y, x) µm per level-0 pixel, or None."""
    mpp_reason: str
    """Why ``mpp`` is None, empty otherwise."""
    objective_power: float | None
    """Magnification of the objective, or None."""
    vendor: str
    """Who made the scanner or the file; may be empty."""
    properties: Mapping[str, str]
    """What else the file says, as text."""
    icc: bytes
    """The file's ICC profile, empty where it has none."""
    scenes: tuple[str, ...]
    """Names of the scenes in the file; one, for nearly all."""
    scene: int
    """Which of them this is."""
    notes: tuple[str, ...]
    """What a reader should know of how it was opened, a sentence each."""

    def __init__(
        self,
        path: Path,
        file: SlideFile,
        cache: TileCache | None = None,
        scene: int = 0,
    ) -> None:
        _refuse_sizes(file.levels)
        self.path, self.name = path, slide_name(path)
        self.icc, self.scenes, self.scene = file.icc, tuple(file.scenes), scene
        self.notes = (*_on_scenes(self.scenes, scene), *file.notes)
        self.mpp, self.mpp_reason = file.mpp, file.mpp_reason
        self.objective_power, self.vendor = file.objective_power, file.vendor
        self.properties = MappingProxyType(dict(file.properties))
        self._file = file
        self._cache = shared_cache() if cache is None else cache
        self._number = next(_numbers)
        self._missing: set[tuple[int, int, int]] = set()
        self.cache_bytes = self._cache.max_bytes
        self._is_closed = False
        self._users = 0
        self._closing = threading.Lock()
        found = pyramid(file.levels, self._cache, self._number, self._missing)
        self.sources = tuple(source for source, is_native in found if is_native)
        self.level_sources = tuple(source for source, _ in found)
        self.levels = tuple(dask_level(one, self.shape) for one in self.level_sources)

    @property
    def shape(self) -> tuple[int, int]:
        """Give height and width, (y, x), in level-0 pixels."""
        return self.level_sources[0].shape

    @property
    def associated(self) -> tuple[str, ...]:
        """List the pictures beside the slide; a label can carry a patient's name."""
        return tuple(sorted(self._file.associated))

    @property
    def missing_tiles(self) -> int:
        """Count the tiles met so far that are absent, do not decode or are all black."""
        return len(self._missing)

    @property
    def missing_boxes(self) -> NDArray[np.int64]:
        """Give where those tiles lie, (n, 4): y, x, height, width in level-0 pixels.

        Sorted, each place once; a tile of a coarser level covers more of the slide.
        """
        boxes = {self._box(*place) for place in tuple(self._missing)}
        return np.array(sorted(boxes), np.int64).reshape(-1, 4)

    @property
    def is_closed(self) -> bool:
        """Tell whether the slide was closed."""
        return self._is_closed

    @property
    def bounds(self) -> tuple[int, int, int, int]:
        """Give what was scanned of the frame: y, x, height, width in level-0 pixels."""
        return self._file.bounds or (0, 0, *self.shape)

    @cached_property
    def fingerprint(self) -> str:
        """Give the sha256 of size, first and last MiB; of a DICOM folder, of its members.

        Of an OME-Zarr, of its metadata and the middle tile of each level: the same for a
        folder and its copy on the web. Scenes of one file differ in it.
        """
        if self._file.fingerprint is not None:
            whole = self._file.fingerprint()
        elif self.path.is_dir():
            whole = folder_fingerprint(self.path)
        else:
            whole = file_fingerprint(self.path)
        if not self.scene:
            return whole
        return hashlib.sha256(f"{whole}\0{self.scene}".encode()).hexdigest()

    def associated_image(self, name: str) -> Pixels:
        """Read a picture that lies beside the slide.

        Parameters
        ----------
        name : str
            One of ``associated``.

        Returns
        -------
        ndarray, shape (height, width, 3), uint8
            RGB.

        Raises
        ------
        SlideError
            If there is none of that name, or it does not decode.
        """
        if name not in self._file.associated:
            there = ", ".join(self.associated) or "none"
            raise SlideError(
                f"{self.path.name!r} holds no picture {name!r}; there are: {there}"
            )
        with quiet():
            return self._file.associated[name]()

    def read_region(
        self, y: int, x: int, height: int, width: int, level: int = 0
    ) -> NDArray[np.uint8]:
        """Read a rectangle of a level.

        Parameters
        ----------
        y, x : int
            Upper left corner in that level's pixels; may lie outside the slide.
        height, width : int
            Size in that level's pixels.
        level : int
            Index into ``levels``.

        Returns
        -------
        ndarray, shape (height, width, 3), uint8
            RGB, white outside the slide.

        Raises
        ------
        SlideError
            If there is no such level, the size is negative or the slide is closed.
        """
        if not 0 <= level < len(self.level_sources):
            raise SlideError(
                f"{self.path.name!r} has levels 0 to {len(self.level_sources) - 1}, not {level}"
            )
        if height < 0 or width < 0:
            raise SlideError(f"a region has no size of {height} × {width} pixels")
        with self.in_use():
            return self.level_sources[level].read(y, x, height, width)

    def thumbnail(self, max_px: int = 1024) -> NDArray[np.uint8]:
        """Give the whole slide as a small picture.

        Parameters
        ----------
        max_px : int
            Its long side at most, in pixels; never more than the slide has.

        Returns
        -------
        ndarray, shape (height, width, 3), uint8
            RGB.
        """
        from PIL import Image

        level = max(
            (i for i, level in enumerate(self.levels) if max(level.shape) >= max_px),
            default=0,
        )
        tall, wide = self.level_sources[level].shape
        pixels = self.read_region(0, 0, tall, wide, level)
        share = min(1.0, max_px / max(self.shape))
        height, width = (max(1, round(n * share)) for n in self.shape)
        if pixels.shape[:2] == (height, width):
            return pixels
        # a box filter: the mean of what a pixel covers
        small = Image.fromarray(pixels).resize((width, height), Image.Resampling.BOX)
        return np.array(small)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep the file open while a thread reads it, whoever closes the slide meanwhile.

        Yields
        ------
        None
            The file stays open within.

        Raises
        ------
        SlideError
            If the slide is closed.
        """
        with self._closing:
            if self._is_closed:
                raise SlideError(f"{self.path.name!r} is closed; open it again")
            self._users += 1
        try:
            yield
        finally:
            with self._closing:
                self._users -= 1
                is_last = self._is_closed and not self._users
            if is_last:
                self._let_go()

    def close(self) -> None:
        """Close the file and drop its tiles; a second call does nothing.

        Nobody waits: where a thread is :meth:`in_use`, the last one closes the file.
        """
        with self._closing:
            was_closed, self._is_closed = self._is_closed, True
            is_free = not self._users
        if is_free and not was_closed:
            self._let_go()

    def _let_go(self) -> None:
        self._file.close()
        self._cache.forget(self._number)

    def _box(self, level: int, row: int, col: int) -> tuple[int, int, int, int]:
        source = self.level_sources[level]
        starts = [i * t for i, t in zip((row, col), source.tile, strict=True)]
        ends = [
            min(start + t, n)
            for start, t, n in zip(starts, source.tile, source.shape, strict=True)
        ]
        low_y, low_x = (
            round(n * d) for n, d in zip(starts, source.downsample, strict=True)
        )
        high_y, high_x = (
            round(n * d) for n, d in zip(ends, source.downsample, strict=True)
        )
        return low_y, low_x, high_y - low_y, high_x - low_x

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Slide({str(self.path)!r}, shape={self.shape}, mpp={self.mpp})"


def _refuse_sizes(levels: Sequence[NativeLevel]) -> None:
    """Refuse what would cost memory or time without end, before any is spent."""
    if not levels:
        raise SlideError("it holds no picture")
    for index, level in enumerate(levels):
        (height, width), tile = level.shape, level.tile
        if not (0 < height <= MOST_PX and 0 < width <= MOST_PX and min(tile) > 0):
            raise SlideError(
                f"level {index} is said to have {width} × {height} pixels; a slide's have "
                f"1 to {MOST_PX} a side"
            )


def _on_scenes(scenes: tuple[str, ...], scene: int) -> list[str]:
    if len(scenes) == 1:
        return []
    others = ", ".join(f"{n} {name!r}" for n, name in enumerate(scenes) if n != scene)
    return [
        f"The file holds {len(scenes)} scenes: this is {scene} {scenes[scene]!r}, "
        f"the others are {others}."
    ]
