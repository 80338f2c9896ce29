"""Nuclei and blood cells: a library of drawn stamps, and stamping them on a slide."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Float: TypeAlias = NDArray[np.float32]
Mpp: TypeAlias = tuple[float, float]
Stamp: TypeAlias = tuple[NDArray[np.uint8], NDArray[np.uint8]]

ORIENTATIONS = 16
"""Angles of each stamp over half a turn."""
VARIANTS = 10
"""Different nuclei of each kind and angle."""


@dataclass(frozen=True)
class NucleusKind:
    """How nuclei of one kind look; lengths in µm, densities in [0, 1]."""

    length_um: tuple[float, float]
    """Half the long axis, least and largest."""
    width_um: tuple[float, float]
    """Half the short axis, least and largest."""
    dark: tuple[float, float]
    """Density of haematoxylin, least and largest."""
    rim: float = 0.1
    """How much darker the membrane is than the inside."""
    clumps: float = 0.1
    """How uneven the chromatin is."""
    ragged: float = 0.05
    """How far the outline leaves the ellipse."""
    nucleolus: float = 0.0
    """Density that a nucleolus adds; 0 for none."""
    eosin: float = 0.25
    """Density of eosin inside."""
    adds_eosin: bool = False
    """Whether the eosin is added to what lies below, not left of it."""


KINDS: Mapping[str, NucleusKind] = {
    "spindle": NucleusKind((4.2, 6.8), (1.1, 1.9), (0.55, 0.8), clumps=0.12),
    "plump": NucleusKind((4.0, 5.6), (2.0, 2.9), (0.42, 0.6), rim=0.16, clumps=0.12),
    "lymphocyte": NucleusKind((2.7, 3.4), (2.5, 3.1), (0.75, 0.95), clumps=0.16),
    "epithelium": NucleusKind((3.7, 4.7), (2.5, 3.2), (0.5, 0.68), rim=0.12),
    "easy": NucleusKind(
        (4.6, 7.6), (3.8, 5.6), (0.66, 0.98), clumps=0.22, ragged=0.12, nucleolus=0.15
    ),
    "hard": NucleusKind(
        (3.9, 4.9), (3.2, 4.0), (0.4, 0.55), rim=0.2, clumps=0.1, nucleolus=0.3
    ),
    "red cell": NucleusKind(
        (3.0, 3.6), (2.8, 3.4), (0.0, 0.02), eosin=0.95, adds_eosin=True
    ),
}
"""Every kind of stamp by its name."""


def _draw(kind: NucleusKind, angle: float, mpp: Mpp, rng: np.random.Generator) -> Stamp:
    """Draw one nucleus: its haematoxylin, and the eosin it adds, or leaves at most."""
    long, short = rng.uniform(*kind.length_um), rng.uniform(*kind.width_um)
    reach = [int(np.ceil((max(kind.length_um) * 1.25 + 1) / m)) for m in mpp]
    y, x = np.mgrid[-reach[0] : reach[0] + 1, -reach[1] : reach[1] + 1] + rng.uniform(
        -0.5, 0.5, (2, 1, 1)
    )
    y, x = y * mpp[0], x * mpp[1]
    u = (x * np.cos(angle) + y * np.sin(angle)) / long
    v = (y * np.cos(angle) - x * np.sin(angle)) / short
    around = np.arctan2(v, u)
    waves = sum(
        rng.normal(0, kind.ragged / n) * np.cos(n * around + rng.uniform(0, 7))
        for n in (1, 2, 3, 4)
    )
    inside = (1 + waves - np.hypot(u, v)) * short  # about µm from the outline
    cover = np.clip(inside / 0.7 + 0.5, 0, 1)
    grain = gaussian_filter(rng.standard_normal(u.shape), [0.6 / m for m in mpp])
    density = rng.uniform(*kind.dark) + kind.clumps * grain / (grain.std() + 1e-6)
    density += kind.rim * (np.exp(-((inside / 0.7) ** 2)) - 0.4)
    spot = np.hypot(y - rng.normal(0, 0.8), x - rng.normal(0, 0.8))
    density += kind.nucleolus * np.clip(1.7 - spot / 0.75, 0, 1)
    haematoxylin = 255 * np.clip(density, 0, 1) * cover
    left = 255 * (1 - cover * (1 - kind.eosin))
    eosin = 255 * kind.eosin * cover if kind.adds_eosin else left
    return haematoxylin.astype(np.uint8), eosin.astype(np.uint8)


@lru_cache(maxsize=32)
def library(name: str, mpp: Mpp) -> Sequence[Stamp]:
    """Give the stamps of one kind, ``ORIENTATIONS`` × ``VARIANTS``, angle by angle."""
    rng = np.random.default_rng(list(name.encode()))
    return tuple(
        _draw(KINDS[name], np.pi * turn / ORIENTATIONS, mpp, rng)
        for turn in range(ORIENTATIONS)
        for _ in range(VARIANTS)
    )


@dataclass(frozen=True, eq=False)
class Nuclei:
    """Where the nuclei of one kind lie."""

    kind: str
    """A name in :data:`KINDS`."""
    centres: NDArray[np.float64]
    """Centres, shape (N, 2), (y, x), level-0 px."""
    angles: NDArray[np.float64]
    """Direction of the long axis, shape (N,), radians from x towards y."""


def stamp(
    nuclei: Nuclei,
    haematoxylin: NDArray[np.uint8],
    eosin: NDArray[np.uint8],
    mpp: Mpp,
    rng: np.random.Generator,
) -> None:
    """Stamp nuclei on a slide's stains, in place.

    Parameters
    ----------
    nuclei : Nuclei
        What and where; those whose stamp would leave the slide are left out.
    haematoxylin, eosin : ndarray, shape (H, W), uint8
        The slide's stains, changed in place.
    mpp : (float, float)
        Micrometres per pixel, (y, x).
    rng : Generator
        Picks the variant of each nucleus.
    """
    stamps = library(nuclei.kind, mpp)
    mix = np.maximum if KINDS[nuclei.kind].adds_eosin else np.minimum
    height, width = stamps[0][0].shape
    turns = np.round(nuclei.angles / np.pi * ORIENTATIONS).astype(int) % ORIENTATIONS
    picks = turns * VARIANTS + rng.integers(VARIANTS, size=len(turns))
    corners = np.round(nuclei.centres).astype(int) - (height // 2, width // 2)
    fits = np.all(corners >= 0, 1) & np.all(
        corners + np.array((height, width)) <= haematoxylin.shape, 1
    )
    for (y, x), pick in zip(corners[fits].tolist(), picks[fits].tolist(), strict=True):
        dark, pale = stamps[pick]
        blue = haematoxylin[y : y + height, x : x + width]
        pink = eosin[y : y + height, x : x + width]
        np.maximum(blue, dark, out=blue)
        mix(pink, pale, out=pink)
