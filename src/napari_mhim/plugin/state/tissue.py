"""Tissue and quality of the slide on screen: settings, what was found, what is shown of it."""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from psygnal import SignalGroupDescriptor

from napari_mhim.errors import ConfigError
from napari_mhim.plugin.palette import TISSUE_COLOURS
from napari_mhim.plugin.tissue_preview import KINDS, FindTissue, TissueFound
from napari_mhim.slide import GridConfig, TissueConfig

NAMES = {
    "tissue": "Tissue",
    "pen": "Pen",
    "blur": "Out of focus",
    "bubbles": "Air bubbles",
    "folds": "Folds",
}
"""What each kind is called."""
_FILL = 120  # of 255: how much an artefact covers of what is below it


@dataclass
class TissueState:
    """Settings and findings; asks nothing itself."""

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    config: TissueConfig = field(default_factory=TissueConfig)
    """The slide's settings."""
    shown: frozenset[str] = frozenset(KINDS)
    """Which of ``KINDS`` are drawn."""
    found: TissueFound | None = None
    """What there is; None while nothing is known."""
    problem: str = ""
    """Why nothing is known, "" where it is or is on its way."""

    def change(self, **values: Any) -> None:
        """Set some settings; what cannot be is told and changes nothing."""
        try:
            self.config = replace(self.config, **values)
        except ConfigError as err:
            self.problem = str(err)

    def take(self, found: TissueFound) -> None:
        """Note what was found; an answer to older settings is not."""
        if found.config == self.config:
            self.problem, self.found = "", found

    def show(self, kind: str, is_shown: bool) -> None:
        """Draw one of ``KINDS``, or do not."""
        self.shown = self.shown | {kind} if is_shown else self.shown - {kind}

    def question(self, grid: GridConfig | None) -> FindTissue:
        """Give what to ask for the settings there are."""
        return FindTissue(self.config, grid)

    def forget(self) -> None:
        """Let go of another slide's settings and findings."""
        self.found, self.problem = None, ""
        self.config = TissueConfig()

    def line(self, kind: str) -> str:
        """Say what share of the slide a kind takes, for its row.

        Parameters
        ----------
        kind : str
            One of ``KINDS``.

        Returns
        -------
        str
            Its name alone while nothing is known.
        """
        if self.found is None:
            return NAMES[kind]
        share = self.found.shares.get(kind)
        if share is None:
            return f"{NAMES[kind]} · not looked for"
        if share == 0:
            return f"{NAMES[kind]} · none found"
        return f"{NAMES[kind]} · {_percent(share)}"

    def picture(self) -> NDArray[np.uint8] | None:
        """Draw what is shown.

        Returns
        -------
        ndarray, shape (rows, cols, 4), uint8, or None
            RGBA: the outline of tissue over artefacts as veils; None while nothing is known.
        """
        if self.found is None:
            return None
        table = np.zeros((1 << len(KINDS), 4), np.uint8)
        codes = np.arange(len(table))
        # the outline goes last: it lies on top
        for number in reversed(range(len(KINDS))):
            kind = KINDS[number]
            if kind in self.shown:
                colour = bytes.fromhex(TISSUE_COLOURS[kind][1:])
                opacity = 255 if kind == "tissue" else _FILL
                table[codes >> number & 1 == 1] = (*colour, opacity)
        drawn: NDArray[np.uint8] = table[self.found.bits]
        return drawn


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.0005 else "under 0.1%"
