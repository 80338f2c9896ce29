"""The other end of ``jobs.py``: runs one generator and sends what it yields.

This process was started by ``jobs.start`` with a plain interpreter, not by
``multiprocessing``: that would run napari's start script (or the user's unguarded one)
again, and load Qt before torch, which fails on some Windows machines.
"""

import faulthandler
import os
import pickle
import sys
import threading
import traceback
from types import TracebackType
from typing import Any, BinaryIO

EVENT, ERROR, DONE = "event", "error", "done"
"""What a message is: the first item of each pair that goes to the window."""


def main() -> None:
    """Take one call from standard input, run it, and send its events to standard output."""
    # what the job prints must not end up between two messages
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    faulthandler.enable()
    sys.excepthook = _Reporter(pipe)
    function, args, kwargs = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_die_with_the_window, daemon=True).start()
    for event in function(*args, **kwargs):
        _send(pipe, EVENT, event)
    _send(pipe, DONE, None)


def _send(pipe: BinaryIO, kind: str, content: Any) -> None:
    # pickled before it is written: half a message is never sent
    pipe.write(pickle.dumps((kind, content)))
    pipe.flush()


def _die_with_the_window() -> None:
    # the window never writes again: the pipe ends when it does, kill -9 included
    sys.stdin.buffer.read()
    os._exit(1)


class _Reporter:
    """Sends an uncaught exception to the window before the process ends."""

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe

    def __call__(
        self,
        kind: type[BaseException],
        error: BaseException,
        trace: TracebackType | None,
    ) -> None:
        lines = "".join(traceback.format_exception(kind, error, trace))
        sys.stderr.write(lines)
        _send(self._pipe, ERROR, (kind.__module__, kind.__name__, str(error), lines))
