"""Pixels of many patches: every tile of the file is decoded once, in the grid's order."""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_mhim.errors import ConfigError
from napari_mhim.slide.slide import Slide
from napari_mhim.slide.source import Pixels, TileSource, paste_tiles, tile_span
from napari_mhim.slide.tiling import PatchGrid

# a level that is coarser than asked for by less than this is still taken: 0.5 µm wanted
# of a slide with 0.2508 would else be cut from four times the pixels
_LEVEL_SLACK = 1.01
_LONGEST_RUN = 8

_Place = tuple[int, int]


@dataclass(frozen=True, eq=False)
class PatchBatch:
    """Some patches of a slide, at the scale the model sees."""

    index: NDArray[np.int64]
    """Which rows of ``grid.cells``, shape (B,)."""
    pixels: NDArray[np.uint8]
    """RGB, shape (B, P, P, 3) with P = ``grid.patch_model_px``."""


def read_patches(
    slide: Slide,
    grid: PatchGrid,
    batch_size: int = 64,
    threads: int = 1,
    start: int = 0,
) -> Iterator[PatchBatch]:
    """Read the patches of a grid, each at the scale the model sees.

    Patches come row by row of the grid, from left to right. Each is cut from the coarsest
    level of the file that is fine enough, with the corner's fraction of a pixel kept:
    pixels are copied where the scale is the level's own and the corner is whole, else
    resampled by a triangle as wide as a pixel of the patch. Pixels depend on nothing but
    slide and grid: not on ``batch_size``, ``threads`` or ``start``.

    Parameters
    ----------
    slide : Slide
        Open.
    grid : PatchGrid
        Which patches.
    batch_size : int
        Patches in a batch; the last one holds what is left.
    threads : int
        Threads that decode and resample, ahead of the batch that is asked for.
    start : int
        So many patches of the order are left out: those a resumed extraction has.

    Yields
    ------
    PatchBatch
        The next patches.

    Raises
    ------
    ConfigError
        If a number is out of range.
    """
    if batch_size < 1 or threads < 1:
        raise ConfigError(
            f"batch_size and threads must be 1 or more, got {batch_size} and {threads}"
        )
    if not 0 <= start <= len(grid):
        raise ConfigError(f"start must be 0 to {len(grid)}, got {start}")
    return _batches(slide, grid, batch_size, threads, start)


def best_source(slide: Slide, grid: PatchGrid) -> TileSource:
    """Give the file's level to cut a grid's patches from.

    Parameters
    ----------
    slide : Slide
        Open.
    grid : PatchGrid
        Which patches.

    Returns
    -------
    TileSource
        The coarsest level that is as fine as the model's pixels on both axes, or the
        finest there is.
    """
    wanted = grid.patch_px / grid.patch_model_px * _LEVEL_SLACK
    fine = [s for s in slide.sources if np.all(np.asarray(s.downsample) <= wanted)]
    return fine[-1] if fine else slide.sources[0]


def reading_order(grid: PatchGrid) -> NDArray[np.int64]:
    """Give the order in which patches are read.

    Parameters
    ----------
    grid : PatchGrid
        Which patches.

    Returns
    -------
    ndarray, shape (N,), int64
        Rows of ``grid.cells``, row by row of the grid and from left to right.
    """
    return np.lexsort((grid.cells[:, 1], grid.cells[:, 0])).astype(np.int64)


def _batches(
    slide: Slide, grid: PatchGrid, batch_size: int, threads: int, start: int
) -> Iterator[PatchBatch]:
    order = reading_order(grid)[start:]
    cutter = _Cutter(best_source(slide, grid), grid, order)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="patches")
    waiting: deque[_Filling] = deque()
    runs = _runs(len(order), batch_size, threads)
    try:
        submitted = 0
        for first in range(0, len(order), batch_size):
            index = order[first : first + batch_size]
            # the next batch is decoded while this one is encoded by who asked for it
            ahead = min(first + 2 * batch_size + 2 * threads, len(order))
            while submitted < ahead:
                rows = next(runs)
                if rows.start % batch_size == 0:
                    count = min(batch_size, len(order) - rows.start)
                    waiting.append(_Filling(cutter.empty(count)))
                into = waiting[-1].pixels[rows.start % batch_size :]
                waiting[-1].futures.append(cutter.submit(pool, rows, into))
                submitted = rows.stop
            filling = waiting.popleft()
            for future in filling.futures:
                future.result()
            cutter.release(first + len(index))
            yield PatchBatch(index, filling.pixels)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True, eq=False)
class _Filling:
    """A batch whose patches are being cut."""

    pixels: Pixels
    futures: list[Future[None]] = field(default_factory=list)


