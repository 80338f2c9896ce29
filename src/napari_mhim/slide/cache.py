"""Decoded tiles in memory: bounded in bytes, safe for threads, shared by all slides."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from functools import cache

import numpy as np
from numpy.typing import NDArray

from napari_mhim.settings import load_settings

Key = tuple[int, Hashable]
"""Whose tile it is (a number no two open slides share), and which."""


class TileCache:
    """The tiles used last, up to a number of bytes; each is made once.

    Parameters
    ----------
    max_bytes : int
        What the kept tiles may weigh together.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._bytes = 0
        self._tiles: OrderedDict[Key, NDArray[np.uint8]] = OrderedDict()
        self._making: dict[Key, Future[NDArray[np.uint8]]] = {}
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Give the bytes in use, at most ``max_bytes``."""
        return self._bytes

    def get(self, key: Key, make: Callable[[], NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """Give a tile, made where it is not there.

        Two threads that ask for one tile at once get the same one: the second waits.

        Parameters
        ----------
        key : Key
            The slide's number and the tile's place.
        make : callable
            Gives the tile.

        Returns
        -------
        ndarray, uint8
            The tile; not to be written to.
        """
        with self._lock:
            if (tile := self._tiles.get(key)) is not None:
                self._tiles.move_to_end(key)
                return tile
            if (made := self._making.get(key)) is None:
                mine = self._making[key] = Future()
        if made is not None:
            return made.result()
        try:
            tile = make()
        except BaseException as err:
            with self._lock:
                del self._making[key]
            mine.set_exception(err)
            raise
        self._keep(key, tile)
        mine.set_result(tile)
        return tile

    def peek(self, key: Key) -> NDArray[np.uint8] | None:
        """Give a tile that is there, at once.

        Parameters
        ----------
        key : Key
            The slide's number and the tile's place.

        Returns
        -------
        ndarray, uint8, or None
            The tile, not to be written to; None where it is not there.
        """
        with self._lock:
            tile = self._tiles.get(key)
            if tile is not None:
                self._tiles.move_to_end(key)
            return tile

    def forget(self, owner: int) -> None:
        """Drop every tile of one slide.

        Parameters
        ----------
        owner : int
            The slide's number, the first half of the keys.
        """
        with self._lock:
            for key in [key for key in self._tiles if key[0] == owner]:
                self._bytes -= self._tiles.pop(key).nbytes

    def _keep(self, key: Key, tile: NDArray[np.uint8]) -> None:
        tile.setflags(write=False)
        with self._lock:
            self._making.pop(key, None)
            if tile.nbytes > self.max_bytes:
                return
            self._tiles[key] = tile
            self._bytes += tile.nbytes
            while self._bytes > self.max_bytes:
                _, oldest = self._tiles.popitem(last=False)
                self._bytes -= oldest.nbytes


@cache
def shared_cache() -> TileCache:
    """Give the one cache of this process, as large as the user's settings say.

    Returns
    -------
    TileCache
        Holds ``settings.cache_mib`` MiB.

    Raises
    ------
    ConfigError
        If the settings cannot be read.
    """
    return TileCache(load_settings().cache_mib << 20)
