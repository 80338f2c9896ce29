from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mhim.errors import ConfigError, NoTissueError, UnknownMppError
from napari_mhim.slide import GridConfig, TissueMask, grid_mpp, patch_grid
from napari_mhim.slide.tiling import tissue_shares

SIDES = st.integers(1, 900)
SCALES = st.floats(0.3, 3)


@st.composite
def tissues(draw) -> tuple[tuple[int, int], TissueMask]:
    """Draw a slide's shape, and a mask on a raster that does not divide it."""
    shape = (draw(st.integers(20, 200)), draw(st.integers(20, 200)))
    rows, cols = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    seed = draw(st.integers(0, 9))
    mask = np.random.default_rng(seed).random((rows, cols)) < 0.5
    return shape, TissueMask(mask, (shape[0] / rows, shape[1] / cols))


def area(tissue: TissueMask, y: float, x: float, height: float, width: float) -> float:
    """Add up what each pixel of the mask has in common with a rectangle."""
    total = 0.0
    for row, col in np.argwhere(tissue.mask):
        top, left = row * tissue.px[0], col * tissue.px[1]
        tall = min(top + tissue.px[0], y + height) - max(top, y)
        wide = min(left + tissue.px[1], x + width) - max(left, x)
        total += max(tall, 0) * max(wide, 0)
    return total


@settings(max_examples=40)
@given(tissues(), st.floats(5, 90), st.floats(5, 90), st.floats(0.3, 1))
def test_tissue_share_is_the_exact_area(made, tall, wide, stride):
    _, tissue = made
    patch = np.array([tall, wide])
    shares = tissue_shares(tissue, (3, 4), patch * stride, patch)
    for row in range(3):
        for col in range(4):
            y, x = np.array([row, col]) * patch * stride
            wanted = area(tissue, y, x, tall, wide) / (tall * wide)
            assert shares[row, col] == pytest.approx(wanted, abs=1e-9)


@given(SIDES, SIDES, SCALES, SCALES, SCALES, st.integers(50, 300), st.floats(0, 0.7))
def test_the_grid_covers_the_slide_and_no_more(h, w, my, mx, mpp, patch, overlap):
    config = GridConfig(mpp=mpp, patch_model_px=patch, overlap=overlap)
    grid = patch_grid((h, w), (my, mx), None, config)
    np.testing.assert_allclose(grid.patch_px, patch * mpp / np.array([my, mx]))
    np.testing.assert_allclose(grid.stride_px, grid.patch_px * (1 - overlap))
    steps = np.array(grid.shape) - 1
    reached = steps * grid.stride_px + grid.patch_px
    assert (reached >= np.array([h, w]) - 1e-5 * grid.stride_px).all()
    # one row or column less would leave something of the slide out
    short = (steps - 1) * grid.stride_px + grid.patch_px
    assert ((short < [h, w]) | (steps == 0)).all()
    assert len(grid) == grid.shape[0] * grid.shape[1]


@settings(max_examples=50)
@given(tissues(), st.floats(0, 1), st.integers(8, 60))
def test_a_patch_is_kept_exactly_where_it_holds_enough_tissue(made, least, patch):
    shape, tissue = made
    config = GridConfig(mpp=0.7, patch_model_px=patch, min_tissue=least)
    every = patch_grid(shape, (0.5, 0.4), None, config)
    shares = tissue_shares(tissue, every.shape, every.stride_px, every.patch_px)
    wanted = {tuple(cell) for cell in np.argwhere(shares >= least)}
    near = {tuple(cell) for cell in np.argwhere(np.abs(shares - least) < 1e-5)}
    try:
        kept = patch_grid(shape, (0.5, 0.4), tissue, config).cells
    except NoTissueError:
        kept = np.empty((0, 2), int)
    assert {tuple(map(int, cell)) for cell in kept} ^ wanted <= near


def test_unequal_scales_give_patches_that_are_square_in_micrometres():
    grid = patch_grid((4000, 3000), (0.5, 0.25), None, GridConfig(1.0, 256))
    np.testing.assert_allclose(grid.patch_px, [512, 1024])
    assert grid.shape == (8, 3)


def test_a_patch_wider_than_the_slide_is_one():
    assert patch_grid((16, 20), (0.5, 0.5), None, GridConfig()).shape == (1, 1)


def test_cells_come_row_by_row():
    mask = np.random.default_rng(0).random((40, 50)) < 0.5
    tissue = TissueMask(mask, (50.0, 40.0))
    cells = patch_grid((2000, 2000), (0.5, 0.5), tissue, GridConfig(0.5, 100)).cells
    assert cells.dtype == np.int32
    assert cells.tolist() == sorted(cells.tolist())


def test_no_tissue_is_said_in_one_sentence():
    tissue = TissueMask(np.zeros((10, 10), bool), (100.0, 100.0))
    with pytest.raises(NoTissueError, match="25%"):
        patch_grid((1000, 1000), (0.5, 0.5), tissue, GridConfig())


def slide_with(mpp, reason=""):
    return SimpleNamespace(
        mpp=mpp, mpp_reason=reason, path=SimpleNamespace(name="a.svs")
    )


def test_an_unknown_scale_is_refused_with_slide_reason_and_way_out():
    with pytest.raises(UnknownMppError, match=r"'a\.svs'.*no tag.*--mpp"):
        grid_mpp(slide_with(None, "no tag"))


def test_what_the_user_says_goes_before_the_slide():
    assert grid_mpp(slide_with((0.5, 0.4))) == (0.5, 0.4)
    assert grid_mpp(slide_with((0.5, 0.4)), 0.3) == (0.3, 0.3)
    assert grid_mpp(slide_with(None), 0.3) == (0.3, 0.3)


@pytest.mark.parametrize("override", [0, -1, 352.8, float("nan")])
def test_a_scale_no_microscope_has_is_refused(override):
    with pytest.raises(ConfigError, match="mpp must be"):
        grid_mpp(slide_with((0.5, 0.5)), override)


@pytest.mark.parametrize(
    "options",
    [{"mpp": 0}, {"patch_model_px": 0}, {"overlap": 1.0}, {"min_tissue": 1.1}],
)
def test_a_grid_that_cannot_be_is_refused(options):
    with pytest.raises(ConfigError):
        GridConfig(**options)


def test_an_absurd_grid_is_refused_before_it_is_made() -> None:
    config = GridConfig(mpp=0.02, patch_model_px=1, overlap=0.9)
    with pytest.raises(ConfigError, match="take larger patches"):
        patch_grid((100_000, 100_000), (0.5, 0.5), None, config)
