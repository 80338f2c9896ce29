"""The other end of ``jobs.py`` and ``reading.py``: runs one generator, or answers questions.

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

from napari_mhim.errors import MhimError

EVENT, ERROR, DONE = "event", "error", "done"
"""What a message is: the first item of each pair that goes to the window."""
OPENED, ANSWER, REFUSED, ANSWERED = "opened", "answer", "refused", "answered"
"""What an event of a conversation is: the first item of (kind, number of question, content)."""


def main() -> None:
    """Take one call from standard input, run it, and send its events to standard output."""
    pipe = _pipe()
    function, args, kwargs = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_die_with_the_window, daemon=True).start()
    for event in function(*args, **kwargs):
        _send(pipe, EVENT, event)
    _send(pipe, DONE, None)


def converse() -> None:
    """Take one call, whose result answers questions, and answer those that follow it.

    A question that waits is dropped when a newer one of its class comes, and one that is
    being answered is left at its next answer: a slider asks faster than a model answers.
    """
    pipe = _pipe()
    function, args, kwargs = pickle.load(sys.stdin.buffer)
    answer = function(*args, **kwargs)
    inbox = _Inbox()
    _send(pipe, EVENT, (OPENED, 0, None))
    while True:
        number, question = inbox.next()
        try:
            for content in answer(question):
                _send(pipe, EVENT, (ANSWER, number, content))
                if inbox.holds(type(question)):
                    break
        except MhimError as err:
            _send(pipe, EVENT, (REFUSED, number, (type(err).__name__, str(err))))
        _send(pipe, EVENT, (ANSWERED, number, None))


class _Inbox:
    """Questions that wait, the newest of each class; a thread fills it."""

    def __init__(self) -> None:
        self._waiting: dict[type, tuple[int, Any]] = {}
        self._changed = threading.Condition()
        threading.Thread(target=self._fill, daemon=True).start()

    def next(self) -> tuple[int, Any]:
        """Take the question that has waited longest, with its number; waits for one."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting)
            return self._waiting.pop(next(iter(self._waiting)))

    def holds(self, kind: type) -> bool:
        """Tell whether a question of a class waits."""
        with self._changed:
            return kind in self._waiting

    def _fill(self) -> None:
        while True:
            try:
                number, question = pickle.load(sys.stdin.buffer)
            except EOFError:  # the window is gone
                os._exit(1)
            with self._changed:
                self._waiting[type(question)] = number, question
                self._changed.notify()


def _pipe() -> BinaryIO:
    # what the job prints must not end up between two messages
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    faulthandler.enable()
    sys.excepthook = _Reporter(pipe)
    return pipe


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
