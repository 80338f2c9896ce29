"""Long jobs in a child process; their events come back on the GUI thread.

A job is a top-level generator function of small frozen events, and plain values for its
arguments. Why a process: cancel always answers, the GPU's memory comes back, a crash of
a driver leaves napari alive, and the window never imports torch.
"""

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from enum import Enum
from typing import IO, Any

from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_mhim import errors
from napari_mhim.errors import JobError, MhimError
from napari_mhim.plugin._child import DONE, ERROR, EVENT

POLL_MS = 40
"""How often the window looks for events, in ms."""
GRACE_SECONDS = 1.0
"""How long a cancelled job may take to end before it is killed."""
_SLICE_SECONDS = 0.02  # at most so long does one look keep the window busy


class JobState(Enum):
    """Where a job stands; buttons follow it."""

    IDLE = "idle"
    RUNNING = "running"
    STOPPING = "stopping"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        """Tell whether nothing more will come."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


def start(
    function: Callable[..., Iterator[Any]],
    *args: Any,
    on_event: Callable[[Any], None] | None = None,
    on_error: Callable[[MhimError], None] | None = None,
    on_done: Callable[[], None] | None = None,
    **kwargs: Any,
) -> "Job":
    """Run a generator function in a child process.

    Parameters
    ----------
    function : callable
        Top-level generator function of an importable module.
    *args, **kwargs : plain values
        Its arguments: whatever pickles; paths and names, never an open slide or a model.
    on_event : callable, optional
        Called with each event, on the GUI thread.
    on_error : callable, optional
        Called once if the job fails: with the error of our own that the job raised, or a
        ``JobError``. The child's traceback is among the error's ``__notes__``.
    on_done : callable, optional
        Called once when the generator has ended by itself; not after a cancel.

    Returns
    -------
    Job
        The running job.

    Raises
    ------
    JobError
        If the function or its arguments cannot go to another process, or no process can
        be started.
    """
    try:
        call = pickle.dumps((function, args, kwargs))
    except (pickle.PicklingError, AttributeError, TypeError) as err:
        raise JobError(
            f"{getattr(function, '__qualname__', function)!r} and its arguments must be "
            f"importable names and plain values to run in another process: {err}"
        ) from err
    job = Job(on_event, on_error, on_done)
    job._launch(call)
    return job


class Job:
    """One generator at work in a child process. Use it on the GUI thread only."""

    state_changed = Signal(JobState)
    """Emitted with each new state."""
    _CHILD = "main"

    def __init__(
        self,
        on_event: Callable[[Any], None] | None,
        on_error: Callable[[MhimError], None] | None,
        on_done: Callable[[], None] | None,
    ) -> None:
        self._on_event, self._on_error, self._on_done = on_event, on_error, on_done
        self._state = JobState.IDLE
        self._messages: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._cancelled_at = 0.0

    @property
    def state(self) -> JobState:
        """Give where the job stands."""
        return self._state

    @property
    def pid(self) -> int:
        """Give the process id of the child."""
        return self._process.pid

    def cancel(self) -> None:
        """Stop the job: no event comes any more, and within two seconds it is over."""
        if self._state is not JobState.RUNNING:
            return
        self._cancelled_at = time.monotonic()
        self._set_state(JobState.STOPPING)
        self._signal(kill=False)

    def _launch(self, call: bytes) -> None:
        program = (
            f"import sys; sys.path[:] = {sys.path!r}\n"
            f"from napari_mhim.plugin import _child; _child.{self._CHILD}()"
        )
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                # its own group, so that cancel reaches what the job itself has started
                start_new_session=os.name == "posix",
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as err:
            self._stderr.close()
            raise JobError(f"no process could be started for the job: {err}") from err
        threading.Thread(target=self._read, args=(call,), daemon=True).start()
        self._timer = QTimer()
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._poll)
        self._timer.start()
        # the timer holds no reference of its own: without this a job could vanish at work
        _at_work.add(self)
        self._set_state(JobState.RUNNING)

    def _read(self, call: bytes) -> None:
        """Move messages from the pipe to the queue, on a thread; the last is None's."""
        assert self._process.stdout is not None
        self._send(call)
        try:
            while True:
                self._messages.put(pickle.load(self._process.stdout))
        except (EOFError, pickle.UnpicklingError):
            pass  # the child is gone; after kill -9 in the middle of a message
        except Exception as err:  # noqa: BLE001 - nothing may end this thread unheard
            told = ("napari_mhim", "Event", f"an event could not be read: {err}", "")
            self._messages.put((ERROR, told))
            self._signal(kill=True)
        self._process.wait()
        self._messages.put(("gone", self._process.returncode))

    def _send(self, message: bytes) -> None:
        assert self._process.stdin is not None
        # a child that died takes nothing: its exit code says why
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(message)
            self._process.stdin.flush()

    def _poll(self) -> None:
        until = time.monotonic() + _SLICE_SECONDS
        while time.monotonic() < until:
            try:
                kind, content = self._messages.get_nowait()
            except queue.Empty:
                break
            self._take(kind, content)
        if self._state is JobState.STOPPING:
            overdue = time.monotonic() - self._cancelled_at > GRACE_SECONDS
            if overdue:
                self._signal(kill=True)

    def _take(self, kind: str, content: Any) -> None:
        if kind == "gone":
            self._end(content)
        elif self._state is not JobState.RUNNING:
            pass  # cancelled: what was under way is not shown any more
        elif kind == EVENT and self._on_event is not None:
            self._on_event(content)
        elif kind == DONE:
            self._set_state(JobState.DONE)
            if self._on_done is not None:
                self._on_done()
        elif kind == ERROR:
            self._fail(_rebuilt(*content))

    def _end(self, exit_code: int) -> None:
        self._timer.stop()
        _at_work.discard(self)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        # a child that died before it took its call leaves bytes that cannot be flushed
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.stdout.close()
        if self._state is JobState.STOPPING:
            self._set_state(JobState.CANCELLED)
        elif self._state is JobState.RUNNING:
            self._fail(_death(exit_code, self._last_words()))
        self._stderr.close()

    def _fail(self, error: MhimError) -> None:
        self._set_state(JobState.FAILED)
        if self._on_error is not None:
            self._on_error(error)

    def _last_words(self, n_bytes: int = 4000) -> str:
        self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, self._stderr.tell() - n_bytes))
        return self._stderr.read().decode(errors="replace")

    def _signal(self, kill: bool) -> None:
        with contextlib.suppress(ProcessLookupError):
            if os.name == "posix":
                number = signal.SIGKILL if kill else signal.SIGTERM
                os.killpg(self._process.pid, number)
            elif kill:
                self._process.kill()
            else:
                self._process.terminate()

    def _set_state(self, state: JobState) -> None:
        self._state = state
        self.state_changed.emit(state)


_at_work: set[Job] = set()


def _rebuilt(module: str, name: str, sentence: str, details: str) -> MhimError:
    """Make the error again that the child raised: one of our own, or a JobError."""
    kind = getattr(errors, name, None) if module == errors.__name__ else None
    if kind is not None:
        error: MhimError = kind(sentence)
    elif name in ("OutOfMemoryError", "MemoryError"):
        error = JobError(
            "memory ran out during the job; close other programs, choose a smaller "
            "batch, or run it on 'cpu'"
        )
    else:
        error = JobError(f"the job failed: {name}: {sentence or 'no reason given'}")
    error.add_note(details)
    return error


def _death(exit_code: int, last_words: str) -> JobError:
    """Say how a child ended that gave no answer, and what to do."""
    if exit_code == -9:
        why = "killed, most often by the system because memory ran out"
    elif exit_code < 0:
        why = f"stopped by signal {_signal_name(-exit_code)}"
    else:
        why = "it crashed"
    error = JobError(
        f"the job's process ended without an answer (exit code {exit_code}: {why}); "
        "what it had finished is kept: start it again, with other programs closed or on "
        "another device"
    )
    error.add_note(last_words)
    return error


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
