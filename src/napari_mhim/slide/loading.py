"""Tiles of a slide that are looked at, read on threads: what is in view comes first."""

import threading
import time
from collections.abc import Callable, Iterable

from napari_mhim.errors import SlideError
from napari_mhim.slide.slide import Slide
from napari_mhim.slide.source import Pixels

Place = tuple[int, int, int]
"""Level, row and column of a tile."""

THREADS = 8
"""Readers of one slide: a share answers several reads in the time of one."""
_AHEAD = (
    2  # of them for what is not in view yet: a view that moves finds the others free
)
_IDLE_SECONDS = 5.0
_RETRY_SECONDS = 2.0
_REMEMBERED = 0.1  # share of the last tile in the mean of what a tile takes


class TileLoader:
    """Reads the tiles of one slide that are asked for, and those that may be next.

    What is asked for replaces what was asked for before: tiles that nobody waits for any
    more are not read. The tiles in view are held here, however small the cache is.

    Parameters
    ----------
    slide : Slide
        An open slide; it may be closed at any time.
    on_arrival : callable
        Called on a reading thread when a tile in view has come, or cannot be had.
    threads : int
        How many tiles are read at once, at most.
    """

    def __init__(
        self, slide: Slide, on_arrival: Callable[[], None], threads: int = THREADS
    ) -> None:
        self._slide, self._on_arrival = slide, on_arrival
        self._limit = threads
        self._held: dict[Place, Pixels] = {}
        self._view: dict[Place, None] = {}
        self._ahead: dict[Place, None] = {}
        self._reading: dict[Place, bool] = {}  # True for what is read ahead
        self._failed: dict[Place, float] = {}
        self._error: SlideError | None = None
        self._tile_seconds = 0.0
        self._threads = self._idle = 0
        self._is_closed = False
        self._changed = threading.Condition()

    @property
    def is_busy(self) -> bool:
        """Tell whether anything is still to be read, in view or ahead."""
        with self._changed:
            return bool(self._view or self._ahead or self._reading)

    @property
    def is_complete(self) -> bool:
        """Tell whether all tiles in view are there, but for those that cannot be had."""
        with self._changed:
            return not self._pending()

    @property
    def seconds_left(self) -> float:
        """Estimate how long the tiles in view still take, from those before them."""
        with self._changed:
            return len(self._view) * self._tile_seconds / self._limit

    @property
    def tile_seconds(self) -> float:
        """Give what a tile has taken of late, reading and decoding; 0 before the first."""
        return self._tile_seconds

    def want(self, view: Iterable[Place], ahead: Iterable[Place] = ()) -> None:
        """Ask for tiles, and for no others any more.

        Parameters
        ----------
        view : iterable of Place
            What is in view, the most wanted first.
        ahead : iterable of Place
            What may come into view, likewise; read when all in view is there.
        """
        wanted = list(view)
        now = time.monotonic()
        found = {place: self._at_hand(place) for place in wanted}
        later = [place for place in ahead if self._at_hand(place) is None]
        with self._changed:
            if self._is_closed:
                return
            before = self._held
            self._held = {p: t for p, t in found.items() if t is not None}
            for place in wanted:
                if place not in self._held and place in before:
                    self._held[place] = before[place]
            self._failed = {
                place: at
                for place, at in self._failed.items()
                if now - at < _RETRY_SECONDS
            }
            self._view = {
                place: None
                for place in wanted
                if place not in self._held and place not in self._failed
            }
            self._ahead = {p: None for p in later if p not in self._view}
            self._start()
            self._changed.notify_all()

    def tile(self, place: Place) -> Pixels | None:
        """Give a tile if it is there, without reading.

        Parameters
        ----------
        place : Place
            Which.

        Returns
        -------
        ndarray, shape (h, w, 3), uint8, or None
            The tile, not to be written to.
        """
        with self._changed:
            held = self._held.get(place)
        return self._at_hand(place) if held is None else held

    def wait(self, seconds: float) -> bool:
        """Wait for the tiles in view.

        Parameters
        ----------
        seconds : float
            At most so long.

        Returns
        -------
        bool
            Whether all are there that can be had.
        """
        with self._changed:
            return self._changed.wait_for(lambda: not self._pending(), seconds)

    def take_error(self) -> SlideError | None:
        """Give why tiles could not be read since this was last asked, None where none."""
        with self._changed:
            error, self._error = self._error, None
        return error

    def close(self) -> None:
        """Read nothing more; what is being read just now is dropped when it comes."""
        with self._changed:
            self._is_closed = True
            self._view, self._ahead, self._held = {}, {}, {}
            self._changed.notify_all()

    def _pending(self) -> bool:
        if self._is_closed:
            return False
        return bool(self._view) or any(not ahead for ahead in self._reading.values())

    def _at_hand(self, place: Place) -> Pixels | None:
        level, row, col = place
        return self._slide.level_sources[level].tile_at_hand(row, col)

    def _start(self) -> None:
        """Start as many threads as there is work for; the lock is held."""
        jobs = len(self._view) + min(len(self._ahead), _AHEAD)
        for _ in range(min(jobs - self._idle, self._limit - self._threads)):
            self._threads += 1
            # a daemon: a share that never answers must not keep the program from ending
            threading.Thread(target=self._work, name="mhim-tiles", daemon=True).start()

    def _work(self) -> None:
        while (place := self._next()) is not None:
            try:
                self._read(place)
            except BaseException:
                with self._changed:
                    self._threads -= 1
                raise

    def _next(self) -> Place | None:
        """Give the next tile to read; None where the thread is to end for want of any."""
        with self._changed:
            self._idle += 1
            self._changed.wait_for(
                lambda: self._is_closed or self._choice() is not None, _IDLE_SECONDS
            )
            self._idle -= 1
            place = None if self._is_closed else self._choice()
            if place is None:
                # in the same breath: else one could be counted on that is about to end
                self._threads -= 1
                return None
            self._reading[place] = place not in self._view
            self._view.pop(place, None)
            self._ahead.pop(place, None)
            return place

    def _choice(self) -> Place | None:
        for place in self._view:
            if place not in self._reading:
                return place
        if sum(self._reading.values()) < _AHEAD:
            for place in self._ahead:
                if place not in self._reading:
                    return place
        return None

    def _read(self, place: Place) -> None:
        level, row, col = place
        tile, error = None, None
        begun = time.perf_counter()
        try:
            with self._slide.in_use():
                tile = self._slide.level_sources[level].cached_tile(row, col)
        except SlideError as err:
            if self._slide.is_closed:
                self.close()
            error = err
        finally:
            self._take(place, tile, error, time.perf_counter() - begun)

    def _take(
        self,
        place: Place,
        tile: Pixels | None,
        error: SlideError | None,
        seconds: float,
    ) -> None:
        with self._changed:
            # wanted again while it was read: it is in view now, whatever it was before
            is_in_view = not self._reading.pop(place) or place in self._view
            self._view.pop(place, None)
            if self._is_closed:
                return
            if tile is None:
                self._failed[place] = time.monotonic()
                self._error = error or self._error
            else:
                share = _REMEMBERED if self._tile_seconds else 1.0
                self._tile_seconds += share * (seconds - self._tile_seconds)
                if is_in_view:
                    self._held[place] = tile
            self._changed.notify_all()
        if is_in_view:
            self._on_arrival()
