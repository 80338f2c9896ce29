"""Tiled JPEG pyramids to disk, in one pass over pixels that need not fit in memory."""

import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from napari_mhim.errors import ConfigError
from napari_mhim.settings import cpu_threads
from napari_mhim.slide.scale import MPP_RANGE
from napari_mhim.slide.source import mean_of_four
from napari_mhim.workspace import writing

# bytes of one row of dask chunks that may be held; above, it is cut into rows of tiles
_BAND_BYTES = 1 << 29


def write_pyramid(
    path: str | Path,
    level0: Any,
    mpp: tuple[float, float] | None,
    tile: int = 256,
    quality: int = 85,
    min_px: int = 1024,
    magnification: float | None = None,
) -> None:
    """Write an image as a tiled JPEG BigTIFF pyramid, whole or not at all.

    Levels are halved until the long side is at most ``min_px``. Pixels are asked for
    once, a row of tiles at a time; only the lower levels' encoded tiles are kept aside,
    in a temporary file. tifffile and OpenSlide read the result.

    Parameters
    ----------
    path : str or Path
        Where the slide is to be; an older file is replaced.
    level0 : ndarray or dask array, shape (H, W, 3), uint8
        RGB pixels, (y, x).
    mpp : tuple of float, optional
        (y, x) micrometres per pixel; None leaves the slide without a scale.
    tile : int
        Width and height of a tile in pixels, a multiple of 16.
    quality : int
        JPEG quality, 1 to 100.
    min_px : int
        The last level's long side is at most this.
    magnification : float, optional
        Objective power to note in the description.

    Raises
    ------
    ConfigError
        If an argument is not as described.
    WorkspaceError
        If the folder cannot be written or the disk is full.
    """
    _check(level0, mpp, tile, quality, min_px)
    path = Path(path)
    with (
        writing(path) as part,
        tempfile.TemporaryFile(dir=path.parent) as spool,
        ThreadPoolExecutor(cpu_threads()) as threads,
    ):
        cascade = _Cascade(level0.shape[:2], tile, quality, min_px, spool, threads)
        _write_pages(part, cascade, _bands(level0, tile), mpp, magnification)


def _check(
    level0: Any, mpp: tuple[float, float] | None, tile: int, quality: int, min_px: int
) -> None:
    shape, dtype = getattr(level0, "shape", None), getattr(level0, "dtype", None)
    if shape is None or len(shape) != 3 or shape[2] != 3 or dtype != np.uint8:
        raise ConfigError(
            f"a slide is written from (y, x, 3) uint8 pixels, got {shape} {dtype}"
        )
    if min(shape) < 1:
        raise ConfigError(f"a slide needs at least one pixel, got {shape[:2]}")
    if mpp is not None and not all(MPP_RANGE[0] <= v <= MPP_RANGE[1] for v in mpp):
        raise ConfigError(f"mpp must be 0.02 to 20 µm per pixel, got {mpp}")
    if tile < 16 or tile % 16:
        raise ConfigError(f"tile must be a multiple of 16 pixels, got {tile}")
    if not 1 <= quality <= 100:
        raise ConfigError(f"quality must be 1 to 100, got {quality}")
    if min_px < 1:
        raise ConfigError(f"min_px must be 1 or more, got {min_px}")


def _write_pages(
    part: Path,
    cascade: "_Cascade",
    bands: Iterator[NDArray[np.uint8]],
    mpp: tuple[float, float] | None,
    magnification: float | None,
) -> None:
    import tifffile

    with tifffile.TiffWriter(part, bigtiff=True) as tiff:
        for level, shape in enumerate(cascade.shapes):
            tiles = cascade.encode(bands) if level == 0 else cascade.spooled(level)
            scale = [n / m for n, m in zip(cascade.shapes[0], shape, strict=True)]
            tiff.write(
                # a plain iterator: tifffile wraps what it gets in a generator of its
                # own, and that one's end would close ours
                chain(tiles),
                shape=(*shape, 3),
                dtype=np.uint8,
                tile=(cascade.tile, cascade.tile),
                photometric="rgb",
                compression="jpeg",
                subsampling=(2, 2),
                subfiletype=1 if level else 0,
                description=None if level else _description(mpp, magnification),
                metadata=None,
                software="napari-mhim",
                **_resolution(mpp, scale),
            )
            # tifffile takes as many tiles as it needs; the rest of the generator, which
            # puts the lower levels' last rows aside, has still to run
            next(tiles, None)


def _description(
    mpp: tuple[float, float] | None, magnification: float | None
) -> str | None:
    fields = ["napari-mhim pyramid"]
    if mpp is not None:
        # seven digits are more than any tag holds
        fields += [f"MPP_Y = {mpp[0]:.7g}", f"MPP_X = {mpp[1]:.7g}"]
    if magnification is not None:
        fields.append(f"AppMag = {magnification:g}")
    return "|".join(fields)


