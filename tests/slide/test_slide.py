import subprocess
import sys
from itertools import pairwise

import dask
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_mhim.errors import SlideError
from napari_mhim.slide import Slide, fingerprint, open_slide, write_pyramid
from napari_mhim.slide.cache import TileCache
from napari_mhim.slide.formats._tiff_page import _Segments
from napari_mhim.slide.levels import dask_level, nominal_downsample, pyramid
from napari_mhim.slide.slide import SlideFile
from napari_mhim.slide.source import NativeLevel

RNG = np.random.default_rng(0)


def level_of(image: np.ndarray, tile=(64, 48), seen: list | None = None) -> NativeLevel:
    """Serve an image as a level of tiles; ``seen`` gathers those asked for."""

    def decode(row: int, col: int) -> np.ndarray:
        if seen is not None:
            seen.append((row, col))
        y, x = row * tile[0], col * tile[1]
        return image[y : y + tile[0], x : x + tile[1]].copy()

    return NativeLevel(image.shape[:2], tile, decode)


def slide_of(tmp_path, *images: np.ndarray, **options) -> Slide:
    path = tmp_path / "none.tiff"
    path.touch()
    levels = [level_of(image, **options) for image in images]
    return Slide(path, SlideFile(levels, lambda: None), TileCache(1 << 24))


IMAGE = RNG.integers(0, 256, (333, 517, 3), dtype=np.uint8)
LEVEL = pyramid([level_of(IMAGE)], TileCache(1 << 20), -1, set())[0][0]


@given(
    st.integers(-400, 700),
    st.integers(-600, 900),
    st.integers(0, 400),
    st.integers(0, 600),
)
def test_any_region_equals_the_padded_image(y, x, height, width):
    padded = np.pad(IMAGE, ((400, 900), (600, 1100), (0, 0)), constant_values=255)
    wanted = padded[y + 400 : y + 400 + height, x + 600 : x + 600 + width]
    np.testing.assert_array_equal(LEVEL.read(y, x, height, width), wanted)


@pytest.mark.parametrize("shape", [(333, 517), (1, 700), (64, 48), (1023, 5)])
def test_a_halved_level_is_the_mean_of_what_it_covers(tmp_path, shape):
    image = RNG.integers(0, 256, (*shape, 3), dtype=np.uint8)
    large = np.repeat(np.repeat(image, 4, 0), 4, 1)
    with slide_of(tmp_path, large, large[::4, ::4]) as slide:
        assert len(slide.sources) == 2
        between = slide.levels[1].compute()
    np.testing.assert_array_equal(between, np.repeat(np.repeat(image, 2, 0), 2, 1))


def test_a_halved_level_rounds_the_mean(tmp_path):
    with slide_of(tmp_path, IMAGE[:, :, :], IMAGE[::4, ::4]) as slide:
        between = slide.levels[1].compute().astype(float)
    assert between.shape == (167, 259, 3)
    even = IMAGE[:332, :516].astype(float).reshape(166, 2, 258, 2, 3).mean((1, 3))
    assert np.abs(between[:166, :258] - even).max() <= 0.5
    np.testing.assert_array_equal(between[166, 258], IMAGE[332, 516])


