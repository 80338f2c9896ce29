from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from napari_mhim.errors import ConfigError
from napari_mhim.phantom import Phantom, PhantomConfig, render
from napari_mhim.phantom.anatomy import grow

SMALL = PhantomConfig(shape=(900, 1300), easy=True, hard=True, seed=3)


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return render(SMALL)


def darkness(rgb) -> np.ndarray:
    """Optical density in red, where eosin hardly absorbs: haematoxylin."""
    return -np.log10((rgb[..., 0].astype(float) + 1) / 256)


def test_the_same_settings_give_the_same_pixels(phantom) -> None:
    again = render(SMALL)
    np.testing.assert_array_equal(phantom.rgb, again.rgb)
    np.testing.assert_array_equal(
        phantom.truth.label_image(), again.truth.label_image()
    )


def test_another_seed_gives_other_pixels(phantom) -> None:
    other = render(replace(SMALL, seed=4))
    assert (other.rgb != phantom.rgb).any(axis=2).mean() > 0.3


def test_the_random_state_of_numpy_is_left_alone(phantom) -> None:
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    render(replace(SMALL, shape=(300, 400)))
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_pixels_have_the_shape_asked_for(phantom) -> None:
    assert phantom.rgb.shape == (900, 1300, 3)
    assert phantom.rgb.dtype == np.uint8


@pytest.mark.parametrize("shape", [(256, 256), (257, 511), (1001, 263)])
def test_any_shape_can_be_made(shape) -> None:
    config = PhantomConfig(shape=shape, easy=True, hard=True, pen=True)
    assert render(config).rgb.shape == (*shape, 3)


def test_there_is_glass_round_the_tissue(phantom) -> None:
    corners = phantom.rgb[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.min() > 230
    assert 0.3 < (phantom.rgb.min(axis=2) < 225).mean() < 0.95


def test_tissue_is_pink_and_nuclei_are_blue(phantom) -> None:
    red, green, blue = phantom.rgb[phantom.rgb.min(axis=2) < 215].mean(axis=0)
    assert red > blue > green
    dark = phantom.rgb[phantom.rgb.sum(axis=2) < 300]
    assert dark[:, 2].mean() > dark[:, 0].mean() > dark[:, 1].mean()


def test_easy_lesions_are_darker_than_everything_else(phantom) -> None:
    labels = phantom.truth.label_image()
    dark = darkness(phantom.rgb)
    tissue = (phantom.rgb.min(axis=2) < 225) & (labels == 0)
    assert dark[labels == 1].mean() > 1.8 * dark[tissue].mean()


def test_hard_lesions_are_about_as_dark_as_everything_else(phantom) -> None:
    labels = phantom.truth.label_image()
    dark = darkness(phantom.rgb)
    tissue = (phantom.rgb.min(axis=2) < 225) & (labels == 0)
    assert 0.6 < dark[labels == 2].mean() / dark[tissue].mean() < 1.6


def test_the_truth_lies_on_the_pixels_that_it_means() -> None:
    config = PhantomConfig(shape=(900, 1300), mpp=(0.5, 0.4), easy=True, seed=3)
    ill = render(config)
    inside = ill.truth.label_image() == 1
    core = binary_erosion(inside, iterations=10)
    rim = binary_erosion(~inside, iterations=20)
    dark = darkness(ill.rgb) > 0.5
    # moved by a nest's width in any direction, the outline would hold less of the dark
    best = dark[core].mean()
    for dy, dx in ((150, 0), (-150, 0), (0, 150), (0, -150)):
        moved = np.roll(inside, (dy, dx), axis=(0, 1))
        assert dark[moved].mean() < 0.8 * best
    assert dark[rim].mean() < 0.6 * best


def test_a_normal_slide_has_no_truth() -> None:
    normal = render(PhantomConfig(shape=(400, 500)))
    assert normal.label == "normal"
    assert normal.truth.label_image().max() == 0


@pytest.mark.parametrize(
    ("kinds", "label"),
    [
        ({"easy": True}, "tumour"),
        ({"hard": True}, "tumour"),
        ({}, "normal"),
    ],
)
def test_the_label_says_whether_there_is_a_lesion(kinds, label) -> None:
    assert PhantomConfig(**kinds).label == label


def test_a_slide_holds_only_the_kinds_asked_for() -> None:
    hard = render(PhantomConfig(shape=(900, 1300), hard=True, seed=1)).truth
    assert set(np.unique(hard.label_image(4))) == {0, 2}


def test_contrast_sets_how_many_hard_nuclei_there_are() -> None:
    config = PhantomConfig(shape=(900, 1300), hard=True, seed=1)
    crowds = [
        grow(replace(config, hard_contrast=contrast)).densities["hard"].max()
        for contrast in (0.0, 0.5, 1.0)
    ]
    assert crowds[0] == 0
    assert crowds[0] < crowds[1] < crowds[2]


def test_unequal_mpp_keeps_things_round() -> None:
    config = PhantomConfig((1400, 700), (0.3, 0.6), easy=True, seed=2)
    inside = render(config).truth.label_image() == 1
    y, x = np.nonzero(inside)
    # one blob of at most three: no blob is stretched more than 1.6 times by itself
    extent = np.ptp(y) * 0.3, np.ptp(x) * 0.6
    assert inside.any()
    assert max(extent) < 420  # µm, the slide itself


def test_a_pen_leaves_ink_that_no_tissue_has() -> None:
    config = PhantomConfig(shape=(700, 900), seed=5)
    clean, drawn = render(config).rgb, render(replace(config, pen=True)).rgb
    changed = (clean != drawn).any(axis=2)
    assert 0.005 < changed.mean() < 0.4
    ink = drawn[changed].astype(int)
    before = clean[changed].astype(int)
    assert (ink.sum(axis=1) <= before.sum(axis=1)).all()
    assert np.median(ink.sum(axis=1)) < 0.7 * np.median(before.sum(axis=1))


@pytest.mark.parametrize(
    "wrong",
    [
        {"shape": (200, 900)},
        {"mpp": (0.05, 0.5)},
        {"mpp": (0.5, 30.0)},
        {"easy_share": (0.1, 0.05)},
        {"hard_share": (0.0, 0.05)},
        {"hard_share": (0.1, 0.5)},
        {"hard_contrast": -1.0},
    ],
)
def test_settings_that_cannot_be_are_refused(wrong) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        PhantomConfig(**wrong)
