"""What reads patches of a slide, ours and its peers, for :mod:`slides`."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from imagecodecs import jpeg2k_decode, jpeg8_decode
from numpy.typing import NDArray

from napari_mhim.slide import GridConfig, PatchGrid, open_slide, patch_grid
from napari_mhim.slide.patches import best_source, read_patches, reading_order
from napari_mhim.slide.source import tile_span
from napari_mhim.slide.tissue import tissue_mask

PATCH_PX = 256
"""Width and height of a patch, px."""
BATCH = 64
"""Patches in a batch."""

Read = Callable[[], None]


def some_patches(path: Path, count: int, mpp: float, overlap: float = 0.0) -> PatchGrid:
    """Lay the grid over a slide's tissue and keep a run of its patches.

    Parameters
    ----------
    path : Path
        The slide.
    count : int
        How many to keep, from a quarter of the grid on in the order of reading; all of
        them where there are fewer.
    mpp : float
        Micrometres per pixel of a patch.
    overlap : float
        Share of a patch that it has in common with the next.

    Returns
    -------
    PatchGrid
        The patches.
    """
    with open_slide(path) as slide:
        config = GridConfig(mpp=mpp, patch_model_px=PATCH_PX, overlap=overlap)
        assert slide.mpp is not None
        grid = patch_grid(slide.shape, slide.mpp, tissue_mask(slide), config)
    first = min(len(grid) // 4, max(len(grid) - count, 0))
    kept = reading_order(grid)[first : first + count]
    return replace(grid, cells=grid.cells[kept])


def shifted(grid: PatchGrid, by_px: float) -> PatchGrid:
    """Move a grid off the file's tiles, down and right by so many level-0 pixels."""
    return replace(grid, origin=grid.origin + by_px)


def ours(path: Path, grid: PatchGrid, threads: int) -> Read:
    """Read the patches as an extraction does."""

    def read() -> None:
        with open_slide(path) as slide:
            for _ in read_patches(slide, grid, BATCH, threads):
                pass

    return read


def by_region(path: Path, grid: PatchGrid, threads: int) -> Read:
    """Read each patch by our own ``read_region``, and resize it: what a script would do."""

    def read() -> None:
        with open_slide(path) as slide:
            source = best_source(slide, grid)
            scale = np.asarray(source.downsample)
            size = np.rint(grid.patch_px / scale).astype(int)

            def one(corner: NDArray[np.float64]) -> None:
                y, x = np.rint(corner / scale).astype(int)
                _resized(source.read(int(y), int(x), int(size[0]), int(size[1])))

            _each(one, grid.corners, threads)

    return read


def by_openslide(path: Path, grid: PatchGrid, threads: int) -> Read:
    """Read each patch by OpenSlide's ``read_region``, and resize it where it must be."""
    import openslide

    def read() -> None:
        with openslide.OpenSlide(path) as slide:
            wanted = float(grid.patch_px[0]) / PATCH_PX
            level = slide.get_best_level_for_downsample(wanted * 1.01)
            size = round(float(grid.patch_px[0]) / slide.level_downsamples[level])

            def one(corner: NDArray[np.float64]) -> None:
                y, x = (round(float(n)) for n in corner)
                region = slide.read_region((x, y), level, (size, size))
                _resized(np.asarray(region.convert("RGB")))

            _each(one, grid.corners, threads)

    return read


def bare_decode(path: Path, grid: PatchGrid, threads: int) -> Read:
    """Decode the tiles that the patches touch, each once, and throw them away."""
    tiles = _tiles_of(path, grid)

    def read() -> None:
        with tifffile.TiffFile(path) as tiff, path.open("rb", buffering=0) as file:
            page, places = _page_of(tiff, path, grid), tiles
            offsets, counts = page.dataoffsets, page.databytecounts
            tables, is_jpeg = page.jpegtables, page.compression == 7
            del page
            import os

            def one(place: int) -> None:
                data = os.pread(file.fileno(), counts[place], offsets[place])
                if is_jpeg:
                    jpeg8_decode(
                        data, tables=tables, colorspace="ycbcr", outcolorspace="rgb"
                    )
                else:
                    jpeg2k_decode(data)

            _each(one, places, threads)

    return read


def _tiles_of(path: Path, grid: PatchGrid) -> list[int]:
    """List the places in the file of the tiles that the patches touch."""
    found: dict[int, None] = {}
    with open_slide(path) as slide:
        source = best_source(slide, grid)
        scale = np.asarray(source.downsample)
        columns = source.tiles[1]
        for corner in grid.corners / scale:
            spans = [
                tile_span(int(at), round(float(size)), tile, limit)
                for at, size, tile, limit in zip(
                    corner,
                    grid.patch_px / scale,
                    source.tile,
                    source.shape,
                    strict=True,
                )
            ]
            for row in range(*spans[0]):
                for col in range(*spans[1]):
                    found[row * columns + col] = None
    return list(found)


def _page_of(tiff: tifffile.TiffFile, path: Path, grid: PatchGrid) -> Any:
    with open_slide(path) as slide:
        shape = best_source(slide, grid).shape
    return next(page for page in tiff.pages if page.shape[:2] == shape)


def _resized(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    from PIL import Image

    if pixels.shape[:2] == (PATCH_PX, PATCH_PX):
        return pixels
    image = Image.fromarray(pixels)
    return np.asarray(image.resize((PATCH_PX, PATCH_PX), Image.Resampling.BILINEAR))


def _each(one: Callable[[Any], None], items: Iterable[Any], threads: int) -> None:
    if threads == 1:
        for item in items:
            one(item)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(one, items, chunksize=8):
            pass


def texture(path: Path, grid: PatchGrid, threads: int) -> Read:
    """Encode the patches by the texture encoder; they lie in memory before."""
    import torch

    from napari_mhim.features.encoder import build_encoder

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    encoder = build_encoder("texture")
    torch.set_num_threads(before)
    with open_slide(path) as slide:
        batches = [
            torch.from_numpy(batch.pixels)
            for batch in read_patches(slide, grid, BATCH, threads)
        ]

    def read() -> None:
        for batch in batches:
            encoder(batch)

    return read


READERS = {
    "ours": ours,
    "ours, read_region": by_region,
    "openslide": by_openslide,
    "bare decode": bare_decode,
    "texture": texture,
}
"""Everything that reads patches, by name: (path, grid, threads) → a function to time."""


def reader(name: str, path: Path, grid: PatchGrid, threads: int) -> Read:
    """Give one of :data:`READERS`, ready to be timed."""
    return partial(READERS[name](path, grid, threads))
