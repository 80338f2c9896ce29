"""Bags: what they refuse, and that they come from the store of the right slide."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_bags import CLASSES, make_bag, make_grid

from napari_mhim.errors import FeatureMismatchError, StoreError
from napari_mhim.features.store import StoreMeta, StoreWriter
from napari_mhim.mil.bags import Bag, is_finite, read_bag
from napari_mhim.mil.cohort import CohortRow


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    bag = make_bag(4, 1, n=9)
    path = tmp_path / "slide-04.h5"
    meta = StoreMeta(
        slide_name=bag.name,
        fingerprint=bag.fingerprint,
        slide_shape=bag.slide_shape,
        slide_mpp=(0.25, 0.2),
        encoder_id=bag.encoder_id,
        dim=bag.dim,
        grid=make_grid(9),
    )
    with StoreWriter(path, meta) as writer:
        writer.append(np.arange(9), bag.features)
        writer.finish()
    return path


def test_a_bag_holds_what_the_store_says(store_path: Path) -> None:
    row = CohortRow("slide-04", "/slides/a.svs", "tumour", "p4", "train")
    bag, made = read_bag(store_path, row, CLASSES), make_bag(4, 1, n=9)
    np.testing.assert_allclose(bag.features, made.features, atol=2e-3)
    np.testing.assert_array_equal(bag.grid.corners, made.grid.corners)
    assert (bag.label, bag.patient, bag.path) == (1, "p4", "/slides/a.svs")
    assert (bag.name, bag.encoder_id) == (made.name, made.encoder_id)
    assert bag.fingerprint == made.fingerprint
    assert (bag.slide_shape, bag.slide_mpp) == (made.slide_shape, made.slide_mpp)


def test_a_bag_without_a_row_has_no_label(store_path: Path) -> None:
    assert read_bag(store_path).label is None


def test_features_of_another_slide_are_refused(store_path: Path) -> None:
    with pytest.raises(FeatureMismatchError, match=r"slide 'slide-04', .*'slide-05'"):
        read_bag(store_path, CohortRow("slide-05", label="normal"), CLASSES)


def test_a_missing_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        read_bag(tmp_path / "none.h5")


def test_stored_nan_names_the_slide(store_path: Path) -> None:
    import h5py

    with h5py.File(store_path, "r+") as file:
        file["features"][3, 1] = np.nan
    with pytest.raises(StoreError, match="features of slide 'slide-04' hold NaN"):
        read_bag(store_path)


def test_an_empty_bag_is_refused() -> None:
    with pytest.raises(FeatureMismatchError, match="at least one patch"):
        Bag("empty", np.zeros((0, 4), np.float32))


def test_rows_and_positions_must_be_as_many() -> None:
    with pytest.raises(FeatureMismatchError, match="60 feature rows and 5 patch"):
        replace(make_bag(0, 0), grid=make_grid(5))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_bad_number_is_seen(value: float) -> None:
    features = np.ones((5, 3), np.float32)
    assert is_finite(features)
    features[2, 1] = value
    assert not is_finite(features)


def test_large_features_are_finite() -> None:
    assert is_finite(np.full((50, 3), 3e38, np.float32))
