"""DICOM slides, as far as real ones lie there."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from napari_mhim.errors import SlideError
from napari_mhim.slide import open_slide
from napari_mhim.slide.formats._dicom_frames import refuse_stray_frames


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


def test_a_table_of_frames_that_points_astray_is_refused(dicom, tmp_path):
    shutil.copytree(dicom, tmp_path / "hurt", copy_function=shutil.copyfile)
    largest = max((tmp_path / "hurt").glob("*.dcm"), key=lambda p: p.stat().st_size)
    data = bytearray(largest.read_bytes())
    # libdicom would follow it beyond the file, and take the whole program along
    table = data.find(b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff") + 12 + 8
    data[table + 40 : table + 48] = b"\xff" * 8
    largest.write_bytes(data)
    for path in (tmp_path / "hurt", largest):
        with pytest.raises(SlideError, match="table of frames"):
            open_slide(path)


def test_each_series_of_a_folder_is_a_scene(dicom, tmp_path):
    for member in dicom.glob("*.dcm"):
        shutil.copyfile(member, tmp_path / member.name)
    other = sorted(dicom.parent.glob("*.dcm"))[0]
    shutil.copyfile(other, tmp_path / f"z{other.name}")
    with open_slide(dicom) as one, open_slide(tmp_path) as both:
        assert both.scenes == ("series 1", "series 2")
        assert both.shape == one.shape
        assert "1 'series 2'" in both.notes[0]
    with open_slide(tmp_path, scene=1) as slide, open_slide(other) as alone:
        np.testing.assert_array_equal(slide.thumbnail(99), alone.thumbnail(99))


PIXELS = b"\xe0\x7f\x10\x00OB\0\0"
ITEM, END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0" + bytes(4)
WRAPPED = PIXELS + b"\xff" * 4


def item(data: bytes) -> bytes:
    return ITEM + len(data).to_bytes(4, "little") + data


def table(*places: int) -> bytes:
    return item(b"".join(place.to_bytes(4, "little") for place in places))


FRAMES = item(b"abcd") + item(b"efghij") + END


@pytest.mark.parametrize(
    "tail",
    [
        WRAPPED + table(0, 12) + FRAMES,
        WRAPPED + table() + FRAMES,
        PIXELS + (6).to_bytes(4, "little") + b"abcdef",
        b"",
    ],
    ids=["table", "no table", "not wrapped", "no pixels"],
)
@pytest.mark.parametrize("before", [200, (1 << 20) - 5])
def test_frames_that_lie_where_the_file_says_are_let_through(tmp_path, tail, before):
    (tmp_path / "a.dcm").write_bytes(bytes(before) + tail)
    refuse_stray_frames(tmp_path / "a.dcm")


@pytest.mark.parametrize(
    ("tail", "reason"),
    [
        (WRAPPED + table(0, 13) + FRAMES, "names places"),
        (WRAPPED + table(0, 2**32 - 1) + FRAMES, "names places"),
        (WRAPPED + item(b"123") + FRAMES, "table of frames is damaged"),
        (WRAPPED + table(0, 12) + FRAMES[:-8], "cut short"),
        (WRAPPED + table(0, 12) + b"x" + FRAMES, "damaged"),
        (WRAPPED + table(0) + ITEM + b"\xff\xff\xff\x7f" + END, "damaged"),
        (PIXELS + (7).to_bytes(4, "little") + b"abcdef", "cut short"),
    ],
)
@pytest.mark.parametrize("before", [200, (1 << 20) - 5])
def test_frames_that_lie_elsewhere_are_refused(tmp_path, tail, reason, before):
    (tmp_path / "a.dcm").write_bytes(bytes(before) + tail)
    with pytest.raises(SlideError, match=reason):
        refuse_stray_frames(tmp_path / "a.dcm")
