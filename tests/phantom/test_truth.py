import json

import numpy as np
import pytest

from napari_mhim.errors import SlideError
from napari_mhim.phantom import KINDS, PhantomTruth, read_truth, truth_path
from napari_mhim.phantom.truth import write_truth
from napari_mhim.slide.tiling import PatchGrid

SQUARE = np.array([[100, 200], [100, 400], [300, 400], [300, 200]], float)


def grid(patch_px, cells, origin=(0, 0)) -> PatchGrid:
    px = np.array(patch_px, float)
    return PatchGrid(
        np.array(origin, float),
        px,
        px,
        tuple(np.max(cells, axis=0) + 1),
        np.array(cells, np.int32),
        0.5,
        64,
    )


def all_cells(rows: int, cols: int) -> list[tuple[int, int]]:
    return [(row, col) for row in range(rows) for col in range(cols)]


def truth(**polygons) -> PhantomTruth:
    return PhantomTruth((500, 800), (0.5, 0.4), polygons)


def test_the_label_image_is_the_polygon() -> None:
    image = truth(easy=(SQUARE,)).label_image()
    assert image.shape == (500, 800)
    expected = np.zeros((500, 800), np.uint8)
    expected[100:300, 200:400] = KINDS["easy"]
    assert (image != expected).mean() < 0.002  # pixels whose centre is on the outline


def test_a_coarser_label_image_covers_the_same_ground() -> None:
    coarse = truth(hard=(SQUARE,)).label_image(8)
    assert coarse.shape == (63, 100)
    rows, cols = np.nonzero(coarse)
    assert rows.min() in (12, 13)
    assert rows.max() in (36, 37)
    assert cols.min() in (24, 25)
    assert cols.max() in (49, 50)


def test_a_polygon_may_leave_the_slide() -> None:
    far = SQUARE + np.array([300, 500])
    image = truth(easy=(far, SQUARE + 9999)).label_image()
    assert image[400:, 700:].all()
    assert image.sum() <= 100 * 100 + 400


@pytest.mark.parametrize("patch_px", [(50, 50), (40, 64), (33.3, 71.9), (128, 100.5)])
def test_patch_shares_are_what_the_pixels_say(patch_px) -> None:
    lesions = truth(easy=(SQUARE,), hard=(SQUARE / 3 + (330, 500),))
    image = lesions.label_image()
    rows, cols = (int(n // p) for n, p in zip((500, 800), patch_px, strict=True))
    cut = grid(patch_px, all_cells(rows, cols))
    shares = lesions.patch_shares(cut)
    for (y, x), share in zip(cut.corners, shares, strict=True):
        part = image[
            round(y) : round(y + patch_px[0]), round(x) : round(x + patch_px[1])
        ]
        seen = [(part == number).mean() for number in KINDS.values()]
        # corners are fractions of a pixel, the raster four pixels wide
        np.testing.assert_allclose(share, seen, atol=0.12)


def test_patch_labels_follow_the_largest_share() -> None:
    lesions = truth(easy=(SQUARE,), hard=(SQUARE + np.array([0, 200]),))
    labels = lesions.patch_labels(grid((100, 100), all_cells(5, 8))).reshape(5, 8)
    expected = np.zeros((5, 8), int)
    expected[1:3, 2:4] = KINDS["easy"]
    expected[1:3, 4:6] = KINDS["hard"]
    np.testing.assert_array_equal(labels, expected)


def test_a_patch_counts_from_the_least_share_on() -> None:
    half = grid((200, 200), [(0, 0)], origin=(100, 300))
    lesions = truth(easy=(SQUARE,))
    assert lesions.patch_labels(half, least_share=0.45).tolist() == [1]
    assert lesions.patch_labels(half, least_share=0.55).tolist() == [0]


def test_patches_that_reach_outside_the_slide_are_measured() -> None:
    edge = grid((128, 128), all_cells(4, 7))
    corner = np.array([[450, 700], [450, 800], [500, 800], [500, 700]], float)
    shares = truth(easy=(corner,)).patch_shares(edge)
    assert shares.sum() * 128 * 128 == pytest.approx(50 * 100, rel=0.1)


def test_a_slide_without_lesions_has_labels_of_zero() -> None:
    labels = truth().patch_labels(grid((100, 100), all_cells(5, 8)))
    assert labels.dtype == np.int8
    assert not labels.any()


def test_what_is_written_is_read(tmp_path) -> None:
    lesions = truth(easy=(SQUARE,), hard=(SQUARE + 50.25, SQUARE - 20))
    write_truth(tmp_path / "a.tif", lesions, {"seed": 3})
    for path in (tmp_path / "a.tif", truth_path(tmp_path / "a.tif")):
        found = read_truth(path)
        assert (found.shape, found.mpp) == (lesions.shape, lesions.mpp)
        assert found.made_from == {"seed": 3}
        for kind, outlines in lesions.polygons.items():
            np.testing.assert_allclose(found.polygons[kind], outlines, atol=0.005)


def test_a_slide_without_truth_is_refused_by_name(tmp_path) -> None:
    with pytest.raises(SlideError, match=r"'real\.svs' has no truth.*only phantom"):
        read_truth(tmp_path / "real.svs")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        json.dumps({"shape_yx_px": [1], "mpp_yx": [1, 1], "polygons_yx_px": {}}),
        json.dumps({"shape_yx_px": [1, 1], "mpp_yx": [1, 1], "polygons_yx_px": []}),
    ],
)
def test_a_damaged_truth_is_refused_by_name(tmp_path, content) -> None:
    truth_path(tmp_path / "a.tif").write_text(content, encoding="utf-8")
    with pytest.raises(SlideError, match=r"'a\.truth\.json' is not the truth"):
        read_truth(tmp_path / "a.tif")
