"""What tests of a real window share: its pixels, and time for it to draw."""

import os
import sys
import time
from dataclasses import dataclass

import numpy as np

HAS_DISPLAY = sys.platform != "linux" or bool(
    os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
)


def settle(rounds: int = 6) -> None:
    """Let Qt draw and lay out."""
    from qtpy.QtWidgets import QApplication

    for _ in range(rounds):
        QApplication.processEvents()
        time.sleep(0.02)


@dataclass(frozen=True)
class Picture:
    """The canvas's pixels, found by world position."""

    pixels: np.ndarray
    centre: np.ndarray
    zoom: float

    def around(self, world, reach: int = 1) -> np.ndarray:
        """Give the pixels about a world position (y, x), shape (n, n, 3)."""
        middle = np.array(self.pixels.shape[:2]) / 2
        y, x = ((np.asarray(world) - self.centre) * self.zoom + middle).astype(int)
        return self.pixels[y - reach : y + reach + 1, x - reach : x + reach + 1, :3]

    def change_of(self, other: "Picture"):
        """Give a function of a world position: by how much each channel rose."""

        def change(world) -> np.ndarray:
            now = self.around(world).reshape(-1, 3).mean(axis=0)
            before = other.around(world).reshape(-1, 3).mean(axis=0)
            return now - before

        return change


def canvas_pixels(viewer) -> Picture:
    """Take a picture of the canvas as it is now."""
    from napari_mhim.plugin.viewing import wait_until_sharp

    settle()
    assert wait_until_sharp(viewer)
    pixels = viewer.screenshot(canvas_only=True, flash=False)
    camera = viewer.scene.camera
    return Picture(pixels, np.array(camera.center[-2:]), camera.zoom)
