"""Small pictures of patches, read by a thread of their own; no Qt.

The thread opens the slide for itself: the window's own handle may be closed at any
moment, and some readers crash when that happens under a thread that reads.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_mhim.errors import MhimError
from napari_mhim.export.crops import cut
from napari_mhim.plugin.open_slides import open_slide
from napari_mhim.slide import PatchGrid, Slide

Picture = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class _Source:
    """Which slide the pictures are of; a new one for every slide shown."""

    path: Path
    grid: PatchGrid


class Thumbnails:
    """Pictures of the patches on screen; use it on one thread, the reading has its own.

    Parameters
    ----------
    px : int
        Width of a picture in pixels.
    most : int
        How many are kept; those used last stay.
    """

    def __init__(self, px: int, most: int = 600) -> None:
        self.px, self._most = px, most
        self._source: _Source | None = None
        self._opened: tuple[_Source, Slide | None] | None = None
        self._kept: OrderedDict[int, Picture | None] = OrderedDict()
        self._wanted: list[int] = []
        self._is_reading = self._is_fresh = False
        self._lock = threading.Lock()
        # one thread: it opens, reads and closes, so that nothing is closed while read
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="mhim-thumbnails")

    def show(self, path: str | Path | None, grid: PatchGrid | None) -> None:
        """Turn to another slide; pictures of the one before are dropped.

        Parameters
        ----------
        path : str, Path or None
            The slide's file, None for no slide.
        grid : PatchGrid or None
            Where its patches lie.
        """
        with self._lock:
            there = path is not None and grid is not None
            self._source = _Source(Path(path), grid) if there else None  # type: ignore[arg-type]
            self._kept.clear()
            self._wanted = []
        self._read_on()

    def picture(self, row: int) -> Picture | None:
        """Give the picture of a patch, shape (height, px, 3), uint8; None while there is none."""
        with self._lock:
            if row in self._kept:
                self._kept.move_to_end(row)
            return self._kept.get(row)

    def want(self, rows: Sequence[int]) -> None:
        """Ask for the pictures of these patches, and of no others any more.

        Parameters
        ----------
        rows : sequence of int
            The visible ones, the first wanted first.
        """
        with self._lock:
            missing = [row for row in rows if row not in self._kept]
            self._wanted = [] if self._source is None else missing[::-1]
            # what is on screen must fit, or it would be read for ever
            self._most = max(self._most, len(rows))
        self._read_on()

    @property
    def is_reading(self) -> bool:
        """Tell whether a picture is still to come."""
        return self._is_reading

    def take_fresh(self) -> bool:
        """Tell whether a picture has come since this was last asked."""
        fresh, self._is_fresh = self._is_fresh, False
        return fresh

    def close(self) -> None:
        """Stop reading; the file is closed as soon as the thread has let go of it."""
        self.show(None, None)
        self._pool.shutdown(wait=False)

    def _read_on(self) -> None:
        with self._lock:
            stale = self._opened is not None and self._opened[0] is not self._source
            if self._is_reading or not (self._wanted or stale):
                return
            self._is_reading = True
        try:
            self._pool.submit(self._read)
        except RuntimeError:
            # the interpreter ends, and has ended the pool before the dock; the file
            # is closed with the process
            self._is_reading = False

    def _read(self) -> None:
        try:
            while self._read_one():
                pass
        except BaseException:
            # told by the interpreter; the next wish starts the thread again
            self._is_reading = False
            raise

    def _read_one(self) -> bool:
        """Read what is wanted most; False when nothing is left to do."""
        with self._lock:
            source = self._source
            row = self._wanted.pop() if self._wanted else None
            if row is None and (self._opened is None or self._opened[0] is source):
                self._is_reading = False
                return False
        picture = self._picture(source, row)
        with self._lock:
            if row is not None and source is self._source:
                self._keep(row, picture)
        return True

    def _keep(self, row: int, picture: Picture | None) -> None:
        self._kept[row] = picture
        self._is_fresh = True
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def _picture(self, source: _Source | None, row: int | None) -> Picture | None:
        """Read one picture; None where the slide cannot be read."""
        slide = self._turn_to(source)
        if slide is None or source is None or row is None:
            return None
        sides = source.grid.patch_px
        centre = source.grid.origin + source.grid.cells[row] * source.grid.stride_px
        try:
            return np.ascontiguousarray(cut(slide, centre + sides / 2, sides, self.px))
        except MhimError:
            return None

    def _turn_to(self, source: _Source | None) -> Slide | None:
        if self._opened is not None and self._opened[0] is source:
            return self._opened[1]
        if self._opened is not None and self._opened[1] is not None:
            self._opened[1].close()
        self._opened = None if source is None else (source, _opened(source.path))
        return None if self._opened is None else self._opened[1]


def _opened(path: Path) -> Slide | None:
    try:
        return open_slide(path)
    except MhimError:
        # the window has told of it already, or will when the slide is looked at
        return None
