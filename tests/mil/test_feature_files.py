"""Features of other programs: every layout gives the same bag, bad files one sentence."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from made_bags import CLASSES

from napari_mhim.errors import CohortError, MhimError, StoreError
from napari_mhim.mil.cohort import CohortRow
from napari_mhim.mil.feature_files import read_folder

FEATURES = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
ROW = CohortRow("case-1", label="tumour", patient="p1")


def _write_trident(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["features"] = FEATURES
        file["features"].attrs["encoder"] = "uni_v1"
        file["coords"] = np.zeros((7, 2), int)


def _write_batched(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["features"] = FEATURES[None]


@pytest.mark.parametrize(
    ("name", "write", "encoder"),
    [
        ("case-1.h5", _write_trident, "uni_v1"),
        ("case-1.h5", _write_batched, ""),
        ("case-1.npy", lambda path: np.save(path, FEATURES), ""),
        ("case-1.pt", lambda path: torch.save(torch.from_numpy(FEATURES), path), ""),
    ],
)
def test_every_layout_gives_the_same_bag(
    tmp_path: Path, name: str, write, encoder: str
) -> None:
    write(tmp_path / name)
    bag = read_folder(tmp_path, [ROW], CLASSES)["case-1"]
    np.testing.assert_array_equal(bag.features, FEATURES)
    assert (bag.label, bag.patient, bag.grid) == (1, "p1", None)
    assert bag.encoder_id == encoder


def test_slides_without_a_file_are_counted_and_named(tmp_path: Path) -> None:
    np.save(tmp_path / "case-1.npy", FEATURES)
    rows = [ROW, CohortRow("case-10", label="normal"), CohortRow("a", label="normal")]
    with pytest.raises(CohortError, match=r"2 of 3 slides have no features .*case-10"):
        read_folder(tmp_path, rows, CLASSES)


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros(5), r"must be \(patches, numbers\)"),
        (np.zeros((0, 5)), "at least one patch"),
        (np.full((3, 5), np.nan), "hold NaN"),
        (np.full((3, 5), np.inf), "hold NaN or infinite"),
        (np.array([["a", "b"]]), "cannot be read"),
    ],
)
def test_what_are_no_features_is_refused(tmp_path: Path, array, sentence: str) -> None:
    np.save(tmp_path / "case-1.npy", array)
    with pytest.raises(MhimError, match=sentence):
        read_folder(tmp_path, [ROW], CLASSES)


@pytest.mark.parametrize("suffix", [".h5", ".npy", ".pt"])
def test_a_damaged_file_is_named(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"case-1{suffix}").write_bytes(b"\x80no features")
    with pytest.raises(StoreError, match=r"case-1\.\w+' cannot be read"):
        read_folder(tmp_path, [ROW], CLASSES)


def test_a_pickle_that_is_no_tensor_is_refused(tmp_path: Path) -> None:
    torch.save({"features": torch.zeros(2, 2)}, tmp_path / "case-1.pt")
    with pytest.raises(StoreError, match="must hold one tensor, got dict"):
        read_folder(tmp_path, [ROW], CLASSES)
    torch.save(Path, tmp_path / "case-1.pt")
    with pytest.raises(StoreError, match="cannot be read"):
        read_folder(tmp_path, [ROW], CLASSES)
