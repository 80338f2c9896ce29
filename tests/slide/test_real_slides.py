"""Every real slide that lies in the test data, found by listing it."""

import re
from pathlib import Path

import numpy as np
import openslide
import pytest

from napari_mhim.errors import SlideError
from napari_mhim.slide import Slide, TissueConfig, open_slide, tissue_mask

WINDOW = 300


def opened(path: Path) -> Slide:
    try:
        return open_slide(path)
    except SlideError as err:
        pytest.skip(str(err))


def by_openslide(path: Path) -> openslide.OpenSlide:
    try:
        return openslide.OpenSlide(path)
    except openslide.OpenSlideError as err:
        pytest.skip(f"OpenSlide does not read it: {err}")


def corners(rng: np.random.Generator, shape: tuple[int, int], step: float):
    """Corners whose place on level 0 is whole, since OpenSlide asks for that one."""
    last = [max(n - WINDOW // 2, 1) for n in shape]
    tried = [(0, 0), *(tuple(rng.integers(0, last)) for _ in range(20))]
    tried.append((last[0] - 1, last[1] - 1))
    whole = [c for c in tried if all((n * step) % 1 == 0 for n in map(int, c))]
    return [(int(y), int(x)) for y, x in whole[:4] + whole[-1:]]


# what is no slide, or not one of ours: everything else that lies there has to open
REFUSED = ("broken", "test_orient6.tif")


def test_only_what_is_known_to_be_none_is_refused(real_slide: Path):
    if any(name in real_slide.parts for name in REFUSED):
        with pytest.raises(SlideError):
            open_slide(real_slide)
    else:
        with open_slide(real_slide) as slide:
            assert slide.levels[-1].compute().size


def test_opens_or_says_why_not_in_one_sentence(real_slide: Path):
    try:
        with open_slide(real_slide) as slide:
            assert max(slide.levels[-1].shape) <= 1024
            assert slide.levels[0].shape == (*slide.shape, 3)
            assert (slide.mpp is None) == bool(slide.mpp_reason)
            assert len(slide.fingerprint) == 64
    except SlideError as err:
        text = str(err)
        assert real_slide.name in text
        assert str(real_slide.parent) not in text
        assert "\n" not in text
        assert len(text) < 400


def test_pixels_equal_those_of_openslide(real_slide: Path):
    rng = np.random.default_rng(3)
    with opened(real_slide) as slide, by_openslide(real_slide) as other:
        assert [source.shape[::-1] for source in slide.sources] == list(
            other.level_dimensions
        )
        for level, source in enumerate(slide.sources):
            step = other.level_downsamples[level]
            for y, x in corners(rng, source.shape, step):
                place = (round(x * step), round(y * step))
                rgba = np.asarray(other.read_region(place, level, (WINDOW, WINDOW)))
                share = rgba[..., 3:] / 255
                wanted = rgba[..., :3] * share + 255 * (1 - share)
                ours = source.read(y, x, WINDOW, WINDOW)
                assert np.abs(ours - wanted).max() <= 1


def test_a_level_of_dask_equals_the_region_read_whole(real_slide: Path):
    with opened(real_slide) as slide:
        for index, level in enumerate(slide.levels):
            height, width = (min(n, 1500) for n in level.shape[:2])
            y, x = (n - m for n, m in zip(level.shape, (height, width), strict=False))
            by_chunks = level[y:, x:].compute()
            np.testing.assert_array_equal(
                by_chunks, slide.read_region(y, x, height, width, index)
            )


def test_associated_pictures_decode(real_slide: Path):
    with opened(real_slide) as slide:
        for name in slide.associated:
            picture = slide.associated_image(name)
            assert picture.dtype == np.uint8
            assert picture.ndim == 3
            assert picture.shape[2] == 3


def test_tissue_mask_covers_the_slide(real_slide: Path):
    with opened(real_slide) as slide:
        tissue = tissue_mask(slide, TissueConfig(max_px=256))
        covered = np.asarray(tissue.mask.shape) * np.asarray(tissue.px)
        np.testing.assert_allclose(covered, slide.shape)


@pytest.mark.parametrize("kept", [3, 20, 0.01, 0.3, 0.6, 0.9, 0.999])
def test_a_file_cut_short_is_refused_in_one_sentence(real_slide, kept, tmp_path):
    if real_slide.is_dir():
        pytest.skip("a folder")
    whole = real_slide.read_bytes()
    length = kept if isinstance(kept, int) else int(len(whole) * kept)
    cut = tmp_path / f"cut{real_slide.suffix}"
    cut.write_bytes(whole[:length])
    with pytest.raises(SlideError, match=re.escape(cut.name)) as caught:
        open_slide(cut)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