@given(st.integers(1, 9000), st.integers(1, 9000))
def test_a_pyramid_halves_down_to_a_small_level(height, width):
    native = NativeLevel((height, width), (256, 256), lambda *_: None)
    levels = [level for level, _ in pyramid([native], TileCache(1), 0, set())]
    assert max(levels[-1].shape) <= 1024
    for fine, coarse in pairwise(levels):
        assert max(fine.shape) > 1024
        assert coarse.shape == tuple(-(-n // 2) for n in fine.shape)


@pytest.mark.parametrize("factor", [2, 4, 16, 32])
@pytest.mark.parametrize("rounding", ["down", "up"])
def test_a_rounded_level_has_a_whole_downsample(factor, rounding):
    full = (46_000 + 3, 32_914 + 1)
    shape = [n // factor if rounding == "down" else -(-n // factor) for n in full]
    assert nominal_downsample(full, tuple(shape)) == (factor, factor)


def test_a_downsample_that_is_no_whole_number_stays_a_fraction():
    assert nominal_downsample((1000, 1500), (400, 600)) == (2.5, 2.5)


@pytest.mark.parametrize(
    ("shape", "tile", "chunk"),
    [
        ((5000, 7000), (240, 256), (1200, 1024)),
        ((5000, 160_000), (240, 512), (2160, 2048)),
        ((5000, 9000), (64, 9000), (1024, 1024)),
    ],
)
def test_chunks_are_whole_tiles_and_not_small(shape, tile, chunk):
    native = NativeLevel(shape, tile, lambda *_: None)
    source = pyramid([native], TileCache(1), 0, set())[0][0]
    assert dask_level(source, shape).chunksize == (*chunk, 3)


def test_opening_and_a_corner_decode_few_tiles(test_data, monkeypatch):
    found = sorted((test_data / "data" / "slides").rglob("yb10kx5k.zstd.tiff"))
    path = found[0] if found else pytest.skip("no such slide")
    tiles = []
    decoded = _Segments._decoded

    def counted(self, data, place):
        tiles.append(place)
        return decoded(self, data, place)

    monkeypatch.setattr(_Segments, "_decoded", counted)
    with open_slide(path) as slide:
        # one tile of each of its five levels, to see that they decode
        assert len(tiles) == 5
        slide.levels[0][:900, :900].compute()
        assert len(tiles) == 6
        slide.levels[-1].compute()
        assert len(tiles) == 7
        slide.read_region(100, 100, 500, 500)
        assert len(tiles) == 7


def test_a_large_file_of_one_level_is_not_read_on_opening(tmp_path):
    seen = []
    image = np.zeros((5000, 6000, 3), np.uint8)
    with slide_of(tmp_path, image, tile=(512, 512), seen=seen) as slide:
        assert [level.shape[0] for level in slide.levels] == [5000, 2500, 1250, 625]
        assert seen == []
        slide.levels[1][:400, :400].compute()
        assert set(seen) == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_the_coarsest_level_of_a_large_file_reads_each_tile_once(tmp_path):
    seen = []
    image = RNG.integers(0, 255, (3000, 4100, 3), dtype=np.uint8)
    with slide_of(tmp_path, image, tile=(512, 512), seen=seen) as slide:
        slide.levels[-1].compute()
    assert len(seen) == len(set(seen)) == 6 * 9


def test_panning_within_a_chunk_costs_one_key(tmp_path):
    with slide_of(tmp_path, np.zeros((5000, 6000, 3), np.uint8)) as slide:
        view = slide.levels[0][:500, :500]
        assert len(dask.optimize(view)[0].__dask_graph__()) <= 2


def test_levels_can_be_read_by_many_threads(synthetic_slide):
    with open_slide(synthetic_slide.path) as slide:
        with dask.config.set(scheduler="threads", num_workers=8):
            by_threads = [level.compute() for level in slide.levels]
        for index, pixels in enumerate(by_threads):
            wanted = slide.read_region(0, 0, *pixels.shape[:2], index)
            np.testing.assert_array_equal(pixels, wanted)


def test_thumbnail_keeps_the_shape_and_the_limit(synthetic_slide):
    with open_slide(synthetic_slide.path) as slide:
        picture = slide.thumbnail(300)
        assert picture.shape == (190, 300, 3)
        assert slide.thumbnail(5000).shape == (1310, 2070, 3)
    step = 2070 / 300
    y, x = np.mgrid[:190, :300]
    inside = synthetic_slide.tissue[(y * step).astype(int), (x * step).astype(int)]
    assert picture[~inside].mean() > 230
    assert picture[inside].mean() < 200


def test_a_closed_slide_says_so_and_can_be_closed_again(synthetic_slide):
    slide = open_slide(synthetic_slide.path)
    level = slide.levels[0]
    slide.close()
    slide.close()
    with pytest.raises(SlideError, match="closed"):
        slide.read_region(0, 0, 10, 10)
    with pytest.raises(SlideError, match="closed"):
        level[:10, :10].compute()


@pytest.mark.parametrize(
    "arguments", [(0, 0, 9, 9, 99), (0, 0, 9, 9, -1), (0, 0, -9, 9, 0)]
)
def test_a_region_that_cannot_be_is_refused(synthetic_slide, arguments):
    with open_slide(synthetic_slide.path) as slide, pytest.raises(SlideError):
        slide.read_region(*arguments)


def test_an_unknown_picture_names_those_there_are(synthetic_slide):
    none = pytest.raises(SlideError, match="there are: none")
    with open_slide(synthetic_slide.path) as slide, none:
        slide.associated_image("label")


def test_the_name_is_the_file_name_without_its_suffix(synthetic_slide):
    with open_slide(str(synthetic_slide.path)) as slide:
        assert slide.name == "made slide"


def test_the_fingerprint_sees_start_end_and_length(tmp_path):
    data = bytearray(3 << 20)
    prints = set()
    for change in (None, 0, len(data) - 1):
        changed = bytearray(data)
        if change is not None:
            changed[change] = 1
        (tmp_path / "a").write_bytes(changed)
        prints.add(fingerprint(tmp_path / "a"))
    (tmp_path / "a").write_bytes(data + b"\0")
    prints.add(fingerprint(tmp_path / "a"))
    assert len(prints) == 4


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"hello, I am text", "tiff: .*openslide: "),
        (b"II*\0", "cut short"),
    ],
)
def test_what_is_no_slide_is_refused_in_one_sentence(tmp_path, content, reason):
    path = tmp_path / "a.svs"
    path.write_bytes(content)
    with pytest.raises(SlideError, match=reason) as caught:
        open_slide(path)
    assert str(caught.value).startswith("'a.svs'")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SlideError, match="no file"):
        open_slide(tmp_path / "none.svs")


def test_a_name_with_brackets_and_accents_opens(tmp_path):
    path = tmp_path / "fä ll [1] (2).tif"
    write_pyramid(path, np.full((40, 50, 3), 200, np.uint8), None)
    with open_slide(path) as slide:
        assert slide.name == "fä ll [1] (2)"


def test_the_room_imports_without_what_is_heavy():
    code = (
        "import sys, napari_mhim.slide as s; [getattr(s, n) for n in s.__all__];"
        "heavy = {'torch', 'napari', 'qtpy', 'skimage', 'scipy', 'openslide',"
        " 'tifffile', 'dask', 'PIL'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "[]"
