import numpy as np
import pytest

from napari_mhim.phantom.fields import (
    CELL_PX,
    Rising,
    coarse_shape,
    fat_tile,
    fibre_tile,
    smooth_noise,
)


@pytest.mark.parametrize("shape", [(64, 64), (37, 91), (321, 417)])
def test_noise_is_centred_and_of_deviation_one(shape) -> None:
    field = smooth_noise(shape, (2, 2), np.random.default_rng(0))
    assert field.shape == shape
    assert field.mean() == pytest.approx(0, abs=1e-3)
    assert field.std() == pytest.approx(1, abs=1e-3)


def test_noise_is_smoother_along_the_longer_wave() -> None:
    field = smooth_noise((128, 128), (1, 6), np.random.default_rng(0))
    along_y, along_x = np.diff(field, axis=0).std(), np.diff(field, axis=1).std()
    assert along_y > 3 * along_x


def test_a_coarse_map_rises_to_straight_lines_band_by_band() -> None:
    shape = (50, 70)
    rows, cols = coarse_shape(shape)
    y, x = np.mgrid[:rows, :cols] * CELL_PX
    nodes = (0.5 * y - 2 * x).astype(np.float32)
    rising = Rising(nodes, shape[1])
    bands = [rising.band(row, row + 1) for row in range(rows - 1)]
    full = np.concatenate(bands)[: shape[0]]
    y, x = np.mgrid[: shape[0], : shape[1]]
    np.testing.assert_allclose(full, 0.5 * y - 2 * x, atol=1e-3)
    np.testing.assert_array_equal(rising.band(0, rows - 1)[: shape[0]], full)


@pytest.mark.parametrize("tile", [fibre_tile, fat_tile])
def test_tiles_have_no_seam(tile) -> None:
    image = tile((0.5, 0.4)).astype(float)
    seam = [np.abs(image.take(0, axis) - image.take(-1, axis)) for axis in (0, 1)]
    # fat is drawn at half resolution: only every second step is one
    steps = [
        np.abs(np.diff(image, axis=0))[1::2],
        np.abs(np.diff(image, axis=1))[:, 1::2],
    ]
    assert np.mean(seam) < 2.5 * np.mean([step.mean() for step in steps])
