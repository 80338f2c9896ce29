"""Colours through an ICC profile that is made here: one whose red and blue are swapped."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from napari_mhim.errors import SlideError
from napari_mhim.slide import open_slide

RNG = np.random.default_rng(2)
IMAGE = RNG.integers(0, 256, (120, 150, 3), dtype=np.uint8)


def swapped_profile() -> bytes:
    """Make an sRGB profile whose red and blue primaries have changed places."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(data[128:132], "big")
    places = {
        bytes(data[at : at + 4]): at + 4 for at in range(132, 132 + 12 * count, 12)
    }
    red, blue = places[b"rXYZ"], places[b"bXYZ"]
    data[red : red + 8], data[blue : blue + 8] = (
        data[blue : blue + 8],
        data[red : red + 8],
    )
    return bytes(data)


def written(path, icc: bytes):
    tifffile.imwrite(path, IMAGE, photometric="rgb", tile=(64, 64), iccprofile=icc)
    return path


def test_colours_come_out_as_the_profile_says(tmp_path):
    path = written(tmp_path / "a.tiff", swapped_profile())
    with open_slide(path, srgb=True) as slide:
        pixels = slide.levels[0].compute().astype(int)
    assert np.abs(pixels - IMAGE[..., ::-1]).max() <= 2


def test_they_are_those_of_pillow_read_whole(tmp_path):
    icc = swapped_profile()
    path = written(tmp_path / "a.tiff", icc)
    image = Image.fromarray(IMAGE)
    wanted = ImageCms.profileToProfile(
        image, io.BytesIO(icc), ImageCms.createProfile("sRGB"), renderingIntent=0
    )
    with open_slide(path, srgb=True) as slide:
        np.testing.assert_array_equal(slide.levels[0].compute(), np.asarray(wanted))


def test_colours_stay_the_scanners_unless_asked_for(tmp_path):
    icc = swapped_profile()
    with open_slide(written(tmp_path / "a.tiff", icc)) as slide:
        np.testing.assert_array_equal(slide.levels[0].compute(), IMAGE)
        assert slide.icc == icc


def test_a_damaged_profile_is_refused_only_where_it_is_needed(tmp_path):
    path = written(tmp_path / "a.tiff", b"no profile" * 20)
    with pytest.raises(SlideError, match="ICC profile cannot be used"):
        open_slide(path, srgb=True)
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.levels[0].compute(), IMAGE)
