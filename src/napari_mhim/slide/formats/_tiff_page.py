"""One page of a TIFF as a level: positioned reads, and decoding without the GIL."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_mhim.errors import SlideError
from napari_mhim.slide.formats._coded import coded_size
from napari_mhim.slide.source import WHITE, DamagedTileError, NativeLevel, Pixels

if TYPE_CHECKING:
    from tifffile import TiffPage

_MINISWHITE, _MINISBLACK, _RGB, _YCBCR = 0, 1, 2, 6
_SEPARATE = 2
_JPEGS = (6, 7, 34892, 33007)
_WEBP = 50001
_APERIO_JP2_YCBCR = 33003
_STRIP_ROWS = 64
_MAX_TILE_BYTES = 1 << 30
# a tile may hold more than its place takes, but not without end
_MOST_OVER = 4


class PositionedFile:
    """A file read at positions by several threads at once.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    SlideError
        If it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = path.open("rb", buffering=0)
        except OSError as err:
            raise SlideError(f"{path.name!r} cannot be read: {err.strerror}") from err
        self.name = path.name
        self._lock = threading.Lock()
        self.size = os.fstat(self._file.fileno()).st_size

    def read(self, offset: int, length: int) -> bytes:
        """Read bytes at a position.

        Parameters
        ----------
        offset, length : int
            Where and how many.

        Returns
        -------
        bytes
            Exactly ``length`` of them.

        Raises
        ------
        SlideError
            If the file is closed, cannot be read, or ends before.
        """
        try:
            data = self._read(offset, length)
        except (OSError, ValueError) as err:
            reason = "it is closed" if self._file.closed else str(err)
            raise SlideError(f"{self.name!r} cannot be read: {reason}") from err
        if len(data) < length:
            raise DamagedTileError(f"{self.name!r} ends within a tile; copy it again")
        return data

    def close(self) -> None:
        """Close the file; reads that are under way are let finish."""
        with self._lock:
            self._file.close()

    def _read(self, offset: int, length: int) -> bytes:
        # windows has no pread: there one thread reads at a time
        if hasattr(os, "pread"):
            return os.pread(self._file.fileno(), length, offset)
        with self._lock:
            self._file.seek(offset)
            return self._file.read(length) or b""


