from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_mhim.errors import ConfigError
from napari_mhim.slide import GridConfig, Slide, patch_grid, read_patches
from napari_mhim.slide._resample import resample
from napari_mhim.slide.cache import TileCache
from napari_mhim.slide.patches import best_source
from napari_mhim.slide.slide import SlideFile
from napari_mhim.slide.source import NativeLevel

RNG = np.random.default_rng(5)
NOISE = RNG.integers(0, 256, (410, 530, 3), dtype=np.uint8)


def made(*images: np.ndarray, tile=(64, 48), seen: list | None = None) -> Slide:
    def level(number: int, image: np.ndarray) -> NativeLevel:
        def decode(row: int, col: int) -> np.ndarray:
            if seen is not None:
                seen.append((number, row, col))
            y, x = row * tile[0], col * tile[1]
            return image[y : y + tile[0], x : x + tile[1]].copy()

        return NativeLevel(image.shape[:2], tile, decode)

    levels = [level(number, image) for number, image in enumerate(images)]
    return Slide(Path("none"), SlideFile(levels, lambda: None), TileCache(1 << 24))


def grid_of(slide: Slide, mpp=(0.5, 0.5), **config):
    return patch_grid(slide.shape, mpp, None, GridConfig(**config))


def read(slide: Slide, grid, **options) -> np.ndarray:
    """Read all patches, in the order of the grid's cells."""
    out = np.zeros((len(grid), grid.patch_model_px, grid.patch_model_px, 3), np.uint8)
    for batch in read_patches(slide, grid, **options):
        out[batch.index] = batch.pixels
    return out


@settings(max_examples=8, deadline=None)
@given(st.integers(12, 120), st.sampled_from([0, 0.25, 0.5]))
def test_at_the_slides_own_scale_pixels_are_copied(patch, overlap):
    slide = made(NOISE)
    grid = grid_of(slide, mpp=(0.5, 0.5), patch_model_px=4 * patch, overlap=overlap)
    padded = np.pad(NOISE, ((0, 900), (0, 900), (0, 0)), constant_values=255)
    for pixels, (y, x) in zip(read(slide, grid), grid.corners.astype(int), strict=True):
        wanted = padded[y : y + 4 * patch, x : x + 4 * patch]
        np.testing.assert_array_equal(pixels, wanted)


def bilinear(image: np.ndarray, corner, size, side: int) -> np.ndarray:
    """Weigh all pixels of an image by triangles, slowly: the filter's definition."""
    weights = []
    for axis in (0, 1):
        step = size[axis] / side
        centres = corner[axis] + (np.arange(side) + 0.5) * step
        places = np.arange(image.shape[axis]) + 0.5
        away = np.abs(places - centres[:, None]) / max(step, 1)
        triangle = np.clip(1 - away, 0, None)
        weights.append(triangle / triangle.sum(axis=1, keepdims=True))
    return np.einsum("yi,xj,ijc->yxc", *weights, image.astype(float), optimize=True)


