"""Generators that a spawned child can import: what the tests of jobs run."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from napari_mhim.errors import NoTissueError
from napari_mhim.events import Note, Progress


@dataclass(frozen=True)
class Picture:
    """An event that carries an array."""

    pixels: np.ndarray


def count(n: int, *, unit: str = "patches") -> Iterator[Progress]:
    for done in range(n):
        yield Progress("counting", done + 1, n, unit)


def where() -> Iterator[Note]:
    yield Note(" ".join(sorted(sys.modules)))
    yield Note(str(os.getpid()))


def pictures() -> Iterator[Picture]:
    yield Picture(np.arange(300_000, dtype=np.float32).reshape(300, 1000))


def chatter() -> Iterator[Note]:
    sys.stdout.write("this must not end up between two messages\n")
    sys.stdout.flush()
    os.write(1, b"nor this\n")
    yield Note("after the chatter")


def runtime_error() -> Iterator[Note]:
    yield Note("so far so good")
    raise RuntimeError("CUDA error: device-side assert triggered")


def our_error() -> Iterator[Note]:
    raise NoTissueError("no tissue was found on 'a.svs'")
    yield


def out_of_memory() -> Iterator[Note]:
    raise MemoryError
    yield


def killed() -> Iterator[Note]:
    yield Note("about to die")
    os.kill(os.getpid(), signal.SIGKILL)
    yield Note("never")


def crashed() -> Iterator[Note]:
    sys.stderr.write("driver: cannot go on\n")
    sys.stderr.flush()
    os._exit(3)
    yield


def endless() -> Iterator[Note]:
    while True:
        yield Note(str(os.getpid()))
        time.sleep(0.01)


def deaf() -> Iterator[Note]:
    """Ignore a polite request to end, and never come back from the first step."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    yield Note(str(os.getpid()))
    while True:
        time.sleep(60)


def unsendable() -> Iterator[object]:
    yield lambda: None


def silent_until_told(path: str) -> Iterator[Note]:
    """Write down the own process id, then wait for ever."""
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    while True:
        time.sleep(60)
        yield Note("still here")
