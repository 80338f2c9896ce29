"""Colours of the overlays: told apart with every kind of colour vision, and on pink tissue."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

RING_COLOUR = "#000000"
"""Rings: black stands out from pink, orange, blue and white alike."""
RING_IN_VIEW_COLOUR = "#00e5ff"
"""The one ring that was flown to."""
TRUTH_COLOUR = "#00a651"
"""Outlines of a made slide's lesions."""

MARKED_COLOUR = "#00e5ff"
"""Outlines of what the reader marks."""
PART_COLOURS = {"high": "#595959", "low": "#56b4e9", "random": "#e6d100"}
"""What a mask hides, part by part: the teacher's easiest, the least salient, by chance."""


@dataclass(frozen=True)
class ColourMap:
    """A colour map that napari draws on the slide and the dock draws in its legend."""

    name: str
    """Name among napari's colour maps."""
    stops: tuple[tuple[float, float, float, float], ...]
    """Evenly spaced colours, rgba in [0, 1], from the lower limit to the upper."""

    def as_napari(self) -> dict[str, Any]:
        """Give the map as napari's layers take it."""
        return {"name": self.name, "colors": np.array(self.stops, np.float32)}

    def at(self, share: float) -> NDArray[np.float64]:
        """Give the colour at a share of the way from lower to upper limit, shape (4,), rgba."""
        positions = np.linspace(0, 1, len(self.stops))
        table = np.array(self.stops)
        return np.array([np.interp(share, positions, channel) for channel in table.T])


# the middle is nearly clear: where a patch says nothing, the tissue is seen
EVIDENCE_MAP = ColourMap(
    "mhim evidence",
    (
        (0.02, 0.19, 0.58, 1.0),
        (0.16, 0.47, 0.86, 0.85),
        (0.95, 0.95, 0.95, 0.15),
        (0.98, 0.55, 0.10, 0.85),
        (0.72, 0.24, 0.0, 1.0),
    ),
)
"""Blue against the class, orange for it."""

ATTENTION_MAP = ColourMap(
    "mhim attention",
    (
        (0.27, 0.0, 0.33, 0.25),
        (0.23, 0.32, 0.55, 0.7),
        (0.13, 0.57, 0.55, 0.85),
        (0.37, 0.79, 0.38, 1.0),
        (0.99, 0.91, 0.14, 1.0),
    ),
)
"""Dark for little weight, yellow for much."""

HIDDEN_MAP = ColourMap(
    "mhim hidden", ((0.45, 0.45, 0.45, 1.0), (0.45, 0.45, 0.45, 1.0))
)
"""One grey."""


def _rgba(colour: str) -> tuple[float, float, float, float]:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue, 1.0


PARTS_MAP = ColourMap("mhim parts", tuple(map(_rgba, PART_COLOURS.values())))
"""1 for the high part, 2 for the low, 3 for the random one."""
