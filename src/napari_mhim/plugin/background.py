"""Things to be read for a list, one after another, on a thread of their own; no Qt.

The window asks for what is on screen, and looks now and then whether it has come.
"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Background(Generic[Key, Value]):
    """Reads values by key; what was asked for last is read first.

    Parameters
    ----------
    read : callable
        Gives the value of a key, on the thread; must not raise.
    name : str
        Name of the thread.
    """

    def __init__(self, read: Callable[[Key], Value], name: str) -> None:
        self._read = read
        self._wanted: dict[Key, None] = {}
        self._fresh: dict[Key, Value] = {}
        self._round = 0
        self._is_reading = False
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)

    def want(self, keys: Iterable[Key]) -> None:
        """Ask for these, and for no others any more; the first wanted comes first."""
        with self._lock:
            self._wanted = dict.fromkeys(keys)
            if self._is_reading or not self._wanted:
                return
            self._is_reading = True
        self._pool.submit(self._work)

    def forget(self) -> None:
        """Ask for nothing, and let nothing come that was asked for before."""
        with self._lock:
            self._wanted, self._fresh = {}, {}
            self._round += 1

    @property
    def is_busy(self) -> bool:
        """Tell whether something is still to come, or has come and was not taken."""
        with self._lock:
            return self._is_reading or bool(self._fresh)

    def take_fresh(self) -> dict[Key, Value]:
        """Give what has come since this was last asked."""
        with self._lock:
            fresh, self._fresh = self._fresh, {}
        return fresh

    def close(self) -> None:
        """Stop after what is being read just now."""
        self.forget()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._wanted:
                    self._is_reading = False
                    return
                key = next(iter(self._wanted))
                del self._wanted[key]
                asked_in = self._round
            value = self._read(key)
            with self._lock:
                if asked_in == self._round:
                    self._fresh[key] = value
