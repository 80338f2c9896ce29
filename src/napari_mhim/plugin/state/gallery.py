"""The gallery: which patches are shown, in which order, and the figures of each."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from psygnal import SignalGroupDescriptor

from napari_mhim.mil.result import SlideResult, hard_instances, ranks
from napari_mhim.plugin.overlays import MAX_RINGS

SOME = 200
"""Patches shown at most as *top attention*, *lowest attention* or *random*."""
KINDS = {
    "all": "all patches",
    "top": "top attention",
    "hidden": "hidden (easy)",
    "hard": "hard (ringed)",
    "lowest": "lowest attention",
    "random": "random",
}
"""What can be shown, and what it is called."""
SORTS = {
    "attention": "attention",
    "percentile": "percentile in slide",
    "evidence": "evidence",
    "contribution": "contribution",
    "teacher": "teacher's rank",
    "student": "student's rank",
}
"""What patches can be sorted by, and what it is called."""
HIDDEN_OR_NOT = {
    "any": "hidden or not",
    "hidden": "only hidden",
    "kept": "only not hidden",
}
"""Which of the chosen patches stay."""
_FIRST_BY = {
    "all": "evidence",
    "top": "attention",
    "hidden": "teacher",
    "hard": "student",
    "lowest": "attention",
    "random": "evidence",
}


@dataclass(frozen=True, eq=False)
class Figures:
    """What is known of each of the N patches of one slide, C classes; worked out on demand."""

    result: SlideResult
    """Where it comes from."""

    def __len__(self) -> int:
        """Count the patches."""
        return len(self.result)

    @cached_property
    def attention(self) -> NDArray[np.float32]:
        """Give the weight as a multiple of the mean, branches averaged, shape (N,)."""
        return np.asarray(self.result.attention.mean(axis=0) * len(self), np.float32)

    @cached_property
    def percentile(self) -> NDArray[np.float32]:
        """Give the share of patches that weigh no more, shape (N,), in (0, 100]."""
        weights = self.attention
        below = np.searchsorted(np.sort(weights), weights, side="right")
        return np.asarray(100 * below / len(self), np.float32)

    @cached_property
    def contribution(self) -> NDArray[np.float32]:
        """Give the push on each class's score, shape (N, C)."""
        return self.result.contribution

    @cached_property
    def teacher_rank(self) -> NDArray[np.int64]:
        """Give the rank by what the mask ranks by, 1 = most salient, shape (N,)."""
        return ranks(self.result.teacher_scores)

    @cached_property
    def student_rank(self) -> NDArray[np.int64]:
        """Give the rank by the student, 1 = weighs most, shape (N,)."""
        return ranks(self.result.student_scores)

    @cached_property
    def rings(self) -> NDArray[np.int64]:
        """Give the rows of the ringed patches, best first, at most ``MAX_RINGS``."""
        return hard_instances(self.result, k=MAX_RINGS).index

    @property
    def evidence(self) -> NDArray[np.float32]:
        """Give the evidence of each patch for the class of interest, shape (N,)."""
        return self.result.evidence[:, self.result.target]

    def ring(self, row: int) -> int:
        """Give the number of a patch's ring, from 0; -1 where it has none."""
        found = np.flatnonzero(self.rings == row)
        return int(found[0]) if len(found) else -1

    def to_sort_by(self, sort: str) -> NDArray[np.float64]:
        """Give one number a patch, shape (N,): the smallest comes first.

        Parameters
        ----------
        sort : str
            One of ``SORTS``.
        """
        match sort:
            case "teacher":
                return self.teacher_rank.astype(np.float64)
            case "student":
                return self.student_rank.astype(np.float64)
            case "evidence":
                large_first = self.evidence
            case "contribution":
                large_first = self.contribution[:, self.result.target]
            case _:
                # a percentile is a rank by attention
                large_first = self.attention
        return -large_first.astype(np.float64)

    def of_kind(self, kind: str, seed: int) -> NDArray[np.int64]:
        """Give the rows of one kind of patches, in the bag's order.

        Parameters
        ----------
        kind : str
            One of ``KINDS``.
        seed : int
            Of the random ones.

        Returns
        -------
        ndarray, shape (M,), int64
            Rows of the bag.
        """
        n = len(self)
        if kind == "all":
            return np.arange(n)
        if kind == "hidden":
            return np.flatnonzero(self.result.mask)
        if kind == "hard":
            return np.sort(self.rings)
        if kind == "random":
            draw = np.random.default_rng(seed)
            return np.sort(draw.choice(n, size=min(SOME, n), replace=False))
        by_weight = np.argsort(-self.attention, kind="stable")
        return np.sort(by_weight[:SOME] if kind == "top" else by_weight[-SOME:])


