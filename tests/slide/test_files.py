from pathlib import Path

import pytest

from napari_mhim.errors import SlideError
from napari_mhim.slide.files import slide_files


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes(b"")


def test_a_folder_gives_its_slides_by_name(tmp_path: Path) -> None:
    _touch(tmp_path, "b.SVS", "a.tif", "cohort.csv", "a.truth.json")
    assert slide_files([tmp_path]) == [str(tmp_path / n) for n in ("a.tif", "b.SVS")]


def test_a_folder_of_dicom_and_a_zarr_are_one_slide_each(tmp_path: Path) -> None:
    (tmp_path / "b.zarr" / "0").mkdir(parents=True)
    _touch(tmp_path / "b.zarr" / "0", "0.0.tif")
    _touch(tmp_path, "1.dcm", "2.dcm")
    assert slide_files([tmp_path]) == [str(tmp_path), str(tmp_path / "b.zarr")]
    assert slide_files([tmp_path / "b.zarr"]) == [str(tmp_path / "b.zarr")]


def test_a_web_address_stays_one(tmp_path: Path) -> None:
    address = "http://127.0.0.1:8000/a.zarr"
    assert slide_files([Path(address)]) == [address]


def test_a_file_named_by_itself_may_have_any_suffix(tmp_path: Path) -> None:
    _touch(tmp_path, "odd.bin")
    assert slide_files([tmp_path / "odd.bin"]) == [str(tmp_path / "odd.bin")]


def test_an_empty_folder_says_what_it_looked_for(tmp_path: Path) -> None:
    with pytest.raises(SlideError, match=r"holds no slide; known are \.svs"):
        slide_files([tmp_path])


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(SlideError, match="no file or folder"):
        slide_files([tmp_path / "gone"])