def _resolution(mpp: tuple[float, float] | None, scale: list[float]) -> dict[str, Any]:
    if mpp is None:
        return {"resolution": (1, 1), "resolutionunit": "NONE"}
    per_cm_y, per_cm_x = (1e4 / (m * s) for m, s in zip(mpp, scale, strict=True))
    return {"resolution": (per_cm_x, per_cm_y), "resolutionunit": "CENTIMETER"}


def _bands(level0: Any, tile: int) -> Iterator[NDArray[np.uint8]]:
    """Give the image top to bottom in bands of ``tile`` rows, the last one shorter."""
    rest = np.empty((0, *level0.shape[1:]), np.uint8)
    for top, bottom in _reads(level0, tile):
        block = np.asarray(level0[top:bottom])
        rest = np.concatenate([rest, block]) if len(rest) else block
        while len(rest) >= tile:
            yield rest[:tile]
            rest = rest[tile:]
    if len(rest):
        yield rest


def _reads(level0: Any, tile: int) -> Iterator[tuple[int, int]]:
    # a chunk that is cut through is computed once for each piece: so take rows of
    # chunks whole where they fit
    row_bytes = level0.shape[1] * 3
    heights = getattr(level0, "chunks", ((level0.shape[0],),))[0]
    top = 0
    for height in heights:
        is_cut = isinstance(level0, np.ndarray) or height * row_bytes > _BAND_BYTES
        step = tile if is_cut else max(height, 1)
        for start in range(top, top + height, step):
            yield start, min(start + step, top + height)
        top += height


class _Cascade:
    """Bands of level 0 in; encoded tiles of level 0 out, those of the others aside."""

    def __init__(
        self,
        shape: tuple[int, int],
        tile: int,
        quality: int,
        min_px: int,
        spool: IO[bytes],
        threads: ThreadPoolExecutor,
    ) -> None:
        self.shapes = _level_shapes(shape, min_px)
        self.tile = tile
        self._quality = quality
        self._spool = spool
        self._threads = threads
        self._places: list[list[tuple[int, int]]] = [[] for _ in self.shapes]
        self._halves: list[NDArray[np.uint8] | None] = [None for _ in self.shapes]

    def encode(self, bands: Iterator[NDArray[np.uint8]]) -> Iterator[bytes]:
        """Give level 0's tiles row by row; the other levels' go to the spool."""
        for band in bands:
            yield from self._encoded(band)
            self._descend(1, _halved(band))
        for level in range(1, len(self.shapes)):
            rest, self._halves[level] = self._halves[level], None
            if rest is not None:
                self._keep(level, rest)

    def spooled(self, level: int) -> Iterator[bytes]:
        """Give the tiles of a lower level, once :meth:`encode` has run to its end."""
        for offset, length in self._places[level]:
            self._spool.seek(offset)
            yield self._spool.read(length)

    def _descend(self, level: int, half: NDArray[np.uint8]) -> None:
        if level == len(self.shapes):
            return
        rest = self._halves[level]
        band = half if rest is None else np.concatenate([rest, half])
        if len(band) < self.tile:
            self._halves[level] = band
            return
        # a band of a level is two halved ones of the level above: never more
        self._halves[level] = None
        self._keep(level, band)

    def _keep(self, level: int, band: NDArray[np.uint8]) -> None:
        for data in self._encoded(band):
            offset = self._spool.seek(0, os.SEEK_END)
            self._spool.write(data)
            self._places[level].append((offset, len(data)))
        self._descend(level + 1, _halved(band))

    def _encoded(self, band: NDArray[np.uint8]) -> Iterator[bytes]:
        lefts = range(0, band.shape[1], self.tile)
        return self._threads.map(partial(self._tile_bytes, band), lefts)

    def _tile_bytes(self, band: NDArray[np.uint8], x: int) -> bytes:
        from imagecodecs import jpeg8_encode

        pixels = band[:, x : x + self.tile]
        missing = [(0, self.tile - n) for n in pixels.shape[:2]]
        # repeat the edge: a white margin would ring into the last pixels
        whole = np.pad(pixels, (*missing, (0, 0)), mode="edge")
        data = jpeg8_encode(
            np.ascontiguousarray(whole),
            level=self._quality,
            colorspace="rgb",
            outcolorspace="ycbcr",
            subsampling=(2, 2),
        )
        return bytes(data)


def _level_shapes(shape: tuple[int, int], min_px: int) -> list[tuple[int, int]]:
    shapes = [(int(shape[0]), int(shape[1]))]
    while max(shapes[-1]) > min_px:
        height, width = shapes[-1]
        shapes.append(((height + 1) // 2, (width + 1) // 2))
    return shapes


def _halved(band: NDArray[np.uint8]) -> NDArray[np.uint8]:
    # an odd edge counts twice, so nothing of the image is lost
    odd = [(0, n % 2) for n in band.shape[:2]]
    even = np.pad(band, (*odd, (0, 0)), mode="edge") if any(o[1] for o in odd) else band
    return mean_of_four(even)
