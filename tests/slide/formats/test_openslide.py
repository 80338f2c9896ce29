"""OpenSlide's formats, as far as files of them can be had or made."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from napari_mhim.errors import SlideError
from napari_mhim.slide import Slide, open_slide
from napari_mhim.slide.formats import openslide as part


@pytest.fixture
def dicom(test_data: Path) -> Path:
    found = sorted((test_data / "data" / "slides").rglob("CMU-1-Small-Region/*.dcm"))
    return found[0].parent if found else pytest.skip("no DICOM folder")


def test_a_folder_opens_like_any_of_its_files(dicom):
    first = sorted(dicom.glob("*.dcm"))[0]
    with open_slide(dicom) as whole, open_slide(first) as one:
        assert whole.name == dicom.name
        assert whole.shape == one.shape
        np.testing.assert_array_equal(whole.thumbnail(200), one.thumbnail(200))


def test_the_same_tissue_looks_the_same_through_both_readers(synthetic_slide):
    with open_slide(synthetic_slide.path) as ours:
        theirs = Slide(synthetic_slide.path, part.open_slide(synthetic_slide.path))
        with theirs:
            assert theirs.mpp == pytest.approx(ours.mpp)
            for mine, other in zip(ours.sources, theirs.sources, strict=True):
                a = mine.read(-5, 100, 600, 500).astype(int)
                assert np.abs(a - other.read(-5, 100, 600, 500)).max() <= 1


def test_a_handle_spoilt_by_one_tile_reads_the_others(dicom, tmp_path):
    largest = max(dicom.glob("*.dcm"), key=lambda path: path.stat().st_size)
    path = tmp_path / "hurt.dcm"
    data = bytearray(largest.read_bytes())
    # a frame begins with jpeg's start of image; one in the middle loses its tables
    middle = data.find(b"\xff\xd8\xff", len(data) // 2)
    data[middle : middle + 600] = bytes(600)
    path.write_bytes(data)
    with open_slide(path) as slide, open_slide(largest) as whole:
        rows, cols = slide.sources[0].tiles
        tiles = [(row, col) for row in range(rows) for col in range(cols)]
        differ = [
            tile
            for tile in tiles
            if not np.array_equal(
                slide.sources[0].tile_pixels(*tile), whole.sources[0].tile_pixels(*tile)
            )
        ]
        assert 0 < len(differ) < len(tiles)
        assert slide.missing_tiles == len(differ)


def test_a_folder_without_slides_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(SlideError, match="no DICOM"):
        open_slide(tmp_path)


def test_a_copied_file_keeps_its_fingerprint(dicom, tmp_path):
    shutil.copytree(dicom, tmp_path / "copy")
    with open_slide(dicom) as one, open_slide(tmp_path / "copy") as other:
        assert one.fingerprint == other.fingerprint
