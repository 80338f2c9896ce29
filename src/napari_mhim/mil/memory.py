"""Memory: how much is in use, which bag does not fit, and what is kept for the next step."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

from napari_mhim.errors import MhimError
from napari_mhim.mil.bags import Bag


def process_mib() -> float:
    """Give the memory this process holds, in MiB."""
    return float(psutil.Process().memory_info().rss / 2**20)


def gpu_mib(device: str) -> float:
    """Give the memory of the GPU this process holds, in MiB; 0 for other devices."""
    if device == "cuda":
        return torch.cuda.memory_reserved() / 2**20
    if device == "mps":
        return torch.mps.driver_allocated_memory() / 2**20
    return 0.0


@contextmanager
def naming(bag: Bag, error: type[MhimError], way_out: str) -> Iterator[None]:
    """Turn torch's out-of-memory into an error that names the slide.

    Parameters
    ----------
    bag : Bag
        The slide that is worked on inside.
    error : type
        What to raise.
    way_out : str
        What the person can do, the end of the sentence.

    Yields
    ------
    None
        While the slide is worked on.

    Raises
    ------
    MhimError
        Of the given kind, if torch runs out of memory inside.
    """
    try:
        yield
    except RuntimeError as err:  # on the CPU, torch has no kind of its own for it
        is_cuda = isinstance(err, torch.OutOfMemoryError)
        if not is_cuda and "allocate memory" not in str(err):
            raise
        raise error(
            f"slide {bag.name!r} with {len(bag)} patches does not fit into the memory "
            f"of the {'GPU' if is_cuda else 'computer'}: {way_out}"
        ) from err


TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""glibc's names for what ``mallopt`` sets, from its ``malloc.h``."""
KEPT = 1 << 30
"""Most freed memory that stays with the process, in bytes, at the top of its heap."""
SINGLE = 64 << 20
"""Largest block that is kept, in bytes: of 8000 instances, TransMIL's are smaller."""


def keep_freed() -> bool:
    """Have this process keep freed memory for its next step, where the system's C library can.

    Each step of training asks for the same blocks again. glibc gives blocks of more than a
    few megabytes back to the system at once, and the system clears every page before it
    hands it out again: a tenth of a step's time. What is kept is bounded by ``KEPT``;
    blocks above ``SINGLE`` come and go as before.

    Returns
    -------
    bool
        False where there is no glibc: nothing was changed.
    """
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):  # musl has none
        return False
    wanted = ((MMAP_THRESHOLD, SINGLE), (TRIM_THRESHOLD, KEPT))
    return all(libc.mallopt(name, value) == 1 for name, value in wanted)
