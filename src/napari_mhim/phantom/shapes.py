"""Blobs: closed wavy outlines that glands, vessels and lesions are made of."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mhim.phantom.nuclei import Float, Mpp


@dataclass(frozen=True, eq=False)
class Blob:
    """A wavy closed outline round a centre; lengths in µm."""

    centre: tuple[float, float]
    """Centre, (y, x), µm from the slide's upper left corner."""
    radius: float
    """Mean radius, µm."""
    stretch: float
    """How many times longer than wide."""
    angle: float
    """Direction of the long axis, radians from x towards y."""
    waves: NDArray[np.float64]
    """Share of the radius and phase of each wave of the outline, shape (K, 2)."""

    def reach(self, around: NDArray) -> NDArray:
        """Give the outline's distance from the centre, µm, by direction in radians."""
        turned = around - self.angle
        ellipse = 1 / np.hypot(
            np.cos(turned) / np.sqrt(self.stretch),
            np.sin(turned) * np.sqrt(self.stretch),
        )
        wave = np.ones_like(ellipse)
        for order, (share, phase) in enumerate(self.waves, start=2):
            wave += share * np.cos(order * around + phase)
        return np.asarray(self.radius * ellipse * wave)

    def depth(self, y: NDArray, x: NDArray) -> Float:
        """Give about how far points lie inside the outline, µm, negative outside.

        Parameters
        ----------
        y, x : ndarray, shapes (rows, 1) and (1, cols)
            Where the rows and columns lie, rising, µm.

        Returns
        -------
        ndarray, shape (rows, cols), float32
            Depth; -1000 for all that is far outside.
        """
        depth = np.full((y.shape[0], x.shape[1]), -1e3, np.float32)
        far = self.radius * np.sqrt(self.stretch) * (1 + np.abs(self.waves[:, 0]).sum())
        rows = slice(*np.searchsorted(y[:, 0] - self.centre[0], [-far - 40, far + 40]))
        cols = slice(*np.searchsorted(x[0] - self.centre[1], [-far - 40, far + 40]))
        y, x = y[rows] - self.centre[0], x[:, cols] - self.centre[1]
        depth[rows, cols] = self.reach(np.arctan2(y, x)) - np.hypot(y, x)
        return depth

    def outline(self, mpp: Mpp, inset: float = 0.0, points: int = 64) -> NDArray:
        """Give the outline as a polygon.

        Parameters
        ----------
        mpp : (float, float)
            Micrometres per level-0 pixel, (y, x).
        inset : float
            How far inside the outline to go round, µm.
        points : int
            Number of vertices.

        Returns
        -------
        ndarray, shape (points, 2), float64
            Vertices, (y, x), level-0 px from the slide's corner.
        """
        around = np.linspace(0, 2 * np.pi, points, endpoint=False)
        far = self.reach(around) - inset
        offset = np.stack([far * np.sin(around), far * np.cos(around)], 1)
        return np.asarray((self.centre + offset) / mpp)


def draw_blob(
    centre: tuple[float, float],
    radius: float,
    rng: np.random.Generator,
    wave: float = 0.1,
    stretch: float = 1.6,
) -> Blob:
    """Draw a blob of a given size at random.

    Parameters
    ----------
    centre : (float, float)
        Centre, (y, x), µm.
    radius : float
        Mean radius, µm.
    rng : Generator
        Where the randomness comes from.
    wave : float
        Typical share of the radius by which the outline leaves the ellipse.
    stretch : float
        Largest ratio of length to width.

    Returns
    -------
    Blob
        The blob.
    """
    orders = np.arange(2, 7)
    waves = np.stack([rng.normal(0, wave / orders), rng.uniform(0, 7, len(orders))], 1)
    return Blob(centre, radius, rng.uniform(1, stretch), rng.uniform(0, np.pi), waves)


class Room:
    """Where a new blob still fits."""

    def __init__(self, free: NDArray[np.float32], pitch: tuple[float, float]) -> None:
        self._free = free.copy()  # µm to the nearest thing that is in the way
        self._axes = [
            np.arange(n) * step for n, step in zip(free.shape, pitch, strict=True)
        ]

    def place(
        self, radius: float, rng: np.random.Generator, margin: float = 0.0
    ) -> tuple[tuple[float, float], float]:
        """Find a free place at random and take it.

        Parameters
        ----------
        radius : float
            Wanted radius, µm.
        rng : Generator
            Picks the place.
        margin : float
            Distance to keep from the next thing, µm.

        Returns
        -------
        (float, float), float
            Centre, (y, x), µm, and the radius that fits there: less than wanted where
            nothing larger is free, 0 or less where nothing is.
        """
        radius = min(radius, float(self._free.max()) - margin)
        spots = np.flatnonzero(self._free >= radius + margin)
        row, col = np.unravel_index(rng.choice(spots), self._free.shape)
        y, x = float(self._axes[0][row]), float(self._axes[1][col])
        if radius > 0:
            away = np.hypot(self._axes[0][:, None] - y, self._axes[1][None] - x)
            np.minimum(self._free, away - radius, out=self._free)
        return (y, x), radius
