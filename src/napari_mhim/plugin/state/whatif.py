"""What-if: areas marked on the slide, areas left out for good, and the scores without them."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from psygnal import SignalGroupDescriptor

from napari_mhim.mil.questions import Excluding, Score, Without
from napari_mhim.slide.regions import Region, cells_inside
from napari_mhim.slide.tiling import PatchGrid


@dataclass
class WhatIfState:
    """Areas of one slide; asks nothing itself."""

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    areas: tuple[Region, ...] = ()
    """Marked now, in the order of drawing."""
    keeps_only: bool = False
    """Whether the marked areas are all that is kept, and not what is left out."""
    score: Score | None = None
    """Score without (or with only) the marked areas; None while it is worked out."""
    problem: str = ""
    """Why there is no score for the marked areas, "" when there is."""
    excluded: tuple[Region, ...] = ()
    """Left out for good, with their reasons; kept in the workspace."""
    excluding_score: Score | None = None
    """Score without them; None without any, or while it is worked out."""

    def question(self, grid: PatchGrid) -> Without | None:
        """Give what to ask for the marked areas, None where nothing is marked."""
        self.score, self.problem = None, ""
        if not self.areas:
            return None
        inside = cells_in(self.areas, grid)
        return Without(~inside if self.keeps_only else inside)

    def exclusion(self, grid: PatchGrid) -> Excluding | None:
        """Give what to ask for the areas left out for good, None where there is none."""
        self.excluding_score = None
        return Excluding(cells_in(self.excluded, grid)) if self.excluded else None

    def forget(self) -> None:
        """Let go of another slide's areas."""
        self.areas, self.excluded = (), ()
        self.score = self.excluding_score = None
        self.problem = ""


def cells_in(areas: tuple[Region, ...], grid: PatchGrid) -> NDArray[np.bool_]:
    """Tell which patches lie in any of some areas, shape (N,), bool."""
    inside = np.zeros(len(grid), bool)
    for area in areas:
        inside |= cells_inside(area, grid)
    return inside
