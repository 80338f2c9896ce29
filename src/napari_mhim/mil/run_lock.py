"""One process in a run's folder at a time: a lock that ends with the process that holds it.

The system keeps the lock and not the file's presence, so that a process that was killed,
or a computer that lost power, locks nobody out. Where a file system has no locks, none is
held.
"""

import errno
import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from napari_mhim.errors import TrainingError, WorkspaceError
from napari_mhim.workspace import why_unwritable

FILE = "lock"
"""Name of the file in a run's folder; it holds the process id and the computer's name."""
_TAKEN = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
"""What systems answer where another process holds the lock."""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other processes out of a run's folder.

    Parameters
    ----------
    folder : Path
        The run's folder; made where it is none.

    Yields
    ------
    None
        While the folder is this caller's alone.

    Raises
    ------
    TrainingError
        If another process, or another run of this one, is at work in it.
    WorkspaceError
        If the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / FILE).open("a+b")
    except OSError as err:
        raise WorkspaceError(why_unwritable(folder / FILE, err)) from err
    with file:
        if not _take(file):
            raise TrainingError(_refusal(folder, file))
        _sign(file, {"pid": os.getpid(), "host": platform.node()})
        try:
            yield
        finally:
            _sign(file, {})


def refuse_held(folder: Path) -> None:
    """Refuse a folder that another process is at work in.

    Parameters
    ----------
    folder : Path
        A run's folder; may be none.

    Raises
    ------
    TrainingError
        Naming the process and its computer.
    """
    try:
        file = (folder / FILE).open("r+b")
    except OSError:  # no run was ever at work there, or it cannot be written anyway
        return
    with file:
        if not _take(file):
            raise TrainingError(_refusal(folder, file))


def _take(file: IO[bytes]) -> bool:
    """Lock an open file until it is closed; False where another has it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            # Windows shuts readers out of what is locked: a byte far behind the text
            file.seek(1 << 20)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as err:
        return err.errno not in _TAKEN
    return True


def _sign(file: IO[bytes], who: dict[str, object]) -> None:
    # only the message to others wants it: a full disk is told by what must be written
    with suppress(OSError):
        file.truncate(0)
        file.write(json.dumps(who).encode() if who else b"")
        file.flush()


def _refusal(folder: Path, file: IO[bytes]) -> str:
    who = "another process"
    with suppress(OSError, ValueError, KeyError, TypeError):
        file.seek(0)
        said = json.loads(file.read())
        who = f"process {said['pid']} on {said['host']!r}"
    return (
        f"run {folder.name!r} is being trained by {who}; wait until it ends, stop it "
        "there, or give another name"
    )
