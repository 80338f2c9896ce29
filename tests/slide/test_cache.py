from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import numpy as np
import pytest

from napari_mhim.slide.cache import TileCache


def tile(value: int = 0, nbytes: int = 100) -> np.ndarray:
    return np.full(nbytes, value, np.uint8)


def test_never_holds_more_than_its_bytes():
    cache = TileCache(350)
    for number in range(50):
        cache.get((0, number), tile)
        assert cache.nbytes <= 350


def test_drops_the_tile_used_longest_ago():
    cache = TileCache(300)
    for number in (0, 1, 2, 0, 3):
        cache.get((0, number), tile)
    made = []
    for number in (0, 2, 3, 1):
        cache.get((0, number), lambda number=number: made.append(number) or tile())
    assert made == [1]


def test_a_tile_larger_than_the_cache_is_given_and_not_kept():
    cache = TileCache(50)
    assert cache.get((0, 0), lambda: tile(7))[0] == 7
    assert cache.nbytes == 0


def test_forgets_one_slide_alone():
    cache = TileCache(1000)
    cache.get((1, 0), tile)
    cache.get((2, 0), tile)
    cache.forget(1)
    assert cache.nbytes == 100


def test_two_threads_that_want_one_tile_make_it_once():
    cache, started, made = TileCache(1000), Barrier(3), []
    go_on = Event()

    def make():
        go_on.wait(5)
        made.append(1)
        return tile(3)

    def ask():
        started.wait(5)
        return cache.get((0, 0), make)

    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(ask) for _ in range(2)]
        started.wait(5)
        go_on.set()
        assert asked[0].result() is asked[1].result()
    assert len(made) == 1


def test_an_error_is_raised_and_not_kept():
    cache = TileCache(1000)
    with pytest.raises(ValueError, match="bad"):
        cache.get((0, 0), lambda: (_ for _ in ()).throw(ValueError("bad")))
    assert cache.get((0, 0), lambda: tile(5))[0] == 5


def test_a_kept_tile_cannot_be_written_to():
    kept = TileCache(1000).get((0, 0), tile)
    with pytest.raises(ValueError, match="read-only"):
        kept[0] = 1
