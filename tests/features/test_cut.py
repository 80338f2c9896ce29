from pathlib import Path

import h5py
import numpy as np
import pytest
from made_slides import write_slide

import napari_mhim
from napari_mhim.errors import FeatureMismatchError
from napari_mhim.events import Progress
from napari_mhim.features._part import part_path
from napari_mhim.features.config import ExtractConfig
from napari_mhim.features.cut import Cut
from napari_mhim.features.extract import ExtractDone, extract
from napari_mhim.features.store import FeatureStore
from napari_mhim.slide import GridConfig, TissueConfig, open_slide
from napari_mhim.slide.tissue_file import as_text, write_tissue

CONFIG = ExtractConfig(
    mpp=1.0, patch_model_px=32, batch_size=4, threads=1, device="cpu"
)
DENSE = TissueConfig(density=0.45)


@pytest.fixture(scope="module")
def slide(tmp_path_factory) -> Path:
    return write_slide(tmp_path_factory.mktemp("slides") / "case-07.tiff")


@pytest.fixture
def store_path(slide, tmp_path) -> Path:
    path = tmp_path / "a.h5"
    list(extract(slide, path, CONFIG))
    return path


def n_patches(path: Path) -> int:
    with FeatureStore.open(path) as store:
        return len(store)


def test_a_store_says_what_was_left_out(store_path):
    with FeatureStore.open(store_path) as store:
        assert store.meta.tissue == as_text(TissueConfig())


def test_other_settings_that_find_the_same_tissue_are_no_mismatch(slide, store_path):
    *_, done = extract(slide, store_path, CONFIG, TissueConfig(leave_out_folds=False))
    assert done.skipped


def test_other_patches_are_refused_in_one_sentence(slide, store_path):
    before = store_path.read_bytes()
    with pytest.raises(FeatureMismatchError, match=r"density auto, not 0\.45.*--renew"):
        list(extract(slide, store_path, CONFIG, DENSE))
    assert store_path.read_bytes() == before


def test_or_made_anew_when_that_is_asked_for(slide, store_path):
    before = n_patches(store_path)
    *_, done = extract(slide, store_path, CONFIG, DENSE, True)
    assert not done.skipped
    assert n_patches(store_path) == done.n_patches < before
    *_, again = extract(slide, store_path, CONFIG, DENSE)
    assert again.skipped


def test_the_old_features_stay_until_the_new_are_whole(slide, store_path):
    before = n_patches(store_path)
    for event in extract(slide, store_path, CONFIG, DENSE, True):
        if isinstance(event, Progress) and event.done:
            break
    assert part_path(store_path).exists()
    assert n_patches(store_path) == before
    # and rows of those settings are in the way of no third ones
    other = TissueConfig(density=0.4)
    *_, done = extract(slide, store_path, CONFIG, other, True)
    assert isinstance(done, ExtractDone)
    assert n_patches(store_path) == done.n_patches


def test_what_is_saved_with_the_slide_counts(slide, tmp_path):
    saved = tmp_path / "case-07.json"
    with open_slide(slide) as opened:
        write_tissue(saved, DENSE, opened.fingerprint)
    list(extract(slide, tmp_path / "b.h5", CONFIG, saved))
    with FeatureStore.open(tmp_path / "b.h5") as store:
        assert store.meta.tissue == as_text(DENSE)


def test_features_from_before_settings_were_noted_are_taken(slide, store_path):
    with h5py.File(store_path, "r+") as file:
        del file.attrs["mhim_tissue"]
    *_, done = extract(slide, store_path, CONFIG)
    assert done.skipped
    with pytest.raises(FeatureMismatchError, match="not noted"):
        list(extract(slide, store_path, CONFIG, DENSE))


@pytest.mark.parametrize("name", ["both", "hard", "negative"])
def test_the_shipped_sample_is_cut_as_it_was(name):
    folder = Path(napari_mhim.__file__).parent / "sample"
    with (
        FeatureStore.open(folder / f"{name}.features.h5") as store,
        open_slide(folder / f"{name}.tiff") as slide,
    ):
        grid = GridConfig(
            store.grid.mpp,
            store.grid.patch_model_px,
            store.overlap,
            store.meta.min_tissue,
        )
        cut = Cut(slide, store.slide_mpp, grid, TissueConfig())
        np.testing.assert_array_equal(cut.grid().cells, store.grid.cells)
