from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from napari_mhim.errors import ConfigError
from napari_mhim.phantom import PhantomConfig, render
from napari_mhim.phantom.fields import CELL_PX
from napari_mhim.slide import TissueConfig, open_slide, tissue_mask
from napari_mhim.slide.sharpness import share_left
from napari_mhim.slide.tissue import ARTEFACTS, TissueFinder, find_tissue, look
from napari_mhim.slide.tissue_file import (
    as_text,
    differences,
    read_tissue,
    write_tissue,
)
from napari_mhim.slide.write import write_pyramid

# one seed for all that is looked for; its pen crosses none of the others
SPOILT = PhantomConfig(
    (2048, 2560), (0.5, 0.5), pen=True, blur=True, bubble=True, fold=True, seed=931
)
TRUTH = {"pen": "pen", "blur": "blur", "bubbles": "bubble", "folds": "fold"}


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory):
    """Give what was seen of a spoilt slide, and its truth at the mask's pixels."""
    path = tmp_path_factory.mktemp("spoilt") / "case.tif"
    made = render(SPOILT)
    write_pyramid(path, made.rgb, SPOILT.mpp)
    with open_slide(path) as slide:
        seen = look(slide)
        found = tissue_mask(slide)
    at = [
        np.round((np.arange(n) + 0.5) * px / CELL_PX).astype(int)
        for n, px in zip(found.mask.shape, found.px, strict=True)
    ]
    truth = {name: mask[np.ix_(*at)] for name, mask in made.masks.items()}
    return seen, found, truth


def dice(mask: np.ndarray, truth: np.ndarray) -> float:
    return float(2 * (mask & truth).sum() / (mask.sum() + truth.sum()))


@pytest.mark.parametrize("name", ARTEFACTS)
def test_each_artefact_is_found_where_it_is(name, spoilt):
    _, found, truth = spoilt
    assert dice(found.artefacts[name], truth[TRUTH[name]]) > 0.6


@pytest.mark.parametrize("name", ARTEFACTS)
def test_it_is_left_out_unless_that_is_switched_off(name, spoilt):
    seen, found, _ = spoilt
    where = found.artefacts[name]
    assert not (found.mask & where).any()
    kept = find_tissue(seen, TissueConfig(**{f"leave_out_{name}": False}))
    assert (kept.mask & where).any()
    # it is shown all the same
    assert dice(kept.artefacts[name], where) > 0.95


def test_what_is_sound_is_kept(spoilt):
    _, found, truth = spoilt
    sound = truth["tissue"]
    for name in TRUTH.values():
        sound = sound & ~ndimage.binary_dilation(truth[name], iterations=8)
    assert found.mask[sound].mean() > 0.95


@pytest.mark.parametrize(
    ("setting", "artefact", "stricter"),
    [
        ("blur_um", "blur", 8.0),
        ("fold_times", "folds", 4.0),
        ("bubble_um", "bubbles", 4000.0),
        ("pen_density", "pen", 1.0),
    ],
)
def test_its_setting_says_how_much_it_takes(setting, artefact, stricter, spoilt):
    seen, found, _ = spoilt
    less = find_tissue(seen, TissueConfig(**{setting: stricter}))
    assert less.artefacts[artefact].sum() < 0.7 * found.artefacts[artefact].sum()


def test_what_was_asked_before_changes_no_answer(spoilt):
    seen, *_ = spoilt
    finder = TissueFinder(seen)
    asked = [
        TissueConfig(),
        TissueConfig(fold_times=2.0),
        TissueConfig(pen_density=1.0),
        TissueConfig(leave_out_pen=False, bubble_um=400.0),
        TissueConfig(density=0.1, fill_share=0),
        TissueConfig(),
    ]
    for config in asked:
        found, wanted = finder.find(config), find_tissue(seen, config)
        np.testing.assert_array_equal(found.mask, wanted.mask)
        assert found.artefacts.keys() == wanted.artefacts.keys()
        for name, mask in found.artefacts.items():
            np.testing.assert_array_equal(mask, wanted.artefacts[name])


@pytest.mark.parametrize(
    "stain", [(0.35, 0.35), pytest.param((1.0, 1.0), marks=pytest.mark.slow)]
)
def test_a_slide_without_artefacts_loses_nothing(stain, tmp_path):
    config = PhantomConfig((2048, 2560), easy=True, hard=True, stain=stain, seed=77)
    write_pyramid(tmp_path / "clean.tif", render(config).rgb, config.mpp)
    with open_slide(tmp_path / "clean.tif") as slide:
        found = tissue_mask(slide)
    tissue = found.mask.sum()
    assert all(mask.sum() < 0.002 * tissue for mask in found.artefacts.values())