def _runs(count: int, batch_size: int, threads: int) -> Iterator[range]:
    """Split so many patches into runs of one task each, none in two batches."""
    # a task costs as much as a tenth of a tile; too long a run leaves threads idle
    length = max(1, min(_LONGEST_RUN, batch_size // (4 * threads)))
    for first in range(0, count, batch_size):
        last = min(first + batch_size, count)
        for start in range(first, last, length):
            yield range(start, min(start + length, last))


class _Cutter:
    """Cuts patches from a level; keeps a decoded tile as long as a patch needs it."""

    def __init__(
        self, source: TileSource, grid: PatchGrid, order: NDArray[np.int64]
    ) -> None:
        self._source = source
        self._side = grid.patch_model_px
        scale = np.asarray(source.downsample)
        self._size = grid.patch_px / scale  # (2,) patch in the level's pixels
        self._corners = grid.corners[order] / scale  # (n, 2)
        steps = self._size / self._side
        self._step = (float(steps[0]), float(steps[1]))
        self._is_copy = self._copies()  # (n,)
        self._boxes = self._whole_boxes()  # (n, 4) y, x, height, width
        self._tiles: dict[_Place, Future[Pixels]] = {}
        self._uses = Counter(
            tile for row in range(len(order)) for tile in self._tiles_of(row)
        )
        self._released = 0

    def empty(self, count: int) -> Pixels:
        """Give memory for so many patches."""
        return np.empty((count, self._side, self._side, 3), np.uint8)

    def submit(
        self, pool: ThreadPoolExecutor, rows: range, into: Pixels
    ) -> Future[None]:
        """Put patches, and the tiles they share and that are not there, into the pool."""
        shared: dict[_Place, Future[Pixels]] = {}
        for row in rows:
            for tile in self._tiles_of(row):
                if tile not in self._tiles:
                    if self._uses[tile] == 1:
                        continue
                    decode = self._source.tile_pixels
                    self._tiles[tile] = pool.submit(decode, *tile)
                shared[tile] = self._tiles[tile]
        # the pool takes tasks in order: a patch never waits for a tile behind it
        return pool.submit(self._cut_all, rows, shared, into)

    def release(self, until: int) -> None:
        """Let go of tiles that no patch from ``until`` on needs."""
        for row in range(self._released, until):
            for tile in self._tiles_of(row):
                self._uses[tile] -= 1
                if not self._uses[tile]:
                    self._tiles.pop(tile, None)
                    del self._uses[tile]
        self._released = until

    def _whole_boxes(self) -> NDArray[np.int64]:
        # a triangle reaches one step beyond the patch, and at least one pixel
        margin = np.ceil(np.maximum(self._step, 1)) + 1
        low = np.floor(self._corners) - margin
        height = np.ceil(self._corners + self._size) + margin - low
        resampled = np.hstack([low, height])
        copied = np.hstack(
            [np.rint(self._corners), np.full_like(self._corners, self._side)]
        )
        return np.where(self._is_copy[:, None], copied, resampled).astype(np.int64)

    def _copies(self) -> NDArray[np.bool_]:
        """Say which patches need no resampling."""
        is_whole = np.abs(self._corners - np.rint(self._corners)) < 1e-6
        is_same = np.abs(self._size - self._side) < 1e-6
        copies: NDArray[np.bool_] = (is_whole & is_same).all(axis=1)
        return copies

    def _tiles_of(self, row: int) -> list[_Place]:
        y, x, height, width = self._boxes[row].tolist()
        tile, shape = self._source.tile, self._source.shape
        rows = range(*tile_span(y, height, tile[0], shape[0]))
        cols = range(*tile_span(x, width, tile[1], shape[1]))
        return [(r, c) for r in rows for c in cols]

    def _cut_all(
        self, rows: range, shared: dict[_Place, Future[Pixels]], into: Pixels
    ) -> None:
        def tile_at(row: int, col: int) -> Pixels:
            # a tile of one patch alone is decoded where it is needed
            there = shared.get((row, col))
            if there is None:
                return self._source.tile_pixels(row, col)
            return there.result()

        for row, out in zip(rows, into, strict=False):
            self._cut(row, tile_at, out)

    def _cut(
        self, row: int, tile_at: Callable[[int, int], Pixels], out: Pixels
    ) -> None:
        y, x, height, width = self._boxes[row].tolist()
        if self._is_copy[row]:
            paste_tiles(self._source, tile_at, (y, x, height, width), out)
            return
        # numba takes a while to import, and patches at a level's own scale need none
        from napari_mhim.slide._resample import resample

        pixels = paste_tiles(self._source, tile_at, (y, x, height, width))
        top, left = (self._corners[row] - (y, x)).tolist()
        resample(pixels, (top, left), self._step, out)