@pytest.mark.parametrize("mpp", [(0.5, 0.5), (0.31, 0.47), (0.83, 0.21), (0.5, 0.2508)])
def test_patches_are_resampled_with_their_fraction_of_a_pixel(mpp):
    slide = made(NOISE)
    config = GridConfig(mpp=0.62, patch_model_px=33, overlap=0.3)
    grid = patch_grid(slide.shape, mpp, None, config)
    pixels = read(slide, grid)
    ends = grid.corners + grid.patch_px
    whole = np.flatnonzero((ends < np.array(slide.shape) - 4).all(axis=1))
    margin = 60
    padded = np.pad(NOISE, ((margin, 0), (margin, 0), (0, 0)), constant_values=255)
    for row in whole[:: max(1, len(whole) // 12)]:
        wanted = bilinear(padded, grid.corners[row] + margin, grid.patch_px, 33)
        assert np.abs(pixels[row] - wanted).max() <= 1.5


@pytest.mark.parametrize("scale", [(2.0, 2.0), (3.7, 1.3), (0.6, 1.9)])
def test_a_gradient_keeps_its_place(scale):
    # the value of a linear image at a patch's centre is known without any filter
    y, x = np.mgrid[:400, :520]
    image = np.stack([y / 400 * 200 + 20, x / 520 * 200 + 20, 0 * x], 2)
    slide = made(np.rint(image).astype(np.uint8))
    mpp = (0.5 / scale[0], 0.5 / scale[1])
    grid = patch_grid(slide.shape, mpp, None, GridConfig(mpp=0.5, patch_model_px=40))
    inside = (grid.corners > 9).all(1) & (
        grid.corners + grid.patch_px < np.array(slide.shape) - 9
    ).all(1)
    means = read(slide, grid)[inside].mean(axis=(1, 2))
    centres = grid.corners[inside] + grid.patch_px / 2 - 0.5
    np.testing.assert_allclose(means[:, 0], centres[:, 0] / 2 + 20, atol=0.35)
    np.testing.assert_allclose(means[:, 1], centres[:, 1] / 2.6 + 20, atol=0.35)


@pytest.mark.parametrize("step", [2.0, 1.9936, 0.7, 3.3])
def test_pixels_are_pillows_but_for_its_second_rounding(step):
    size, side = 41 * step, 41
    box = (7.25, 5.5, 7.25 + size, 5.5 + size)
    out = np.empty((side, side, 3), np.uint8)
    resample(NOISE[:200, :210], (5.5, 7.25), (step, step), out)
    image = Image.fromarray(NOISE[:200, :210])
    wanted = np.asarray(image.resize((side, side), Image.Resampling.BILINEAR, box))
    off = out.astype(int) - wanted
    assert np.abs(off).max() <= 1
    assert np.abs(off).mean() < 0.3


def test_a_step_of_two_is_the_same_by_its_shorter_way():
    quick, slow = (np.empty((40, 40, 3), np.uint8) for _ in range(2))
    resample(NOISE[:120, :130], (5.0, 7.0), (2.0, 2.0), quick)
    resample(NOISE[:120, :130], (5.0, 7.0), (2.0, np.nextafter(2, 3)), slow)
    np.testing.assert_array_equal(quick, slow)


@pytest.mark.parametrize("value", [0, 1, 254, 255])
def test_a_flat_picture_stays_flat(value):
    flat = np.full((130, 130, 3), value, np.uint8)
    out = np.empty((40, 40, 3), np.uint8)
    for step in (0.31, 1.0, 1.9936, 2.0, 2.7):
        resample(flat, (4.3, 5.0), (step, step), out)
        assert (out == value).all()


def halved(image: np.ndarray) -> np.ndarray:
    even = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2].astype(float)
    rows, cols = even.shape[0] // 2, even.shape[1] // 2
    return np.rint(even.reshape(rows, 2, cols, 2, 3).mean((1, 3))).astype(np.uint8)


@pytest.mark.parametrize(
    ("mpp", "level"),
    [(0.25, 0), (0.49, 0), (0.497, 1), (0.5, 1), (0.99, 1), (1.0, 2), (8, 2)],
)
def test_the_coarsest_level_that_is_fine_enough_is_taken(mpp, level):
    slide = made(NOISE, halved(NOISE), halved(halved(NOISE)))
    grid = patch_grid(slide.shape, (0.25, 0.25), None, GridConfig(mpp=mpp))
    assert best_source(slide, grid) is slide.sources[level]


def test_one_axis_too_coarse_keeps_the_finer_level():
    slide = made(NOISE, halved(NOISE))
    grid = patch_grid(slide.shape, (0.25, 0.5), None, GridConfig(mpp=0.5))
    assert best_source(slide, grid) is slide.sources[0]


def test_patches_of_a_coarser_level_are_copied_from_it():
    small = halved(NOISE)
    slide = made(NOISE, small)
    grid = patch_grid(slide.shape, (0.25, 0.25), None, GridConfig(0.5, 40))
    pixels = read(slide, grid)
    for patch, cell in zip(pixels, grid.cells, strict=True):
        y, x = 40 * cell
        wanted = small[y : y + 40, x : x + 40]
        np.testing.assert_array_equal(
            patch[: wanted.shape[0], : wanted.shape[1]], wanted
        )


@pytest.mark.parametrize("config", [(0.5, 64, 0.0), (0.5, 50, 0.5), (0.71, 37, 0.2)])
def test_each_tile_is_decoded_once(config):
    seen = []
    slide = made(NOISE, seen=seen)
    mpp, patch, overlap = config
    wanted = GridConfig(mpp=mpp, patch_model_px=patch, overlap=overlap)
    grid = patch_grid(slide.shape, (0.5, 0.5), None, wanted)
    list(read_patches(slide, grid, batch_size=7, threads=3))
    assert set(Counter(seen).values()) == {1}
    assert {(row, col) for _, row, col in seen} == set(np.ndindex(7, 12))


def test_no_more_than_the_patches_ahead_are_decoded():
    seen = []
    image = np.full((20_000, 64, 3), 200, np.uint8)
    slide = made(image, tile=(64, 64), seen=seen)
    grid = patch_grid(slide.shape, (0.5, 0.5), None, GridConfig(0.5, 64))
    batches = read_patches(slide, grid, batch_size=10, threads=2)
    next(batches)
    batches.close()
    assert len(seen) <= 10 + 10 + 2 * 2


def test_tiles_are_let_go_when_no_patch_needs_them(monkeypatch):
    from napari_mhim.slide import patches

    held = []
    release = patches._Cutter.release

    def counted(self, until):
        release(self, until)
        held.append(len(self._tiles))

    monkeypatch.setattr(patches._Cutter, "release", counted)
    slide = made(np.full((6400, 192, 3), 200, np.uint8), tile=(64, 64))
    grid = grid_of(slide, patch_model_px=64, overlap=0.5)
    list(read_patches(slide, grid, batch_size=5, threads=2))
    assert max(held) < 40
    assert held[-1] == 0


@pytest.mark.parametrize(
    ("batch_size", "threads"), [(1, 1), (7, 4), (64, 2), (9999, 8)]
)
def test_pixels_depend_on_neither_batches_nor_threads(batch_size, threads):
    slide = made(NOISE)
    grid = patch_grid(slide.shape, (0.31, 0.47), None, GridConfig(0.62, 40, 0.3))
    wanted = list(read_patches(slide, grid, batch_size=10, threads=1))
    got = list(read_patches(slide, grid, batch_size=batch_size, threads=threads))
    for name in ("index", "pixels"):
        one, other = (
            np.concatenate([getattr(batch, name) for batch in batches])
            for batches in (wanted, got)
        )
        np.testing.assert_array_equal(one, other)
    assert {len(batch.index) for batch in got[:-1]} <= {batch_size}


@pytest.mark.parametrize("start", [0, 1, 17, 10**9])
def test_a_resumed_reading_gives_the_rest_of_the_order(start):
    slide = made(NOISE)
    grid = patch_grid(slide.shape, (0.31, 0.47), None, GridConfig(0.62, 40, 0.3))
    start = min(start, len(grid))
    whole = list(read_patches(slide, grid, batch_size=5))
    rest = list(read_patches(slide, grid, batch_size=8, start=start))
    index = np.concatenate([batch.index for batch in whole])
    pixels = np.concatenate([batch.pixels for batch in whole])
    np.testing.assert_array_equal(
        np.concatenate([index[:0], *(batch.index for batch in rest)]), index[start:]
    )
    np.testing.assert_array_equal(
        np.concatenate([pixels[:0], *(batch.pixels for batch in rest)]), pixels[start:]
    )


def test_a_closed_slide_gives_an_error_and_not_white(synthetic_slide):
    from napari_mhim.errors import SlideError
    from napari_mhim.slide import open_slide

    slide = open_slide(synthetic_slide.path)
    grid = patch_grid(slide.shape, slide.mpp, None, GridConfig())
    slide.close()
    with pytest.raises(SlideError, match="closed"):
        list(read_patches(slide, grid))


@pytest.mark.parametrize(
    "options", [{"batch_size": 0}, {"threads": 0}, {"start": -1}, {"start": 10**6}]
)
def test_numbers_that_cannot_be_are_refused_at_once(options):
    slide = made(NOISE)
    with pytest.raises(ConfigError):
        read_patches(slide, grid_of(slide), **options)
