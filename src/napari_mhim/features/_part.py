"""Features on their way to disk: an append-only file of rows that prove themselves.

Each record is a checksum, the row of the bag, how many tiles were missing so far, and the
vector. A process that dies at any
moment leaves whole records, perhaps one torn one, or (after a power cut) records of
zeros: on opening, the longest run of records whose checksums hold is kept. A journal
beside the file says whose rows these are; it is written whole before the first record.
"""

import json
import os
import sys
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mhim.errors import FeatureMismatchError, StoreError, WorkspaceError
from napari_mhim.workspace import why_unwritable

_SYNC_SECONDS = 5.0
# far behind any row, since Windows forbids reading a locked byte
_LOCK_BYTE = 1 << 48


def part_path(store_path: Path) -> Path:
    """Give the path of the rows of an unfinished store."""
    return store_path.with_name(f"{store_path.name}.part")


def journal_path(store_path: Path) -> Path:
    """Give the path of the journal of an unfinished store."""
    return store_path.with_name(f"{store_path.name}.part.json")


class Part:
    """The rows of one unfinished store, held by one process at a time.

    Parameters
    ----------
    store_path : Path
        The store that is to come of it.
    identity : mapping
        Whose rows these are, as JSON values.
    dim : int
        Length of a vector.

    Raises
    ------
    FeatureMismatchError
        If rows of another slide, encoder or grid lie there.
    StoreError
        If another process is writing them, or the journal cannot be read.
    WorkspaceError
        If the folder cannot be written.
    """

    def __init__(self, store_path: Path, identity: Mapping[str, Any], dim: int) -> None:
        self.path = part_path(store_path)
        self._store_path = store_path
        self._record = np.dtype(
            [
                ("crc", "<u4"),
                ("missing", "<u4"),
                ("row", "<i8"),
                ("vector", "<f4", dim),
            ]
        )
        self._synced = time.monotonic()
        self.n_rows = 0
        try:
            store_path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | _BINARY, 0o666)
        except OSError as err:
            raise WorkspaceError(why_unwritable(store_path, err)) from err
        try:
            self._begin(identity)
        except BaseException:
            os.close(self._file)
            raise

    def append(
        self, rows: NDArray[np.int64], vectors: NDArray[np.float32], missing: int
    ) -> None:
        """Add records; they outlive the process when this returns.

        Parameters
        ----------
        rows : ndarray, shape (B,), int64
            Row of the bag of each vector.
        vectors : ndarray, shape (B, dim), float32
            The vectors.
        missing : int
            Tiles of the slide missing so far.

        Raises
        ------
        WorkspaceError
            If the disk is full or gone; what was there before is kept.
        """
        records = np.empty(len(rows), self._record)
        records["row"], records["vector"] = rows, vectors
        records["missing"] = missing
        records["crc"] = _checksums(records)
        try:
            self._write(memoryview(records.tobytes()))
            if time.monotonic() - self._synced > _SYNC_SECONDS:
                os.fsync(self._file)
                self._synced = time.monotonic()
        except OSError as err:
            raise WorkspaceError(why_unwritable(self._store_path, err)) from err
        self.n_rows += len(rows)

    def truncate(self, n_rows: int) -> None:
        """Forget all but the first records."""
        os.ftruncate(self._file, n_rows * self._record.itemsize)
        os.lseek(self._file, 0, os.SEEK_END)
        self.n_rows = n_rows

    def records(self) -> NDArray[np.void]:
        """Give the records, shape (n_rows,), with fields ``row``, ``missing``, ``vector``.

        They are mapped from the file, not read: a bag may be larger than the memory.
        """
        if not self.n_rows:
            return np.empty(0, self._record)
        with os.fdopen(os.dup(self._file), "rb") as file:
            return np.memmap(file, self._record, "r", shape=(self.n_rows,))

    @property
    def missing(self) -> int:
        """Give the tiles missing so far, as the last record says."""
        return int(self.records()["missing"][-1]) if self.n_rows else 0

    def close(self) -> None:
        """Let go of the file; its rows stay for the next time."""
        if self._file >= 0:
            # closing is not enough: mapped records share the lock, and the traceback of
            # an error may hold some
            _unlock(self._file)
            os.close(self._file)
            self._file = -1

    def delete(self) -> None:
        """Remove rows and journal, once the store holds them."""
        # windows deletes no open file
        self.close()
        self.path.unlink(missing_ok=True)
        journal_path(self._store_path).unlink(missing_ok=True)

    def _begin(self, identity: Mapping[str, Any]) -> None:
        _lock(self._file, self._store_path)
        found = read_journal(self._store_path)
        if found is None:
            self.truncate(0)
            self._write_journal(identity)
            return
        _refuse_other(found, identity, self.path)
        self.n_rows = os.fstat(self._file).st_size // self._record.itemsize
        self.truncate(_whole(self.records()))

    def _write(self, data: memoryview) -> None:
        # unbuffered, so that no row waits in memory; a write may take only some of it
        while data:
            data = data[os.write(self._file, data) :]

    def _write_journal(self, identity: Mapping[str, Any]) -> None:
        path = journal_path(self._store_path)
        draft = path.with_name(f"{path.name}.new")
        try:
            with draft.open("w", encoding="utf-8") as file:
                json.dump(identity, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError as err:
            draft.unlink(missing_ok=True)
            raise WorkspaceError(why_unwritable(path, err)) from err


_BINARY = getattr(os, "O_BINARY", 0)  # windows would turn bytes 0A into 0D 0A


def read_journal(store_path: Path) -> dict[str, Any] | None:
    """Read whose rows an unfinished store holds.

    Parameters
    ----------
    store_path : Path
        The store that was to come of it.

    Returns
    -------
    dict or None
        What the journal says; None when there is none.

    Raises
    ------
    StoreError
        If it is damaged.
    """
    path = journal_path(store_path)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as err:
        raise StoreError(
            f"the journal {str(path)!r} cannot be read ({err}); delete it to start anew"
        ) from err
    if not isinstance(found, dict):
        raise StoreError(f"{str(path)!r} is no journal; delete it to start anew")
    return found


def forget_other_part(store_path: Path, identity: Mapping[str, Any]) -> None:
    """Remove the rows of an unfinished store that are of other patches of the same slide.

    Parameters
    ----------
    store_path : Path
        The store that was to come of them.
    identity : mapping
        What is wanted in their place, as JSON values.

    Raises
    ------
    StoreError
        If the journal is damaged.
    """
    found = read_journal(store_path)
    cut = ("patches", "grid")
    if found is None or all(found.get(key) == identity[key] for key in cut):
        return
    if all(found.get(key) == identity[key] for key in identity if key not in cut):
        part_path(store_path).unlink(missing_ok=True)
        journal_path(store_path).unlink(missing_ok=True)


def _refuse_other(
    found: Mapping[str, Any], wanted: Mapping[str, Any], path: Path
) -> None:
    for key, value in wanted.items():
        if found.get(key) != value:
            raise FeatureMismatchError(
                f"unfinished features in {str(path)!r} are of {key} {found.get(key)!r}, "
                f"wanted is {value!r}; delete that file and its journal, or choose "
                "another folder"
            )


def _checksums(records: NDArray[np.void]) -> NDArray[np.uint32]:
    skip = records.dtype.fields["missing"][1]  # type: ignore[index]
    return np.array([zlib.crc32(memoryview(r.tobytes())[skip:]) for r in records], "u4")


def _whole(records: NDArray[np.void], step: int = 4096) -> int:
    """Count the records before the first whose checksum does not hold."""
    for start in range(0, len(records), step):
        block = np.asarray(records[start : start + step])
        is_torn = block["crc"] != _checksums(block)
        if is_torn.any():
            return start + int(is_torn.argmax())
    return len(records)


def _lock(file: int, store_path: Path) -> None:
    """Keep a second process out; the system lets go when this one ends, however."""
    try:
        _system_lock(file, is_wanted=True)
    except (BlockingIOError, PermissionError) as err:
        raise StoreError(
            f"features {str(store_path)!r} are being extracted by another process; "
            "wait for it, or stop it"
        ) from err
    except OSError:
        # some network file systems have no locks: then the user takes care
        return


def _unlock(file: int) -> None:
    with suppress(OSError):
        _system_lock(file, is_wanted=False)


def _system_lock(file: int, is_wanted: bool) -> None:
    if sys.platform == "win32":
        import msvcrt

        os.lseek(file, _LOCK_BYTE, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK if is_wanted else msvcrt.LK_UNLCK, 1)
    else:
        import fcntl

        wanted = fcntl.LOCK_EX | fcntl.LOCK_NB if is_wanted else fcntl.LOCK_UN
        fcntl.flock(file, wanted)
