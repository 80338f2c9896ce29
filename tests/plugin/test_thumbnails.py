"""Pictures of patches, read beside the window."""

import gc
import threading
import time
import weakref
from pathlib import Path

import made
import numpy as np
import pytest

from napari_mhim.plugin import thumbnails as module
from napari_mhim.plugin.thumbnails import Thumbnails
from napari_mhim.slide import open_slide


@pytest.fixture(scope="module")
def slide_path(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("thumbnails")
    made.write_folder(folder, "both")
    return folder / "both.tiff"


@pytest.fixture
def pictures():
    pictures = Thumbnails(px=48, most=10)
    yield pictures
    pictures.close()
    wait(pictures)


def wait(pictures: Thumbnails, seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while pictures.is_reading:
        assert time.monotonic() < until
        time.sleep(0.005)


def test_a_picture_is_the_patch(pictures, slide_path) -> None:
    grid = made.grid()
    pictures.show(slide_path, grid)
    pictures.want([5, 20])
    wait(pictures)
    with open_slide(slide_path) as slide:
        for row in (5, 20):
            y, x = np.rint(grid.corners[row]).astype(int)
            h, w = np.rint(grid.patch_px).astype(int)
            block = slide.read_region(y, x, h, w)
            found = pictures.picture(row)
            assert found.shape == (round(48 * h / w), 48, 3)
            np.testing.assert_allclose(
                found.mean(axis=(0, 1)), block.mean(axis=(0, 1)), atol=4
            )


def test_nothing_is_read_before_it_is_wanted(pictures, slide_path) -> None:
    pictures.show(slide_path, made.grid())
    assert pictures.picture(0) is None
    assert not pictures.is_reading


def test_fresh_is_told_once(pictures, slide_path) -> None:
    pictures.show(slide_path, made.grid())
    pictures.want([1])
    wait(pictures)
    assert pictures.take_fresh()
    assert not pictures.take_fresh()


def test_no_more_are_kept_than_were_agreed(pictures, slide_path) -> None:
    pictures.show(slide_path, made.grid())
    for start in range(0, 40, 8):
        pictures.want(list(range(start, start + 8)))
        wait(pictures)
    kept = [row for row in range(40) if pictures.picture(row) is not None]
    assert len(kept) == 10
    assert set(range(32, 40)) <= set(kept)


def test_what_has_scrolled_away_is_not_read(pictures, slide_path, monkeypatch) -> None:
    read, may_go = [], threading.Event()
    cut = module.cut

    def slow(slide, centre, *rest):
        read.append(tuple(centre))
        may_go.wait(30)
        return cut(slide, centre, *rest)

    monkeypatch.setattr(module, "cut", slow)
    pictures.show(slide_path, made.grid())
    pictures.want(list(range(20)))
    until = time.monotonic() + 30
    while not read and time.monotonic() < until:
        time.sleep(0.005)
    pictures.want([50, 51])
    may_go.set()
    wait(pictures)
    # one was under way; of the others none but those wanted last
    assert len(read) == 3
    assert pictures.picture(50) is not None
    assert pictures.picture(1) is None


def test_another_slide_drops_the_pictures_and_closes_the_file(
    pictures, slide_path, monkeypatch
) -> None:
    opened = _watch_opening(monkeypatch)
    pictures.show(slide_path, made.grid())
    pictures.want([1])
    wait(pictures)
    pictures.show(None, None)
    wait(pictures)
    assert pictures.picture(1) is None
    (slide,) = opened
    assert slide._is_closed


def test_a_slide_that_cannot_be_read_gives_no_picture(
    pictures, slide_path, tmp_path
) -> None:
    broken = tmp_path / "broken.tiff"
    broken.write_bytes(b"no slide")
    for path in (broken, tmp_path / "gone.tiff"):
        pictures.show(path, made.grid())
        pictures.want([1, 2])
        wait(pictures)
        assert pictures.picture(1) is None
    pictures.show(slide_path, made.grid())
    pictures.want([1])
    wait(pictures)
    assert pictures.picture(1) is not None


def test_closing_while_it_reads_leaves_no_file_open(slide_path, monkeypatch) -> None:
    opened = _watch_opening(monkeypatch)
    pictures = Thumbnails(px=48)
    pictures.show(slide_path, made.grid())
    pictures.want(list(range(50)))
    pictures.close()
    pictures.want([3])
    wait(pictures)
    assert all(slide._is_closed for slide in opened)


def test_nothing_holds_on_to_it_when_it_is_closed(slide_path) -> None:
    pictures = Thumbnails(px=48)
    pictures.show(slide_path, made.grid())
    pictures.want([1])
    wait(pictures)
    pictures.close()
    wait(pictures)
    gone = weakref.ref(pictures)
    del pictures
    until = time.monotonic() + 10
    while gone() is not None and time.monotonic() < until:
        gc.collect()
        time.sleep(0.01)
    assert gone() is None


def _watch_opening(monkeypatch) -> list:
    opened = []

    def watched(path):
        opened.append(open_slide(path))
        return opened[-1]

    monkeypatch.setattr(module, "open_slide", watched)
    return opened