def page_level(page: "TiffPage", file: PositionedFile) -> NativeLevel:
    """Make a level of a page; nothing of the page's file is read after.

    Parameters
    ----------
    page : TiffPage
        The page, its TIFF still open.
    file : PositionedFile
        Where tiles are read from.

    Returns
    -------
    NativeLevel
        Tiles as in the file; strips are put together to at least 64 rows.

    Raises
    ------
    SlideError
        If the page is no 8-bit colour or grey picture, is stored turned, has tiles too
        large for memory, or lies partly past the file's end.
    """
    _refuse(page)
    refuse_truncated(page, file)
    segments = _Segments(page, file)
    shape = (page.imagelength, page.imagewidth)
    if page.is_tiled:
        tile = (page.tilelength, page.tilewidth)
        return NativeLevel(shape, tile, segments.tile)
    rows = min(page.rowsperstrip, shape[0])
    joined = max(1, -(-_STRIP_ROWS // rows))
    return NativeLevel(shape, (rows * joined, shape[1]), segments.strips(joined))


def _refuse(page: "TiffPage") -> None:
    kind = f"{page.samplesperpixel} × {page.bitspersample} bits a pixel"
    colours = {_MINISWHITE: 1, _MINISBLACK: 1, _RGB: 3, _YCBCR: 3}
    wanted = colours.get(page.photometric)
    if page.dtype != np.uint8 or page.bitspersample != 8 or page.imagedepth != 1:
        raise SlideError(f"it holds {kind}; a slide here is 8-bit RGB or 8-bit grey")
    if wanted is None or page.samplesperpixel < wanted:
        name = getattr(page.photometric, "name", page.photometric)
        raise SlideError(f"its colours are {name}; a slide here is RGB, YCbCr or grey")
    if (turn := page.tags.valueof(274, 1)) not in (0, 1):
        raise SlideError(
            f"it is stored turned or mirrored (EXIF orientation {turn}), and other "
            "programs disagree on where its pixels lie; write it upright first"
        )
    tile_bytes = np.prod(page.chunks, dtype=np.int64)
    if tile_bytes > _MAX_TILE_BYTES:
        raise SlideError(
            f"its tiles or strips decode to {tile_bytes >> 20} MiB each and at most "
            f"{_MAX_TILE_BYTES >> 20} are read; write it as a tiled pyramid first"
        )


def refuse_truncated(page: "TiffPage", file: PositionedFile) -> None:
    """Refuse a page that names too few tiles, or some past the file's end.

    Parameters
    ----------
    page : TiffPage
        The page.
    file : PositionedFile
        Its file.

    Raises
    ------
    SlideError
        If something is missing.
    """
    offsets = np.asarray(page.dataoffsets, np.int64)
    counts = np.asarray(page.databytecounts, np.int64)
    wanted = _n_segments(page)
    if len(offsets) < wanted or len(counts) < wanted:
        raise SlideError(f"it names {len(offsets)} tiles and needs {wanted}")
    end = int((offsets + counts).max(initial=0))
    if end > file.size:
        raise SlideError(
            f"the file is cut short: its tiles reach to byte {end} and it ends at "
            f"{file.size}; copy it again"
        )


def _n_segments(page: "TiffPage") -> int:
    height, width = page.chunks[:2]
    planes = page.samplesperpixel if page.planarconfig == _SEPARATE else 1
    return -(-page.imagelength // height) * -(-page.imagewidth // width) * planes


class _Segments:
    """A page's compressed tiles or strips, and what turns one into RGB."""

    def __init__(self, page: "TiffPage", file: PositionedFile) -> None:
        self._file = file
        self._offsets = np.asarray(page.dataoffsets, np.int64)
        self._counts = np.asarray(page.databytecounts, np.int64)
        self._tile_pixels = int(np.prod(page.chunks[:2], dtype=np.int64))
        self._cols = -(-page.imagewidth // page.chunks[1])
        self._planes = page.samplesperpixel if page.planarconfig == _SEPARATE else 1
        self._per_plane = _n_segments(page) // self._planes
        # asked for now: both read from the file that is about to close
        self._decode: Callable[..., Any] = page.decode
        self._tables = (
            {"jpegtables": page.jpegtables} if page.compression in _JPEGS else {}
        )
        self._to_rgb = _converter(page)

    def tile(self, row: int, col: int) -> Pixels | None:
        """Decode one tile, None where the file holds none."""
        return self._segment(row * self._cols + col)

    def strips(self, joined: int) -> Callable[[int, int], Pixels | None]:
        """Give a decoder of so many strips at a time."""

        def decode(row: int, _: int) -> Pixels | None:
            first = row * joined
            last = min(first + joined, self._per_plane)
            found = [self._segment(index) for index in range(first, last)]
            parts = [part for part in found if part is not None]
            # strips can be absent one by one; then their rows cannot be told
            return np.concatenate(parts) if len(parts) == len(found) else None

        return decode

    def _segment(self, index: int) -> Pixels | None:
        planes = []
        for plane in range(self._planes):
            place = plane * self._per_plane + index
            length = int(self._counts[place])
            if length == 0:
                return None
            data = self._file.read(int(self._offsets[place]), length)
            planes.append(self._decoded(data, place))
        return self._to_rgb(planes[0] if len(planes) == 1 else np.dstack(planes))

    def _decoded(self, data: bytes, place: int) -> Pixels:
        size = coded_size(data)
        if size is not None and size[0] * size[1] > _MOST_OVER * self._tile_pixels:
            raise DamagedTileError(
                f"a tile of {self._file.name!r} says it has {size[1]} × {size[0]} pixels"
            )
        try:
            pixels, _, _ = self._decode(data, place, **self._tables)
        # imagecodecs' errors are RuntimeErrors, those of sizes are ValueErrors
        except (RuntimeError, ValueError, TypeError, LookupError, MemoryError) as err:
            raise DamagedTileError(
                f"a tile of {self._file.name!r} does not decode: {err}"
            ) from err
        return np.asarray(pixels[0])  # (h, w, samples)


def _converter(page: "TiffPage") -> Callable[[NDArray[np.uint8]], Pixels]:
    is_decoded = page.compression in (*_JPEGS, _WEBP)
    if page.compression == _APERIO_JP2_YCBCR:
        return _from_ycbcr
    if page.photometric == _YCBCR and not is_decoded:
        return _from_ycbcr
    if page.photometric == _MINISWHITE:
        return lambda grey: np.repeat(255 - grey[..., :1], 3, axis=2)
    if page.photometric == _MINISBLACK:
        return lambda grey: np.repeat(grey[..., :1], 3, axis=2)
    return _without_alpha


def _without_alpha(pixels: NDArray[np.uint8]) -> Pixels:
    if pixels.shape[2] != 4:
        return pixels[..., :3]
    share = pixels[..., 3:].astype(np.float32) / 255
    over_glass = pixels[..., :3] * share + WHITE * (1 - share)
    return np.rint(over_glass).astype(np.uint8)


def _from_ycbcr(pixels: NDArray[np.uint8]) -> Pixels:
    # itu-r bt.601, full range, as jpeg has it
    luma = pixels[..., 0].astype(np.float32)
    blue, red = (pixels[..., i].astype(np.float32) - 128 for i in (1, 2))
    rgb = np.stack(
        [
            luma + 1.402 * red,
            luma - 0.344136 * blue - 0.714136 * red,
            luma + 1.772 * blue,
        ],
        axis=2,
    )
    rounded: Pixels = np.clip(np.rint(rgb), 0, 255).astype(np.uint8)
    return rounded
