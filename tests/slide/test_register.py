"""The coordinate-grid files: every 8 by 8 block of theirs says where it lies."""

from pathlib import Path

import numpy as np
import pytest

from napari_mhim.slide import GridConfig, open_slide, patch_grid, read_patches


def places(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Decode (row, column) of each block from the four pixels of its upper left corner.

    The upper two hold the row, the lower two the column, three bits each: red 4, green 2,
    blue 1; the left pixel is the high one.
    """
    height, width = (n // 8 for n in pixels.shape[:2])
    bits = pixels.reshape(height, 8, width, 8, 3)[:, :2, :, :2] > 127
    threes = bits @ np.array([4, 2, 1])  # (rows, 2, cols, 2)
    numbers = 8 * threes[..., 0] + threes[..., 1]  # (rows, 2, cols)
    return numbers[:, 0], numbers[:, 1]


@pytest.fixture
def grid_path(test_data: Path) -> Path:
    found = sorted((test_data / "data" / "slides").rglob("XYC-half-mpp.tiff"))
    return found[0] if found else pytest.skip("no coordinate-grid file")


@pytest.fixture
def jpeg_path(test_data: Path) -> Path:
    found = sorted((test_data / "data" / "slides").rglob("XYC.jpeg.ome.tiff"))
    return found[0] if found else pytest.skip("no coordinate-grid file")


def test_blocks_lie_where_they_say(grid_path):
    with open_slide(grid_path) as slide:
        rows, cols = places(slide.levels[0].compute())
    wanted = np.indices((64, 64))
    np.testing.assert_array_equal(rows, wanted[0])
    np.testing.assert_array_equal(cols, wanted[1])


def test_a_region_begins_at_y_then_x(grid_path):
    with open_slide(grid_path) as slide:
        rows, cols = places(slide.read_region(8 * 11, 8 * 40, 16, 24))
    np.testing.assert_array_equal(rows[:, 0], [11, 12])
    np.testing.assert_array_equal(cols[0], [40, 41, 42])


def test_a_patch_shows_the_block_its_corner_names(grid_path):
    config = GridConfig(mpp=0.5, patch_model_px=16, overlap=0.5)
    with open_slide(grid_path) as slide:
        grid = patch_grid(slide.shape, slide.mpp, None, config)
        batches = list(read_patches(slide, grid, batch_size=500))
    index = np.concatenate([batch.index for batch in batches])
    pixels = np.concatenate([batch.pixels for batch in batches])
    for patch, corner in zip(pixels, grid.corners[index], strict=True):
        rows, cols = places(patch)
        assert (rows[0, 0] * 8, cols[0, 0] * 8) == tuple(corner)


def test_jpeg_tiles_of_an_ome_tiff_lie_as_in_the_plain_file(grid_path, jpeg_path):
    with open_slide(grid_path) as plain, open_slide(jpeg_path) as jpeg:
        wanted = plain.levels[0].compute().astype(float)
        got = jpeg.levels[0].compute().astype(float)
    shifts = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    errors = {s: np.abs(np.roll(got, s, (0, 1)) - wanted).mean() for s in shifts}
    errors["swapped"] = np.abs(got.transpose(1, 0, 2) - wanted).mean()
    assert min(errors, key=errors.get) == (0, 0)
    assert sorted(errors.values())[1] > 2 * errors[0, 0]
