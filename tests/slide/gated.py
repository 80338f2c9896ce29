"""A slide on a disk that answers when the test lets it."""

import threading
from pathlib import Path

import numpy as np

from napari_mhim.errors import SlideError
from napari_mhim.slide import Slide
from napari_mhim.slide.cache import TileCache
from napari_mhim.slide.slide import SlideFile
from napari_mhim.slide.source import NativeLevel


class Disk:
    """Hands out tiles while it is open, counts them, and can be gone."""

    def __init__(self) -> None:
        self.lets = threading.Event()
        self.lets.set()
        self.is_gone = self.is_closed = False
        self.read: list[tuple[int, int, int]] = []
        self.threads: set[threading.Thread] = set()

    def level(self, index: int, image: np.ndarray, tile: int) -> NativeLevel:
        """Serve an image as one level of square tiles."""

        def decode(row: int, col: int) -> np.ndarray:
            self.read.append((index, row, col))
            self.threads.add(threading.current_thread())
            assert self.lets.wait(20)
            if self.is_gone:
                raise SlideError("'patient.svs' cannot be read: the share is gone")
            y, x = row * tile, col * tile
            return image[y : y + tile, x : x + tile].copy()

        return NativeLevel(image.shape[:2], (tile, tile), decode)

    def close(self) -> None:
        """Take note that the file was closed."""
        self.is_closed = True


def pictures(shape=(2048, 3072)) -> list[np.ndarray]:
    """Give a picture of smooth ramps at full, a quarter, and an eighth of its size."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    full = np.stack([y * 200 // shape[0], x * 200 // shape[1], y * 0 + 90], axis=2)
    fine = full.astype(np.uint8)
    return [fine, fine[2::4, 2::4], fine[4::8, 4::8]]


def slide_on(disk: Disk, path: Path, cache_bytes: int = 1 << 26, tile: int = 256):
    """Open the picture from a disk."""
    path.touch()
    levels = [disk.level(n, image, tile) for n, image in enumerate(pictures())]
    return Slide(path, SlideFile(levels, disk.close), TileCache(cache_bytes))
