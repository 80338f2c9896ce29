"""Pictures put together from the tiles that are there."""

import numpy as np
import pytest
from gated import Disk, pictures, slide_on
from hypothesis import given
from hypothesis import strategies as st

from napari_mhim.slide.standin import NOT_YET, paint, places_in, scaled

BOX = (300, 500, 700, 900)


@pytest.fixture
def slide(tmp_path):
    with slide_on(Disk(), tmp_path / "made.svs") as slide:
        yield slide


def test_with_all_tiles_it_is_the_slide(slide) -> None:
    painted = paint(
        slide.level_sources,
        0,
        BOX,
        lambda place: slide.level_sources[place[0]].cached_tile(*place[1:]),
    )
    np.testing.assert_array_equal(painted, slide.read_region(*BOX))


def test_the_finest_level_that_is_there_stands_in(slide) -> None:
    fine = pictures()[0].astype(int)[300:1000, 500:1400]

    def off_by(*levels: int) -> float:
        def tile(place):
            is_there = place[0] in levels
            source = slide.level_sources[place[0]]
            return source.cached_tile(*place[1:]) if is_there else None

        painted = paint(slide.level_sources, 0, BOX, tile).astype(int)
        return float(np.abs(painted - fine).max())

    last = len(slide.levels) - 1
    # ramps of 200 in 2048 and 3072 px: a step of one in ten pixels
    assert off_by(last) <= 2
    assert off_by(0) == 0
    assert off_by(1, last) <= off_by(last)


def test_a_tile_that_is_there_is_sharp_beside_those_that_are_not(slide) -> None:
    source = slide.level_sources[0]
    painted = paint(
        slide.level_sources,
        0,
        (256, 256, 512, 512),
        lambda place: source.cached_tile(1, 1) if place == (0, 1, 1) else None,
    )
    np.testing.assert_array_equal(painted[:256, :256], pictures()[0][256:512, 256:512])
    assert (painted[256:] == NOT_YET).all()
    assert (painted[:, 256:] == NOT_YET).all()


@given(st.integers(-100, 2100), st.integers(-100, 3100), st.integers(1, 900), st.data())
def test_the_tiles_of_a_box_cover_it_and_nothing_else(y, x, height, data) -> None:
    source = SOURCES[0]
    width = data.draw(st.integers(1, 900))
    box = (y, x, height, width)
    places = places_in(source, 0, box)
    assert len(set(places)) == len(places)
    touched = {
        (0, at_y // 256, at_x // 256)
        for at_y in {*range(max(y, 0), min(y + height, 2048), 64), y + height - 1}
        for at_x in {*range(max(x, 0), min(x + width, 3072), 64), x + width - 1}
        if 0 <= at_y < 2048 and 0 <= at_x < 3072
    }
    assert touched <= set(places)
    for _, row, col in places:
        assert row * 256 < y + height
        assert (row + 1) * 256 > y
        assert col * 256 < x + width
        assert (col + 1) * 256 > x


@given(st.integers(0, 2000), st.integers(0, 3000), st.integers(1, 400))
def test_a_box_on_another_level_covers_the_same_place(y, x, side) -> None:
    fine, coarse = SOURCES[0], SOURCES[-1]
    top, left, height, width = scaled((y, x, side, side), fine, coarse)
    by = coarse.downsample
    assert top * by[0] <= y
    assert left * by[1] <= x
    assert (top + height) * by[0] >= min(y + side, 2048)
    assert (left + width) * by[1] >= min(x + side, 3072)
    assert top + height <= coarse.shape[0]
    assert left + width <= coarse.shape[1]


def _sources():
    from pathlib import Path
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        return slide_on(Disk(), Path(folder) / "made.svs").level_sources


SOURCES = _sources()
