from dataclasses import replace

import numpy as np
import pytest

from napari_mhim.phantom import PhantomConfig, pen, read_truth, render, write_phantom
from napari_mhim.slide import GridConfig, open_slide, patch_grid, tissue_mask

CONFIG = PhantomConfig(
    shape=(1100, 1700), mpp=(0.5, 0.45), easy=True, hard=True, pen=True, seed=8
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("phantom") / "case.tif"
    write_phantom(path, CONFIG)
    return path


def test_the_file_is_a_slide_with_its_unequal_mpp(path) -> None:
    with open_slide(path) as slide:
        assert slide.shape == CONFIG.shape
        assert slide.mpp == pytest.approx(CONFIG.mpp, rel=1e-3)
        assert max(slide.levels[-1].shape) <= 1024


def test_the_pixels_are_those_rendered_but_for_jpeg(path) -> None:
    with open_slide(path) as slide:
        read = slide.read_region(0, 0, *CONFIG.shape).astype(int)
    error = np.abs(read - render(CONFIG).rgb.astype(int))
    assert error.mean() < 6


def test_the_truth_beside_it_is_that_of_the_pixels(path) -> None:
    written, rendered = read_truth(path), render(CONFIG).truth
    same = written.label_image(2) == rendered.label_image(2)
    assert same.mean() > 0.999
    assert written.made_from["seed"] == CONFIG.seed


@pytest.mark.parametrize("ink", range(len(pen.INKS)))
def test_the_tissue_mask_finds_the_tissue_and_leaves_out_the_pen(
    ink, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(pen, "INKS", pen.INKS[ink : ink + 1])
    # on a smaller slide the pen would be finer than any is
    config = PhantomConfig(shape=(1100, 1300), pen=True, seed=5)
    write_phantom(tmp_path / "pen.tif", config)
    with open_slide(tmp_path / "pen.tif") as slide:
        found = tissue_mask(slide)
    clean, drawn = render(replace(config, pen=False)).rgb, render(config).rgb
    y, x = (
        ((np.arange(n) + 0.5) * px).astype(int).clip(0, size - 1)
        for n, px, size in zip(found.mask.shape, found.px, config.shape, strict=True)
    )
    at = np.ix_(y, x)
    is_tissue = clean[at].min(axis=2) < 215
    is_pen = (drawn[at] != clean[at]).any(axis=2)
    assert found.mask[is_tissue & ~is_pen].mean() > 0.9
    # ink over tissue may look like either
    assert found.mask[is_pen & ~is_tissue].mean() < 0.1


def test_every_lesion_lies_on_patches_of_the_grid(path) -> None:
    with open_slide(path) as slide:
        cut = patch_grid(
            slide.shape, slide.mpp, tissue_mask(slide), GridConfig(0.5, 128)
        )
    labels = read_truth(path).patch_labels(cut, least_share=0.1)
    assert {0, 1, 2} == set(labels.tolist())
