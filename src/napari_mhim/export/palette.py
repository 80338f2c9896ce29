"""Colours of what is drawn over a slide: told apart with every kind of colour vision."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FOR, AGAINST = (184, 61, 0), (5, 48, 148)
"""Red, green, blue of what speaks for a class, and against."""
RING = "#000000"
"""Rings: black stands out from pink, orange, blue and white alike."""


@dataclass(frozen=True)
class Ramp:
    """Evenly spaced colours from the lower limit of a scale to the upper."""

    stops: tuple[tuple[float, float, float, float], ...]
    """rgba in [0, 1]."""

    def at(self, share: float | NDArray[np.floating]) -> NDArray[np.float64]:
        """Give the colour at shares of the way, shape (..., 4), rgba; clear where NaN."""
        places = np.linspace(0, 1, len(self.stops))
        table = np.array(self.stops)
        filled = np.nan_to_num(share)
        colours = np.stack([np.interp(filled, places, c) for c in table.T], axis=-1)
        colours[np.isnan(share)] = 0
        return colours


# the middle is nearly clear: where a patch says nothing, the tissue is seen
DIVERGING = Ramp(
    (
        (0.02, 0.19, 0.58, 1.0),
        (0.16, 0.47, 0.86, 0.85),
        (0.95, 0.95, 0.95, 0.15),
        (0.98, 0.55, 0.10, 0.85),
        (0.72, 0.24, 0.0, 1.0),
    )
)
"""Blue against the class, orange for it."""
RISING = Ramp(
    (
        (0.27, 0.0, 0.33, 0.25),
        (0.23, 0.32, 0.55, 0.7),
        (0.13, 0.57, 0.55, 0.85),
        (0.37, 0.79, 0.38, 1.0),
        (0.99, 0.91, 0.14, 1.0),
    )
)
"""Dark for little, yellow for much."""
GREY = Ramp(((0.45, 0.45, 0.45, 1.0), (0.45, 0.45, 0.45, 1.0)))
"""One grey."""
