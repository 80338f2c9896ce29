"""What the window leaves to other threads: it takes what they bring, and goes on meanwhile."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any, TypeVar

from qtpy.QtCore import QEventLoop, QObject, Qt, QTimer, Signal
from qtpy.QtWidgets import QApplication

_SETTLED_ROUNDS = 3
_AT_ONCE_SECONDS = 0.1
_POLL_MS = 10
Value = TypeVar("Value")


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
    """Tell whether this is the thread of a Qt application, which can draw things later."""
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and QApplication.instance() is not None


def aside(work: Callable[[], Value]) -> Value:
    """Do something on a thread of its own, and wait for it while the window goes on.

    What takes longer than a moment shows the cursor of waiting; clicks and keys are taken
    when it has ended. Without a window, or on another thread than its own, it is done here.

    Parameters
    ----------
    work : callable
        What is done; it touches no widget, layer or viewer.

    Returns
    -------
    object
        What it gave; what it raised is raised.
    """
    if not has_window():
        return work()
    with ThreadPoolExecutor(1, thread_name_prefix="mhim-aside") as pool:
        future = pool.submit(work)
        if not wait([future], _AT_ONCE_SECONDS).done:
            _go_on_until(future)
        return future.result()


def _go_on_until(future: "Future[Any]") -> None:
    loop, clock = QEventLoop(), QTimer()
    clock.timeout.connect(lambda: loop.quit() if future.done() else None)
    clock.start(_POLL_MS)
    QApplication.setOverrideCursor(Qt.CursorShape.WaitCursor)
    try:
        loop.exec(QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents)
    finally:
        QApplication.restoreOverrideCursor()


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
