"""Tiles read on threads: order, what is dropped, what is held, and closing meanwhile."""

import threading
import time

import numpy as np
import pytest
from gated import Disk, pictures, slide_on

from napari_mhim.errors import SlideError
from napari_mhim.slide import loading
from napari_mhim.slide.loading import TileLoader

VIEW = [(0, 1, 2), (0, 0, 0), (0, 3, 3)]
AHEAD = [(0, 5, 5), (0, 6, 6)]


@pytest.fixture(autouse=True)
def _no_idling(monkeypatch) -> None:
    monkeypatch.setattr(loading, "_IDLE_SECONDS", 0.05)


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def slide(disk: Disk, tmp_path):
    with slide_on(disk, tmp_path / "made.svs") as slide:
        yield slide


def until(holds) -> None:
    ends = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.002)


def test_what_is_in_view_comes_first_and_in_order(slide, disk) -> None:
    loader = TileLoader(slide, lambda: None, threads=1)
    loader.want(VIEW, AHEAD)
    until(lambda: not loader.is_busy)
    assert disk.read == VIEW + AHEAD


def test_what_nobody_waits_for_any_more_is_not_read(slide, disk) -> None:
    disk.lets.clear()
    loader = TileLoader(slide, lambda: None, threads=1)
    loader.want(VIEW, AHEAD)
    until(lambda: disk.read)
    loader.want([(0, 7, 7)])
    disk.lets.set()
    until(lambda: not loader.is_busy)
    assert disk.read == [VIEW[0], (0, 7, 7)]


def test_reading_ahead_leaves_threads_for_a_view_that_moves(slide, disk) -> None:
    disk.lets.clear()
    loader = TileLoader(slide, lambda: None, threads=4)
    loader.want([], [(0, row, 0) for row in range(8)])
    until(lambda: len(disk.read) == 2)
    loader.want(VIEW)
    until(lambda: len(disk.read) >= 4)
    assert set(disk.read[2:]) <= set(VIEW)
    disk.lets.set()


def test_tiles_in_view_are_held_however_small_the_cache(disk, tmp_path) -> None:
    with slide_on(disk, tmp_path / "made.svs", cache_bytes=0) as slide:
        loader = TileLoader(slide, lambda: None)
        loader.want(VIEW)
        assert loader.wait(20)
        loader.want(VIEW)
        assert loader.wait(0)
        np.testing.assert_array_equal(
            loader.tile((0, 1, 2)), pictures()[0][256:512, 512:768]
        )
        loader.want(VIEW[:1])
        assert loader.tile(VIEW[1]) is None
    assert sorted(disk.read) == sorted(VIEW)


def test_tells_of_what_is_in_view_and_not_of_what_is_read_ahead(slide) -> None:
    told = []
    loader = TileLoader(slide, lambda: told.append(1), threads=1)
    loader.want(VIEW, AHEAD)
    until(lambda: not loader.is_busy)
    assert len(told) == len(VIEW)


def test_a_tile_read_ahead_that_comes_into_view_is_told(slide, disk) -> None:
    disk.lets.clear()
    told = []
    loader = TileLoader(slide, lambda: told.append(1), threads=1)
    loader.want([], AHEAD[:1])
    until(lambda: disk.read)
    loader.want(AHEAD[:1])
    disk.lets.set()
    until(lambda: told)
    assert loader.wait(20)
    assert loader.tile(AHEAD[0]) is not None
    assert disk.read == AHEAD[:1]


def test_what_cannot_be_read_is_said_once_and_tried_again_later(
    slide, disk, monkeypatch
) -> None:
    loader = TileLoader(slide, lambda: None)
    disk.is_gone = True
    loader.want(VIEW)
    assert loader.wait(20)
    assert isinstance(loader.take_error(), SlideError)
    assert loader.take_error() is None
    loader.want(VIEW)
    assert loader.wait(0)  # not at once: each try may take long
    disk.is_gone = False
    monkeypatch.setattr(loading, "_RETRY_SECONDS", 0)
    loader.want(VIEW)
    assert loader.wait(20)
    assert all(loader.tile(place) is not None for place in VIEW)


def test_a_slide_closed_while_it_is_read_lets_the_read_end_first(slide, disk) -> None:
    disk.lets.clear()
    loader = TileLoader(slide, lambda: None, threads=1)
    loader.want(VIEW)
    until(lambda: disk.read)
    slide.close()
    assert slide.is_closed
    assert not disk.is_closed
    disk.lets.set()
    until(lambda: disk.is_closed)
    assert disk.read == VIEW[:1]
    assert loader.take_error() is None  # that it was closed is nothing to tell
    with pytest.raises(SlideError, match="closed"):
        slide.read_region(0, 0, 10, 10)


def test_threads_end_when_there_is_nothing_to_do(slide) -> None:
    loader = TileLoader(slide, lambda: None)
    loader.want(VIEW)
    assert loader.wait(20)
    until(lambda: not any(t.name == "mhim-tiles" for t in threading.enumerate()))
    loader.want([(0, 7, 7)])
    assert loader.wait(20)
