"""The window's clock for what other threads have brought: drawn soon, and not too often."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QApplication

_SETTLED_ROUNDS = 3


class Refresher(QObject):  # type: ignore[misc]
    """Calls a function on the window's thread, however often and whence it is asked to.

    Parameters
    ----------
    act : callable
        What is called.
    every_ms : int
        The least time between two calls.
    """

    _rung = Signal()

    def __init__(self, act: Callable[[], None], every_ms: int) -> None:
        super().__init__()
        self._act = act
        self._is_due = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(every_ms)
        self._timer.timeout.connect(self._rest_over)
        # from another thread it is queued for this one
        self._rung.connect(self._on_rung)

    @property
    def is_due(self) -> bool:
        """Tell whether a call is still to come."""
        return self._is_due

    def ring(self) -> None:
        """Ask for a call; from any thread."""
        self._is_due = True
        # Qt may be gone while a thread still reads
        with suppress(RuntimeError):
            self._rung.emit()

    def _on_rung(self) -> None:
        if self._is_due and not self._timer.isActive():
            self._call()

    def _rest_over(self) -> None:
        if self._is_due:
            self._call()

    def _call(self) -> None:
        self._is_due = False
        self._act()
        # counted from its end: what takes long must leave the window time of its own
        self._timer.start()


def has_window() -> bool:
    """Tell whether there is a Qt application that can draw later what comes later."""
    return QApplication.instance() is not None


def wait_until(is_there: Callable[[], Any], seconds: float) -> bool:
    """Let Qt work until something holds, and has held for a few rounds of its work.

    Parameters
    ----------
    is_there : callable
        Asked again and again.
    seconds : float
        At most so long.

    Returns
    -------
    bool
        Whether it came to hold.
    """
    until = time.monotonic() + seconds
    held = 0
    while held < _SETTLED_ROUNDS and time.monotonic() < until:
        QApplication.processEvents()
        held = held + 1 if is_there() else 0
        time.sleep(0.01)
    return held == _SETTLED_ROUNDS
