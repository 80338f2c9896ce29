"""Colours of the overlays: told apart with every kind of colour vision, and on pink tissue."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_mhim.export.palette import DIVERGING, GREY, RING, RISING, Ramp

RING_COLOUR = RING
"""Rings: black stands out from pink, orange, blue and white alike."""
RING_IN_VIEW_COLOUR = "#00e5ff"
"""The one ring that was flown to."""
TRUTH_COLOUR = "#00a651"
"""Outlines of a made slide's lesions."""

MARKED_COLOUR = "#00e5ff"
"""Outlines of what the reader marks."""
HINT_COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e6d100", "#56b4e9")
"""Outlines of hints, the class of interest first: told apart with any colour vision."""
IGNORED_COLOUR = "#404040"
"""Outlines of what is to be ignored."""
TISSUE_COLOURS = {
    "tissue": "#00a651",
    "pen": "#0072b2",
    "blur": "#e69f00",
    "bubbles": "#56b4e9",
    "folds": "#d55e00",
}
"""Tissue's outline, and veils over artefacts."""
PART_COLOURS = {"high": "#595959", "low": "#56b4e9", "random": "#e6d100"}
"""What a mask hides, part by part: the teacher's easiest, the least salient, by chance."""


@dataclass(frozen=True)
class ColourMap(Ramp):
    """A ramp that napari draws on the slide and the dock draws in its legend."""

    name: str
    """Name among napari's colour maps."""

    def as_napari(self) -> dict[str, Any]:
        """Give the map as napari's layers take it."""
        return {"name": self.name, "colors": np.array(self.stops, np.float32)}


EVIDENCE_MAP = ColourMap(DIVERGING.stops, "mhim evidence")
"""Blue against the class, orange for it."""
ATTENTION_MAP = ColourMap(RISING.stops, "mhim attention")
"""Dark for little weight, yellow for much."""
HIDDEN_MAP = ColourMap(GREY.stops, "mhim hidden")
"""One grey."""


def _rgba(colour: str) -> tuple[float, float, float, float]:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue, 1.0


PARTS_MAP = ColourMap(tuple(map(_rgba, PART_COLOURS.values())), "mhim parts")
"""1 for the high part, 2 for the low, 3 for the random one."""
