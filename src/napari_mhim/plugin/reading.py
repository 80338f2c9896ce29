"""One resident child process that holds a model and a slide, and answers the window.

Questions and answers are those of :mod:`napari_mhim.mil.questions`. Of questions of one
class only the newest counts: a slider may ask as fast as it moves.
"""

import pickle
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

from psygnal import Signal

from napari_mhim import errors
from napari_mhim.errors import JobError, MhimError
from napari_mhim.plugin._child import ANSWER, ANSWERED, OPENED, REFUSED
from napari_mhim.plugin.jobs import Job

Heard = Callable[[Any], None]


class Conversation(Job):
    """A child process that keeps what it has opened. Use it on the GUI thread only.

    Parameters
    ----------
    on_error : callable, optional
        Called once if nothing can be opened, or the child dies.
    """

    opened = Signal()
    """Emitted when the child is ready; questions may be asked before."""
    _CHILD = "converse"

    def __init__(self, on_error: Callable[[MhimError], None] | None = None) -> None:
        super().__init__(self._hear, on_error, None)
        self._number = 0
        self._asked: dict[int, tuple[type, Heard | None, Heard | None]] = {}
        self._outgoing: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    @property
    def is_waiting(self) -> bool:
        """Tell whether a question is not fully answered yet."""
        return bool(self._asked)

    def ask(
        self,
        question: Any,
        on_answer: Heard | None = None,
        on_refused: Callable[[MhimError], None] | None = None,
    ) -> None:
        """Ask; an older question of the same class is not heard any more.

        Parameters
        ----------
        question : plain dataclass
            What is asked.
        on_answer : callable, optional
            Called with each answer, on the GUI thread.
        on_refused : callable, optional
            Called where the question cannot be answered; later ones can.
        """
        if self.state.is_over:
            return
        self._number += 1
        stale = [n for n, asked in self._asked.items() if asked[0] is type(question)]
        for number in stale:
            del self._asked[number]
        self._asked[self._number] = (type(question), on_answer, on_refused)
        self._outgoing.put(pickle.dumps((self._number, question)))

    def close(self) -> None:
        """End the child; nothing is heard of it any more."""
        self._asked.clear()
        self.cancel()

    def _read(self, call: bytes) -> None:
        # a pipe that is full blocks whoever writes: never the window
        threading.Thread(target=self._write, args=(call,), daemon=True).start()
        super()._read(b"")
        self._outgoing.put(b"")  # lets the writer go

    def _write(self, call: bytes) -> None:
        self._send(call)
        while question := self._outgoing.get():
            self._send(question)

    def _hear(self, event: tuple[str, int, Any]) -> None:
        kind, number, content = event
        if kind == OPENED:
            self.opened.emit()
        if number not in self._asked:
            return
        _, on_answer, on_refused = self._asked[number]
        if kind == ANSWERED:
            del self._asked[number]
        elif kind == ANSWER and on_answer is not None:
            on_answer(content)
        elif kind == REFUSED and on_refused is not None:
            name, sentence = content
            on_refused(getattr(errors, name, JobError)(sentence))


def converse(
    function: Callable[..., Callable[[Any], Iterator[Any]]],
    *args: Any,
    on_error: Callable[[MhimError], None] | None = None,
) -> Conversation:
    """Open something in a child process that answers questions.

    Parameters
    ----------
    function : callable
        Top-level function of a module that imports without torch, for instance
        ``napari_mhim.mil.questions.open_reading``.
    *args : plain values
        Its arguments.
    on_error : callable, optional
        Called once if it cannot be opened, or the child dies.

    Returns
    -------
    Conversation
        The conversation; questions may be asked at once.

    Raises
    ------
    JobError
        If no process can be started.
    """
    talk = Conversation(on_error)
    talk._launch(pickle.dumps((function, args, {})))
    return talk