_NONE = np.zeros(0, np.int64)


@dataclass
class GalleryState:
    """What the gallery shows, and which patch is looked at; draws nothing itself."""

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    figures: Figures | None = None
    """Of the result on screen, None without one."""
    kind: str = "all"
    """One of ``KINDS``."""
    sort: str = "evidence"
    """One of ``SORTS``."""
    is_reversed: bool = False
    """Whether what sorting puts last comes first."""
    least_evidence: float | None = None
    """Least evidence for the class of interest; None for any."""
    hidden: str = "any"
    """One of ``HIDDEN_OR_NOT``."""
    seed: int = 0
    """Of the random patches."""
    version: int = 0
    """Goes up whenever other patches are shown, or in another order."""
    current: int = -1
    """Row of the patch that is looked at, -1 for none; it need not be among those shown."""
    hovered: int = -1
    """Row of the patch under the mouse, -1 for none."""

    def __post_init__(self) -> None:
        self.rows = _NONE
        """Rows of the patches shown, in order, shape (M,)."""

    def take(self, result: SlideResult | None) -> None:
        """Show another result, or none; the current patch stays on the same grid.

        Parameters
        ----------
        result : SlideResult or None
            What the model saw.
        """
        before, self.hovered = self.figures, -1
        if before is not None and before.result is result:
            return
        same = before is not None and result is not None and _same_grid(before, result)
        if not same:
            self.current = -1
        self.figures = None if result is None else Figures(result)
        self.arrange()

    def choose(self, kind: str) -> None:
        """Show another kind of patches, sorted by what makes them so.

        Parameters
        ----------
        kind : str
            One of ``KINDS``.
        """
        self.arrange(kind=kind, sort=_FIRST_BY[kind], is_reversed=kind == "lowest")

    def arrange(self, **changes: str | bool | int | float | None) -> None:
        """Change what is shown, and how.

        Parameters
        ----------
        **changes : values
            Of ``kind``, ``sort``, ``is_reversed``, ``least_evidence``, ``hidden`` and
            ``seed``.
        """
        for name, value in changes.items():
            setattr(self, name, value)
        self.rows = _NONE if self.figures is None else self._arranged(self.figures)
        self.version += 1

    def place_of(self, row: int) -> int:
        """Give where in the gallery a patch stands, from 0; -1 where it is not shown."""
        found = np.flatnonzero(self.rows == row)
        return int(found[0]) if len(found) else -1

    def step(self, by: int) -> None:
        """Make the next (1) or previous (-1) patch of the gallery current, round and round."""
        if not len(self.rows):
            return
        place = self.place_of(self.current)
        at = (0 if by > 0 else -1) if place < 0 else (place + by) % len(self.rows)
        self.current = int(self.rows[at])

    @property
    def inspected(self) -> int:
        """Give the patch to tell about: the one under the mouse, else the current one."""
        return self.hovered if self.hovered >= 0 else self.current

    def _arranged(self, figures: Figures) -> NDArray[np.int64]:
        rows = figures.of_kind(self.kind, self.seed)
        if self.hidden != "any":
            rows = rows[figures.result.mask[rows] == (self.hidden == "hidden")]
        if self.least_evidence is not None:
            rows = rows[figures.evidence[rows] >= self.least_evidence]
        # stable: equal ones stay in the slide's order, whichever way round
        values = figures.to_sort_by(self.sort)[rows]
        return rows[np.argsort(-values if self.is_reversed else values, kind="stable")]


def _same_grid(before: Figures, result: SlideResult) -> bool:
    old = before.result
    same_slide = (old.slide, old.fingerprint) == (result.slide, result.fingerprint)
    return same_slide and np.array_equal(old.grid.cells, result.grid.cells)