def test_without_a_scale_only_ink_is_looked_for(tmp_path):
    write_pyramid(tmp_path / "a.tif", np.full((300, 400, 3), 240, np.uint8), None)
    with open_slide(tmp_path / "a.tif") as slide:
        assert set(tissue_mask(slide).artefacts) == {"pen"}
        assert set(tissue_mask(slide, mpp=(0.5, 0.5)).artefacts) == set(ARTEFACTS)


def test_unequal_scales_do_not_change_what_is_blurred():
    """A slide of half the pixels in x is as sharp: lengths are µm."""
    rng = np.random.default_rng(0)
    square = ndimage.gaussian_filter(rng.normal(0, 60, (900, 1800)), 1.5)
    picture = (150 + square * 4).clip(0, 255)
    narrow = picture.reshape(900, 900, 2).mean(axis=2)
    found = []
    for pixels, mpp in ((picture, (1.0, 0.5)), (narrow, (1.0, 1.0))):
        from napari_mhim.slide import sharpness

        class One:
            shape = pixels.shape
            tile = (256, 256)
            downsample = (1.0, 1.0)

            @staticmethod
            def read(y, x, h, w, pixels=pixels):
                return np.repeat(pixels[y : y + h, x : x + w, None], 3, 2)

        class Made:
            shape = pixels.shape
            sources = (One,)

        blur = sharpness.blur_um(Made, mpp, np.ones((10, 10), bool))
        found.append(np.nanmedian(blur))
    assert found[0] == pytest.approx(found[1], rel=0.35)


@pytest.mark.parametrize("blur", [1.0, 1.5, 2.5])
def test_a_gaussian_blur_is_measured_in_um(blur, tmp_path):
    """Sharp pictures lose power with the square of the frequency: made so, then blurred."""
    rng = np.random.default_rng(1)
    size, mpp = 1024, 0.5
    rows, cols = np.meshgrid(np.fft.fftfreq(size), np.fft.rfftfreq(size), indexing="ij")
    power = 1 / np.maximum(np.hypot(rows, cols), 1 / size)
    noise = np.fft.rfft2(rng.normal(size=(size, size))) * power
    sharp = np.fft.irfft2(noise, (size, size))
    soft = ndimage.gaussian_filter(sharp / sharp.std(), blur / mpp)
    pixels = (140 + 60 * soft).clip(0, 255).astype(np.uint8)
    write_pyramid(
        tmp_path / "s.tif", np.repeat(pixels[..., None], 3, 2), (mpp, mpp), quality=98
    )
    with open_slide(tmp_path / "s.tif") as slide:
        seen = look(slide)
    assert np.nanmedian(seen.blur_um) == pytest.approx(blur, rel=0.2)


def test_the_share_of_detail_falls_as_the_blur_rises():
    shares = share_left(np.geomspace(0.05, 20, 50))
    assert (np.diff(shares) < 0).all()
    assert shares[0] < 1


@pytest.mark.slow
def test_a_ring_of_black_pen_is_no_bubble(tmp_path):
    config = replace(SPOILT, pen=False, blur=False, bubble=False, fold=False)
    image = Image.fromarray(render(config).rgb)
    box = [(700, 700), (1700, 1700)]
    ImageDraw.Draw(image).ellipse(box, outline=(30, 28, 32), width=220)
    write_pyramid(tmp_path / "ring.tif", np.asarray(image), config.mpp)
    with open_slide(tmp_path / "ring.tif") as slide:
        found = tissue_mask(slide)
    assert not found.artefacts["bubbles"].any()
    assert found.artefacts["pen"].mean() > 0.03


@pytest.mark.parametrize(
    "wrong",
    [{"blur_um": 0.0}, {"fold_times": 1.0}, {"bubble_um": 0.0}, {"pen_density": 2.0}],
)
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        TissueConfig(**wrong)


def test_settings_of_what_is_kept_do_not_count():
    off = TissueConfig(leave_out_folds=False)
    assert as_text(off) == as_text(replace(off, fold_times=3.0))
    assert as_text(off) != as_text(TissueConfig())
    told = differences(as_text(TissueConfig()), as_text(off))
    assert told == "leave out folds on, not off"


def test_settings_saved_with_a_slide_come_back(tmp_path):
    path, config = tmp_path / "tissue" / "a.json", TissueConfig(blur_um=3.0)
    assert read_tissue(path) is None
    write_tissue(path, config, "abc")
    assert read_tissue(path, "abc") == config
    with pytest.raises(ConfigError, match="another slide"):
        read_tissue(path, "def")
    path.write_text("{}")
    with pytest.raises(ConfigError, match="delete the file"):
        read_tissue(path)
