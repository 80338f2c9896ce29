"""Patches into vectors beside the reading: a batch ahead, and in parts where memory ends."""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_mhim.errors import ConfigError
from napari_mhim.events import Note
from napari_mhim.features.encoder import Encoder
from napari_mhim.slide.patches import PatchBatch

# batches kept ready at each stage: enough to even out slow tiles, and each costs memory
_AHEAD = 2

# what the memory of a processor, and of apple's graphics, says in a plain RuntimeError
_NO_MEMORY = ("out of memory", "not enough memory", "can't allocate memory")

Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class Rows:
    """Vectors of some patches."""

    index: NDArray[np.int64]
    """Which rows of ``grid.cells``, shape (B,)."""
    features: NDArray[np.float32]
    """Shape (B, dim)."""


def encoded(encoder: Encoder, patches: Iterator[PatchBatch]) -> Iterator[Rows | Note]:
    """Encode batches of patches, while the next ones are read and the last ones written.

    Reading, encoding and whoever asks for the rows run side by side; each stage holds
    two batches for the next, however large the slide.

    Parameters
    ----------
    encoder : Encoder
        Built.
    patches : iterator of PatchBatch
        What is read.

    Yields
    ------
    Rows or Note
        The rows of each batch, in order; a note where batches are split from here on,
        since they do not fit the device's memory.

    Raises
    ------
    ConfigError
        If not even one patch fits it.
    """
    with closing(_ahead(patches, "reading")) as batches:
        rows = _ahead(_encoded(encoder, batches), "encoding")
        with closing(rows):
            yield from rows


def _encoded(encoder: Encoder, batches: Iterable[PatchBatch]) -> Iterator[Rows | Note]:
    most = 0
    for batch in batches:
        pixels = batch.pixels
        most = most or len(pixels)
        parts: list[NDArray[np.float32]] = []
        at = 0
        while at < len(pixels):
            part = pixels[at : at + most]
            found = _fitting(encoder, part)
            if found is not None:
                parts.append(found)
                at += len(part)
                continue
            most = len(part) // 2
            if not most:
                raise ConfigError(
                    f"not even one patch fits the memory of device {encoder.device!r} "
                    f"with encoder {encoder.name!r}; choose the device 'cpu', or end "
                    "what else holds its memory"
                )
            yield Note(
                f"{len(part)} patches at once do not fit the memory of device "
                f"{encoder.device!r}: it goes on with {most}, with the same features."
            )
        yield Rows(batch.index, np.concatenate(parts))


def _fitting(encoder: Encoder, pixels: NDArray[np.uint8]) -> NDArray[np.float32] | None:
    """Encode some patches, (B, P, P, 3) → (B, dim); None where memory does not do."""
    import torch

    try:
        patches = torch.from_numpy(pixels).to(encoder.device)
        features: NDArray[np.float32] = encoder(patches).cpu().numpy()
    except RuntimeError as err:
        if not isinstance(err, torch.OutOfMemoryError) and not any(
            words in str(err).lower() for words in _NO_MEMORY
        ):
            raise
    else:
        return features
    # only now, past the error that held what the attempt had taken
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def _ahead(items: Iterator[Item], name: str) -> Generator[Item, None, None]:
    """Have a thread make the next items while one is used."""
    with ThreadPoolExecutor(1, name) as pool:
        waiting = deque(pool.submit(next, items, None) for _ in range(_AHEAD))
        try:
            while (item := waiting.popleft().result()) is not None:
                waiting.append(pool.submit(next, items, None))
                yield item
        finally:
            for future in waiting:
                future.cancel()
