"""A slide: its levels, its scale, where it comes from; and the one way to open it."""

import hashlib
import os
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_mhim import _parts
from napari_mhim.errors import SlideError
from napari_mhim.slide.cache import TileCache, shared_cache
from napari_mhim.slide.levels import dask_level, pyramid
from napari_mhim.slide.source import NativeLevel, Pixels, TileSource

__all__ = ["LeftToOthersError", "Slide", "SlideFile", "TileSource", "open_slide"]

FORMATS = "napari_mhim.slide.formats"
"""The folder of readers, one file each."""

_HEAD_BYTES = 4096
_MIB = 1 << 20
# so many tiles of a level that fail, and none that decodes: the level is unreadable
_PROBES = 4
# two open slides never share a number, not even where they share a file
_numbers = count()


class LeftToOthersError(SlideError):
    """A reader leaves a file to those after it; any other SlideError of its is final."""


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
    levels: tuple[Any, ...]
    """dask arrays, (y, x, 3) uint8: the full slide first, the last one at most 1024 px."""
    sources: tuple[TileSource, ...]
    """The file's own levels, the finest first."""
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

    def __init__(
        self, path: Path, file: SlideFile, cache: TileCache | None = None
    ) -> None:
        self.path = path
        self.mpp, self.mpp_reason = file.mpp, file.mpp_reason
        self.objective_power, self.vendor = file.objective_power, file.vendor
        self.properties = MappingProxyType(dict(file.properties))
        self._file = file
        self._cache = shared_cache() if cache is None else cache
        self._number = next(_numbers)
        self._missing: set[Hashable] = set()
        self._is_closed = False
        self._all = pyramid(file.levels, self._cache, self._number, self._missing)
        self.sources = tuple(source for source, is_native in self._all if is_native)
        self.levels = tuple(dask_level(source, self.shape) for source, _ in self._all)

    @property
    def name(self) -> str:
        """Give the file's name without its suffix: the slide's name everywhere."""
        return self.path.stem if self.path.is_file() else self.path.name

    @property
    def shape(self) -> tuple[int, int]:
        """Give height and width, (y, x), in level-0 pixels."""
        return self._all[0][0].shape

    @property
    def associated(self) -> tuple[str, ...]:
        """List the pictures beside the slide; a label can carry a patient's name."""
        return tuple(sorted(self._file.associated))

    @property
    def missing_tiles(self) -> int:
        """Count the tiles met so far that are absent, do not decode or are all black."""
        return len(self._missing)

    @property
    def fingerprint(self) -> str:
        """Give the sha256 of size, first and last MiB; of a folder, of its members."""
        return fingerprint(self.path)

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
        if not 0 <= level < len(self._all):
            raise SlideError(
                f"{self.path.name!r} has levels 0 to {len(self._all) - 1}, not {level}"
            )
        if height < 0 or width < 0:
            raise SlideError(f"a region has no size of {height} × {width} pixels")
        if self._is_closed:
            raise SlideError(f"{self.path.name!r} is closed; open it again")
        return self._all[level][0].read(y, x, height, width)

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
        tall, wide = self._all[level][0].shape
        pixels = self.read_region(0, 0, tall, wide, level)
        share = min(1.0, max_px / max(self.shape))
        height, width = (max(1, round(n * share)) for n in self.shape)
        if pixels.shape[:2] == (height, width):
            return pixels
        # a box filter: the mean of what a pixel covers
        small = Image.fromarray(pixels).resize((width, height), Image.Resampling.BOX)
        return np.array(small)

    def close(self) -> None:
        """Close the file and drop its tiles; a second call does nothing."""
        if not self._is_closed:
            self._is_closed = True
            self._file.close()
            self._cache.forget(self._number)

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


def open_slide(path: str | Path) -> Slide:
    """Open a slide by what the file holds, whatever its name.

    Parameters
    ----------
    path : str or Path
        A file, or a folder of DICOM files.

    Returns
    -------
    Slide
        To be closed, or used in a ``with`` block.

    Raises
    ------
    SlideError
        If no reader can open it, with each one's reason; if it cannot be read at all;
        if one of its levels does not decode.
    """
    path = Path(path)
    head = _head(path)
    reasons = []
    parts = {name: _parts.load(FORMATS, name) for name in _parts.names(FORMATS)}
    for name, part in sorted(parts.items(), key=lambda item: item[1].RANK):
        reason = part.sniff(head, path)
        if reason is None:
            try:
                slide: Slide = part.open_slide(path)
                return _probed(slide)
            except LeftToOthersError as err:
                reason = str(err)
            except SlideError as err:
                # not asked of others: they would show what is left of a damaged file
                raise SlideError(f"{path.name!r} cannot be opened: {err}") from err
        reasons.append(f"{name}: {reason}")
    raise SlideError(f"{path.name!r} cannot be opened ({'; '.join(reasons)})")


def fingerprint(path: Path) -> str:
    """Give what tells one slide's file from another's.

    Parameters
    ----------
    path : Path
        A file or a folder.

    Returns
    -------
    str
        sha256, in hex, of size, first and last MiB; of a folder, of its sorted members'
        names and fingerprints.

    Raises
    ------
    SlideError
        If it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        if path.is_dir():
            for member in sorted(path.rglob("*")):
                if member.is_file():
                    name = member.relative_to(path).as_posix()
                    digest.update(f"{name}\0{fingerprint(member)}\0".encode())
            return digest.hexdigest()
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            digest.update(str(size).encode())
            file.seek(0)
            digest.update(file.read(_MIB))
            file.seek(max(size - _MIB, 0))
            digest.update(file.read(_MIB))
    except OSError as err:
        raise SlideError(f"{path.name!r} cannot be read: {err.strerror}") from err
    return digest.hexdigest()


def _head(path: Path) -> bytes:
    if path.is_dir():
        return b""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except FileNotFoundError as err:
        raise SlideError(f"there is no file {str(path)!r}") from err
    except OSError as err:
        raise SlideError(f"{path.name!r} cannot be read: {err.strerror}") from err
    if not head:
        raise SlideError(f"{path.name!r} is empty; copy it again")
    return head


def _probed(slide: Slide) -> Slide:
    """Give the slide back if each of its levels decodes somewhere, else close it."""
    for index, source in enumerate(slide.sources):
        errors = list(islice(_failures(source), _PROBES))
        if errors and errors[-1] is not None:
            slide.close()
            raise SlideError(
                f"none of the tiles tried on level {index} decodes ({errors[-1]}); "
                "the file is damaged: copy or scan it again"
            ) from errors[-1]
    return slide


def _failures(source: TileSource) -> Iterator[SlideError | None]:
    """Give the error of each tile that fails; ends with None at one that decodes."""
    rows, cols = source.tiles
    middle = rows // 2 * cols + cols // 2
    has_failed = False
    # outward from the middle, where the tissue is; absent tiles tell nothing
    for step in range(rows * cols):
        row, col = divmod((middle + step) % (rows * cols), cols)
        try:
            if source.decode_tile(row, col) is not None:
                yield None
                return
        except SlideError as err:
            has_failed = True
            yield err
    if not has_failed:
        yield SlideError("the file holds no tile of it")
