import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from napari_mhim.errors import SlideError
from napari_mhim.slide import open_slide

RNG = np.random.default_rng(4)
IMAGE = RNG.integers(0, 256, (700, 530, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", ["png", "bmp"])
def test_lossless_pixels_come_back_exactly(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(IMAGE).save(path)
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.levels[0].compute(), IMAGE)
        assert slide.missing_tiles == 0


def test_a_jpeg_looks_as_in_pillow_and_its_name_means_nothing(tmp_path):
    path = tmp_path / "a.svs"
    Image.fromarray(IMAGE).save(path, format="JPEG", quality=90)
    with open_slide(path) as slide:
        wanted = np.asarray(Image.open(path, formats=("JPEG",)))
        np.testing.assert_array_equal(slide.levels[0].compute(), wanted)


@pytest.mark.parametrize("turn", range(2, 9))
def test_a_turned_picture_stands_upright(tmp_path, turn):
    path = tmp_path / "a.png"
    exif = Image.Exif()
    exif[274] = turn
    Image.fromarray(IMAGE).save(path, exif=exif, dpi=(50_800, 101_600))
    upright = {
        2: IMAGE[:, ::-1],
        3: IMAGE[::-1, ::-1],
        4: IMAGE[::-1],
        5: IMAGE.transpose(1, 0, 2),
        6: np.rot90(IMAGE, -1),
        7: np.rot90(IMAGE, 2).transpose(1, 0, 2),
        8: np.rot90(IMAGE),
    }[turn]
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.levels[0].compute(), upright)
        # x is half as coarse as y before it is turned
        wanted = (0.25, 0.5) if turn < 5 else (0.5, 0.25)
        assert slide.mpp == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize(
    ("dpi", "reason"), [((72, 72), "72 dots an inch"), (None, "no dots an inch")]
)
def test_a_screens_resolution_is_no_scale(tmp_path, dpi, reason):
    path = tmp_path / "a.png"
    Image.fromarray(IMAGE).save(path, **({"dpi": dpi} if dpi else {}))
    with open_slide(path) as slide:
        assert slide.mpp is None
        assert reason in slide.mpp_reason


@pytest.mark.parametrize("mode", ["L", "P", "1"])
def test_grey_and_palettes_become_rgb(tmp_path, mode):
    path = tmp_path / "a.png"
    image = Image.fromarray(IMAGE).convert(mode)
    image.save(path)
    with open_slide(path) as slide:
        wanted = np.asarray(image.convert("RGB"))
        np.testing.assert_array_equal(slide.levels[0].compute(), wanted)


def test_transparent_pixels_are_glass(tmp_path):
    path = tmp_path / "a.png"
    alpha = np.full(IMAGE.shape[:2], 255, np.uint8)
    alpha[:100] = 0
    Image.fromarray(np.dstack([IMAGE, alpha])).save(path)
    with open_slide(path) as slide:
        pixels = slide.levels[0].compute()
    assert (pixels[:100] == 255).all()
    np.testing.assert_array_equal(pixels[100:], IMAGE[100:])


@pytest.mark.parametrize(
    ("image", "name", "reason"),
    [
        (Image.fromarray(IMAGE[..., 0].astype(np.uint16)), "a.png", "I;16"),
        (Image.fromarray(IMAGE).convert("CMYK"), "a.jpg", "CMYK"),
    ],
)
def test_other_colours_are_refused_in_one_sentence(tmp_path, image, name, reason):
    image.save(tmp_path / name)
    with pytest.raises(SlideError, match=f"'{name}' cannot be opened: .*{reason}"):
        open_slide(tmp_path / name)


@pytest.mark.parametrize("side", [14_000, 60_000, 2_000_000_000])
def test_a_picture_too_large_is_refused_before_it_is_decoded(tmp_path, side):
    path = tmp_path / "a.png"
    head = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(100))
    chunks = [
        struct.pack(">I", len(one) - 4) + one + struct.pack(">I", zlib.crc32(one))
        for one in (head, data, b"IEND")
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    with pytest.raises(SlideError, match="million"):
        open_slide(path)


def test_a_picture_cut_short_is_refused(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(IMAGE).save(path)
    path.write_bytes(path.read_bytes()[:-30_000])
    with pytest.raises(SlideError, match="does not decode"):
        open_slide(path)


def test_a_closed_picture_says_so(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(IMAGE).save(path)
    slide = open_slide(path)
    level = slide.levels[0]
    slide.close()
    with pytest.raises(SlideError, match="closed"):
        level[:600, :600].compute()
