import dask.array as da
import numpy as np
import openslide
import pytest
import tifffile

from napari_mhim.errors import ConfigError, WorkspaceError
from napari_mhim.slide import open_slide, write_pyramid


def smooth(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(y / 41 + k) + np.cos(x / (27 + 9 * k)) for k in range(3)]
    return (127 + 60 * np.stack(waves, 2)).clip(0, 255).astype(np.uint8)


def test_tifffile_reads_back_what_was_written(tmp_path):
    image = smooth(333, 517)
    write_pyramid(tmp_path / "a.tiff", image, (0.5, 0.25), min_px=150)
    with tifffile.TiffFile(tmp_path / "a.tiff") as tiff:
        assert tiff.is_bigtiff
        assert [page.shape[:2] for page in tiff.pages] == [
            (333, 517),
            (167, 259),
            (84, 130),
        ]
        error = tiff.pages[0].asarray().astype(int) - image
    assert np.abs(error).mean() < 1.5


def test_openslide_reads_the_same_pixels_and_both_scales(synthetic_slide):
    with openslide.OpenSlide(synthetic_slide.path) as slide:
        assert slide.level_dimensions == (
            (2070, 1310),
            (1035, 655),
            (518, 328),
            (259, 164),
        )
        assert float(slide.properties["openslide.mpp-y"]) == pytest.approx(0.5)
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.4)
        theirs = np.asarray(slide.read_region((900, 300), 0, (700, 600)))[..., :3]
    with open_slide(synthetic_slide.path) as slide:
        ours = slide.read_region(300, 900, 600, 700)
        assert slide.mpp == pytest.approx((0.5, 0.4))
        assert slide.objective_power == 20
    assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_each_level_is_the_mean_of_the_one_above(synthetic_slide):
    with open_slide(synthetic_slide.path) as slide:
        fine, coarse = (level.compute().astype(float) for level in slide.levels[:2])
    means = fine.reshape(655, 2, 1035, 2, 3).mean(axis=(1, 3))
    # jpeg keeps colour at half the resolution: sharp nuclei differ, the mean does not
    assert abs((means - coarse).mean()) < 0.5
    assert np.abs(means - coarse).mean() < 4


@pytest.mark.parametrize("chunks", [(100, 200), (256, 512), (333, 100)], ids=str)
def test_dask_and_numpy_give_the_same_file(tmp_path, chunks):
    image = smooth(333, 517)
    write_pyramid(tmp_path / "a.tiff", image, None, min_px=100)
    lazy = da.from_array(image, chunks=(*chunks, 3))
    write_pyramid(tmp_path / "b.tiff", lazy, None, min_px=100)
    one, other = (tmp_path / f"{name}.tiff" for name in "ab")
    assert one.read_bytes() == other.read_bytes()


def test_each_chunk_of_dask_is_computed_once(tmp_path):
    computed = []

    def block(block_info=None):
        computed.append(block_info[None]["chunk-location"])
        return np.full(block_info[None]["chunk-shape"], 200, np.uint8)

    lazy = da.map_blocks(
        block, chunks=((96, 96, 80), (200, 100), (3,)), dtype=np.uint8, meta=np.empty(0)
    )
    write_pyramid(tmp_path / "a.tiff", lazy, None, tile=64, min_px=100)
    assert sorted(computed) == [(i, j, 0) for i in range(3) for j in range(2)]


def test_no_more_than_a_row_of_chunks_is_held(tmp_path):
    held, most = set(), []

    def block(block_info=None):
        row = block_info[None]["chunk-location"][0]
        held.add(row)
        most.append(row)
        return np.full(block_info[None]["chunk-shape"], row, np.uint8)

    lazy = da.map_blocks(
        block, chunks=((64,) * 9, (64,) * 4, (3,)), dtype=np.uint8, meta=np.empty(0)
    )
    write_pyramid(tmp_path / "a.tiff", lazy, None, tile=64, min_px=100)
    # rows are asked for one after the other, never again and never ahead
    assert most == sorted(most)
    assert len(most) == 36


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (257, 16), (1025, 7)])
def test_odd_and_tiny_images_come_back(tmp_path, shape):
    image = np.full((*shape, 3), (200, 120, 160), np.uint8)
    write_pyramid(tmp_path / "a.tiff", image, (1.0, 1.0), tile=64, min_px=64)
    with open_slide(tmp_path / "a.tiff") as slide:
        assert slide.shape == shape
        assert max(slide.sources[-1].shape) <= 64
        for level in slide.levels:
            assert np.abs(level.compute().astype(int) - image[0, 0]).max() <= 3


def test_without_a_scale_the_slide_has_none(tmp_path):
    write_pyramid(tmp_path / "a.tiff", smooth(40, 50), None)
    with open_slide(tmp_path / "a.tiff") as slide:
        assert slide.mpp is None
        assert "no unit" in slide.mpp_reason


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"level0": np.zeros((9, 9), np.uint8)}, r"\(9, 9\)"),
        ({"level0": np.zeros((9, 9, 3), np.uint16)}, "uint16"),
        ({"level0": np.zeros((0, 9, 3), np.uint8)}, "at least one pixel"),
        ({"mpp": (352.8, 352.8)}, "0.02 to 20"),
        ({"mpp": (0.5, float("nan"))}, "0.02 to 20"),
        ({"tile": 100}, "multiple of 16"),
        ({"quality": 0}, "quality"),
        ({"min_px": 0}, "min_px"),
    ],
)
def test_bad_input_is_refused_and_nothing_written(tmp_path, options, reason):
    given = {"level0": smooth(40, 50), "mpp": (0.5, 0.5), **options}
    with pytest.raises(ConfigError, match=reason):
        write_pyramid(tmp_path / "a.tiff", **given)
    assert list(tmp_path.iterdir()) == []


def test_an_error_on_the_way_leaves_the_older_file(tmp_path):
    path = tmp_path / "a.tiff"
    path.write_text("older")

    def fails(block_info=None):
        raise ValueError("no pixels")

    lazy = da.map_blocks(
        fails, chunks=((64, 64), (64,), (3,)), dtype=np.uint8, meta=np.empty(0)
    )
    with pytest.raises(ValueError, match="no pixels"):
        write_pyramid(path, lazy, None)
    assert [item.name for item in tmp_path.iterdir()] == ["a.tiff"]
    assert path.read_text() == "older"


def test_a_path_that_is_a_folder_is_one_sentence(tmp_path):
    (tmp_path / "a.tiff").mkdir()
    with pytest.raises(WorkspaceError, match="cannot be written"):
        write_pyramid(tmp_path / "a.tiff", smooth(40, 50), None)
    assert [item.name for item in tmp_path.iterdir()] == ["a.tiff"]
