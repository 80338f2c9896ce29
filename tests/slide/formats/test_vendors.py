"""Makers of whom no real file is at hand: files in their structure, written here."""

import re
import struct

import numpy as np
import openslide
import pytest
import vendors
from vendors import RGB

from napari_mhim.errors import SlideError
from napari_mhim.slide import open_slide
from napari_mhim.slide.opening import fingerprint

WRITERS = {
    "leica": (vendors.scn, "a.scn"),
    "philips": (vendors.philips, "a.tiff"),
    "trestle": (vendors.trestle, "a.tif"),
    "ventana": (vendors.bif, "a.bif"),
    "mirax": (vendors.mirax, "a.mrxs"),
    "perkinelmer-qptiff": (vendors.qptiff, "a.qptiff"),
}


@pytest.fixture(params=WRITERS)
def vendor(request, tmp_path):
    write, name = WRITERS[request.param]
    write(tmp_path / name)
    return request.param, tmp_path / name


def test_tissue_lies_in_the_scanned_bounds_as_it_was_written(vendor):
    with open_slide(vendor[1]) as slide:
        y, x, height, width = slide.bounds
        assert (height, width) == RGB.shape[:2]
        pixels = slide.read_region(y, x, height, width).astype(int)
    assert np.abs(pixels - RGB).mean() < 3


def test_scale_power_and_maker_are_known(vendor):
    with open_slide(vendor[1]) as slide:
        assert slide.vendor == vendor[0]
        assert slide.mpp == pytest.approx((0.5, 0.5))
        # philips keeps it in an element of its own
        assert slide.objective_power == (None if vendor[0] == "philips" else 20)
        assert slide.scenes == ("",)


def test_the_coarser_level_shows_the_same(vendor):
    with open_slide(vendor[1]) as slide:
        y, x, height, width = (n // 2 for n in slide.bounds)
        assert slide.sources[1].downsample == pytest.approx((2, 2))
        pixels = slide.sources[1].read(y, x, height, width).astype(int)
    assert np.abs(pixels - RGB[::2, ::2]).mean() < 3


def test_pixels_are_openslides_where_it_reads_the_file(vendor):
    if openslide.OpenSlide.detect_format(vendor[1]) is None:
        pytest.skip("OpenSlide does not know it")
    with open_slide(vendor[1]) as slide, openslide.OpenSlide(vendor[1]) as other:
        y, x, *_ = slide.bounds
        theirs = np.asarray(other.read_region((x, y), 0, (500, 400)))[..., :3]
        np.testing.assert_array_equal(slide.read_region(y, x, 400, 500), theirs)


def test_miraxs_photographs_lie_where_it_says_and_the_rest_is_glass(tmp_path):
    vendors.mirax(tmp_path / "a.mrxs")
    with open_slide(tmp_path / "a.mrxs") as slide:
        assert slide.shape == (256 + 8 * 192, 256 + 12 * 160)
        assert slide.bounds == (2 * 192, 2 * 160, 1024, 1536)
        pixels = slide.levels[0].compute()
        assert (pixels[:384] == 255).all()
        assert (pixels[:, :320] == 255).all()
        assert slide.missing_tiles == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HIER_0_COUNT", 10**9),
        ("FILE_COUNT", 10**9),
        ("IMAGENUMBER_Y", 10**8),
        ("DIGITIZER_WIDTH", 100_000),
    ],
)
def test_a_mirax_that_asks_for_all_memory_is_refused(tmp_path, name, value):
    # glib ends the program where it gets none
    vendors.mirax(tmp_path / "a.mrxs")
    place = tmp_path / "a" / "Slidedat.ini"
    text = place.read_text(encoding="utf-8-sig")
    said = re.sub(rf"(?m)^{name} = .*$", f"{name} = {value}", text)
    place.write_text(said, encoding="utf-8-sig")
    with pytest.raises(SlideError, match=str(value)):
        open_slide(tmp_path / "a.mrxs")


def test_a_record_of_a_mirax_beyond_its_file_is_refused(tmp_path):
    vendors.mirax(tmp_path / "a.mrxs")
    place = tmp_path / "a" / "Index.dat"
    index, frame = place.read_bytes(), 9 * 13
    size = struct.pack("<i", 9 * frame)
    assert index.count(size) == 1
    place.write_bytes(index.replace(size, struct.pack("<i", 2**31 - 1)))
    with pytest.raises(SlideError, match="2147483647 bytes"):
        open_slide(tmp_path / "a.mrxs")


@pytest.mark.parametrize("name", ["../a.mrxs", "a\0b", "nowhere.dat"])
def test_a_mirax_names_files_of_its_own_folder_only(tmp_path, name):
    vendors.mirax(tmp_path / "a.mrxs")
    place = tmp_path / "a" / "Slidedat.ini"
    text = place.read_text(encoding="utf-8-sig")
    place.write_text(text.replace("Index.dat", name), encoding="utf-8-sig")
    with pytest.raises(SlideError):
        open_slide(tmp_path / "a.mrxs")


def test_a_mirax_without_its_folder_says_so(tmp_path):
    vendors.mirax(tmp_path / "a.mrxs")
    (tmp_path / "a").rename(tmp_path / "b")
    with pytest.raises(SlideError, match=r"folder 'a' beside it.*copy it along"):
        open_slide(tmp_path / "a.mrxs")


def test_two_mirax_slides_of_one_small_picture_are_two(tmp_path):
    for name in "ab":
        vendors.mirax(tmp_path / f"{name}.mrxs")
    place = tmp_path / "b" / "Slidedat.ini"
    place.write_bytes(place.read_bytes() + b"[MORE]\nSCANNED = later\n")
    with open_slide(tmp_path / "a.mrxs") as a, open_slide(tmp_path / "b.mrxs") as b:
        assert a.fingerprint != b.fingerprint
        assert a.fingerprint == fingerprint(tmp_path / "a.mrxs")


def test_label_and_macro_of_a_qptiff_are_no_levels(tmp_path):
    vendors.qptiff(tmp_path / "a.qptiff")
    with open_slide(tmp_path / "a.qptiff") as slide:
        assert slide.associated == ("label", "macro", "thumbnail")
        assert slide.associated_image("label").shape == (400, 300, 3)
        assert [source.shape[0] for source in slide.sources] == [1024, 512, 256]


def test_the_macro_of_leicas_is_beside_the_slide(tmp_path):
    vendors.scn(tmp_path / "a.scn")
    with open_slide(tmp_path / "a.scn") as slide:
        assert slide.associated == ("macro",)
        assert slide.shape == (2400, 4000)
        assert slide.bounds == (400, 200, 1024, 1536)


@pytest.mark.parametrize("areas", [1, 2])
def test_glass_that_was_not_scanned_is_white_and_no_loss(tmp_path, areas):
    vendors.scn(tmp_path / "a.scn", areas)
    with open_slide(tmp_path / "a.scn") as slide:
        pixels = slide.levels[0].compute()
        assert (pixels[:400] == 255).all()
        assert (pixels[1500:1700] == 255).all()
        slide.levels[-1].compute()
        assert slide.missing_tiles == 0


def test_two_areas_lie_on_one_plane_as_on_the_glass(tmp_path):
    vendors.scn(tmp_path / "a.scn", areas=2)
    with open_slide(tmp_path / "a.scn") as slide:
        assert slide.bounds == (400, 200, 1656, 3312)
        assert "2 areas" in slide.notes[0]
        second = slide.read_region(1800, 3000, 256, 512).astype(int)
    assert np.abs(second - RGB[:256, :512]).mean() < 3
