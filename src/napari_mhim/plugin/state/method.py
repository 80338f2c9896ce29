"""What the Method view shows: ratios, the mask they make, and the score of what is left."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from psygnal import SignalGroupDescriptor

from napari_mhim.mil.kept_epochs import KeptEpoch, TeacherThen, kept_epochs, read
from napari_mhim.mil.questions import (
    HIGH,
    LOW,
    RANDOM,
    Answer,
    Curve,
    Hidden,
    HideBy,
    HideMore,
    Score,
)
from napari_mhim.mil.result import SlideResult
from napari_mhim.plugin.state.progress import number

STRATEGIES: dict[str, tuple[str, ...]] = {
    "HAM": ("high",),
    "R-HAM": ("high", "random"),
    "L-HAM": ("high", "low"),
    "LR-HAM": ("high", "low", "random"),
}
"""The paper's masks by name, and the parts each is made of."""
NAMES = {HIGH: "high", LOW: "low", RANDOM: "random"}
"""What each bit of a mask stands for."""


@dataclass
class MethodState:
    """The mask explorer; asks nothing itself."""

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    strategy: str = "HAM"
    """One of ``STRATEGIES``."""
    high: float = 0.0
    """Share hidden as easy (β_h), in [0, 1]."""
    low: float = 0.2
    """Share hidden as least salient (β_l), in [0, 1]."""
    random: float = 0.2
    """Share hidden by chance (β_r), in [0, 1]."""
    seed: int = 0
    """Of the random part."""
    epochs: tuple[KeptEpoch, ...] = ()
    """Epochs of the model's run whose teacher was kept for this slide."""
    then: TeacherThen | None = None
    """The teacher of the epoch chosen; None for the finished one."""
    epoch: int = 0
    """That epoch, from 1; 0 for the finished teacher."""
    hidden: Hidden | None = None
    """The mask, None before the first answer."""
    score: Score | None = None
    """Score of what the mask leaves; None while it is worked out."""
    curve: Curve | None = None
    """Score against share hidden from the top; None before it is there."""

    def question(self) -> HideBy:
        """Give what to ask the model with these settings; the score is pending from then on."""
        self.score = None
        parts = STRATEGIES[self.strategy]
        return HideBy(
            mask_ratio_high=self.high,
            mask_ratio_low=self.low if "low" in parts else 0.0,
            mask_ratio_random=self.random if "random" in parts else 0.0,
            seed=self.seed,
            scores=self._scores(),
        )

    def curve_question(self) -> HideMore:
        """Give what to ask for the curve; it is not there from then on."""
        self.curve = None
        return HideMore(scores=self._scores())

    def look(self, bundle: Path, result: SlideResult) -> None:
        """Find the epochs that can be chosen, and begin with the finished teacher.

        Parameters
        ----------
        bundle : Path
            Folder of the model.
        result : SlideResult
            Of the slide.
        """
        self.epochs = kept_epochs(bundle, result.slide, len(result))
        self.then, self.epoch = None, 0

    def choose(self, place: int) -> None:
        """Choose whose ranking masks.

        Parameters
        ----------
        place : int
            Place in ``epochs``; past the last stands for the finished teacher.

        Raises
        ------
        WorkspaceError
            If what that epoch's teacher said cannot be read; the choice stays then.
        """
        if place >= len(self.epochs):
            self.then, self.epoch = None, 0
            return
        self.then = read(self.epochs[place])
        self.epoch = self.epochs[place].epoch

    def whose(self, target: int) -> str:
        """Say whose ranking masks, and what the student made of the slide then.

        Parameters
        ----------
        target : int
            Index of the class whose score is told.
        """
        if self.then is None:
            return "Ranked by the finished teacher."
        return (
            f"Ranked by the teacher after epoch {self.epoch} of "
            f"{self.epochs[-1].epoch}; the student's score of the slide was "
            f"{self.then.probabilities[target]:.2f} then. The score of what is left is "
            "the finished student's."
        )

    def take(self, answer: Answer) -> None:
        """Note an answer."""
        if isinstance(answer, Hidden):
            self.hidden = answer
        elif isinstance(answer, Score):
            self.score = answer
        elif isinstance(answer, Curve):
            self.curve = answer

    def forget(self) -> None:
        """Let go of what was said of another slide."""
        self.hidden = self.score = self.curve = None
        self.epochs, self.then, self.epoch = (), None, 0

    def _scores(self) -> NDArray[np.float32] | None:
        return None if self.then is None else self.then.scores

    def summary(self) -> str:
        """Say how many patches are hidden, and as what; "" before the first answer."""
        if self.hidden is None:
            return ""
        parts, n = self.hidden.parts, len(self.hidden.parts)
        n_hidden = int(self.hidden.mask.sum())
        counts = {name: int(((parts & bit) > 0).sum()) for bit, name in NAMES.items()}
        listed = ", ".join(f"{name} {number(k)}" for name, k in counts.items() if k)
        share = n_hidden / n
        return (
            f"Hidden: {number(n_hidden)} of {number(n)} patches ({share:.0%})"
            + (f": {listed}" if listed else "")
            + "."
        )
