import numpy as np
import pytest

from napari_mhim.phantom.shapes import Blob, Room, draw_blob


def test_a_round_blob_has_its_depth() -> None:
    blob = Blob((50.0, 80.0), 20.0, 1.0, 0.0, np.zeros((0, 2)))
    y, x = np.arange(120.0)[:, None], np.arange(160.0)[None]
    depth = blob.depth(y, x)
    near = np.hypot(y - 50, x - 80)
    known = depth > -900
    np.testing.assert_allclose(depth[known], (20 - near)[known], atol=1e-3)
    assert (depth[~known] < -900).all()
    assert known[near < 55].all()


@pytest.mark.parametrize("seed", range(5))
def test_the_outline_is_where_the_depth_is_nought(seed) -> None:
    blob = draw_blob((100.0, 90.0), 40.0, np.random.default_rng(seed), wave=0.2)
    mpp = (0.5, 0.25)
    for inset in (0.0, 6.0):
        for y, x in blob.outline(mpp, inset) * mpp:
            at = blob.depth(np.array([[y]]), np.array([[x]]))[0, 0]
            assert at == pytest.approx(inset, abs=1e-3)


def test_places_do_not_overlap_and_keep_off_the_edge() -> None:
    rng = np.random.default_rng(0)
    free = np.minimum.outer(
        np.minimum(np.arange(60), 59 - np.arange(60)),
        np.minimum(np.arange(80), 79 - np.arange(80)),
    ).astype(np.float32)
    room = Room(free, (1.0, 1.0))
    placed = [room.place(6.0, rng, margin=1.0) for _ in range(30)]
    placed = [(centre, radius) for centre, radius in placed if radius > 0]
    assert len(placed) > 4
    for i, (a, r) in enumerate(placed):
        assert min(a[0], 59 - a[0], a[1], 79 - a[1]) >= r
        for b, s in placed[:i]:
            assert np.hypot(a[0] - b[0], a[1] - b[1]) >= r + s - 1e-6


def test_a_full_slide_gives_no_radius() -> None:
    room = Room(np.zeros((5, 5), np.float32), (1.0, 1.0))
    assert room.place(3.0, np.random.default_rng(0))[1] <= 0
