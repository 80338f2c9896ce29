"""What a model saw on one slide: computed once, kept in HDF5, read without torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_mhim.mil.cutoff import Cutoff
from napari_mhim.slide.tiling import PatchGrid

Role = Literal["train", "val", "test", "unknown", "not in the cohort"]


@dataclass(frozen=True, eq=False)
class SlideResult:
    """Student's and teacher's view of one slide of N patches, C classes, K attention branches."""

    slide: str
    """Slide's name: its file name without suffix."""
    path: str
    """Where the slide file was, "" when unknown."""
    fingerprint: str
    """Slide's fingerprint, "" when unknown."""
    slide_shape: tuple[int, int]
    """Level-0 pixels, (y, x)."""
    slide_mpp: tuple[float, float] | None
    """Micrometres per level-0 pixel, (y, x); None when unknown."""
    grid: PatchGrid
    """Where the N patches lie."""
    bundle: str
    """Model's name, for people."""
    bundle_id: str
    """Hash of the model's weights and settings."""
    classes: tuple[str, ...]
    """Names of the C classes, in the model's order."""
    target: int
    """Index of the class of interest."""
    probabilities: NDArray[np.float32]
    """Student's score of each class, shape (C,), summing to 1."""
    remaining: NDArray[np.float32]
    """Student's score of each class without the hidden patches, shape (C,), summing to 1."""
    attention: NDArray[np.float32]
    """Student's weight of each patch, shape (K, N)."""
    branches: tuple[str, ...]
    """Names of the K rows of ``attention``."""
    evidence: NDArray[np.float32]
    """Push of each patch towards each class, alone, shape (N, C); classes sum to 0."""
    evidence_kind: Literal["exact", "approximate"]
    """Whether attention × evidence sums to the score, or nearly."""
    evidence_limits: NDArray[np.float32]
    """Colour limits of ``contribution``, the same for every slide, shape (C,), above 0."""
    student_scores: NDArray[np.float32]
    """What the student ranks patches by, heads reduced, shape (N,); larger weighs more."""
    teacher_scores: NDArray[np.float32]
    """What the mask ranks patches by, heads reduced, shape (N,); larger is more salient."""
    score_source: Literal["teacher", "own scores"]
    """Whose scores those are: a model without a teacher uses its own."""
    mask: NDArray[np.bool_]
    """True for the patches that would be hidden in training, shape (N,)."""
    mask_ratio_high: float
    """Share hidden (β_h, undecayed; ρ = 1)."""
    cutoff: Cutoff | None = None
    """Cut-off of the class of interest; None with more than two classes or none chosen."""
    calibrated: bool = False
    """Whether the probabilities went through a stored calibration."""
    role: Role = "unknown"
    """Which role the slide had when the model was trained."""
    excluded: NDArray[np.bool_] | None = None
    """True for the patches a reader left out for good, shape (N,); None where none was."""
    excluding: NDArray[np.float32] | None = None
    """Student's score of each class without them, shape (C,); None where none was."""
    provenance: Mapping[str, str] = field(default_factory=dict)
    """Package version, encoder id, time, device: names to text."""

    def __len__(self) -> int:
        """Count the patches."""
        return len(self.grid)

    @property
    def score(self) -> float:
        """Give the probability of the class of interest, in [0, 1]."""
        return float(self.probabilities[self.target])

    @property
    def contribution(self) -> NDArray[np.float32]:
        """Give N · attention × evidence, shape (N, C): 1 patch's push on the scale of the logits.

        The mean over patches is the class score before the softmax (minus bias and mean
        over classes) where ``evidence_kind`` is "exact". Branches are averaged.
        """
        return contribution(self.attention, self.evidence)

    def save(self, path: Path) -> None:
        """Write the result as HDF5, whole or not at all.

        Parameters
        ----------
        path : Path
            File to write; an older one is replaced.

        Raises
        ------
        WorkspaceError
            If the folder cannot be written or the disk is full.
        """
        from napari_mhim.mil._result_file import write

        write(path, self)

    @classmethod
    def load(cls, path: Path) -> "SlideResult":
        """Read a result.

        Parameters
        ----------
        path : Path
            File written by :meth:`save`.

        Returns
        -------
        SlideResult
            The result.

        Raises
        ------
        StoreError
            If the file is missing, damaged, of another kind, or from a newer version.
        """
        from napari_mhim.mil._result_file import read

        return read(path)


@dataclass(frozen=True, eq=False)
class HardInstances:
    """Patches the student weighs most among those not hidden, M ≤ k of them, best first."""

    index: NDArray[np.int64]
    """Rows of the bag, shape (M,)."""
    student_rank: NDArray[np.int64]
    """Rank of each by the student in the whole bag, 1 = weighs most, shape (M,)."""
    teacher_rank: NDArray[np.int64]
    """Rank of each by the teacher in the whole bag, 1 = most salient, shape (M,)."""
    evidence: NDArray[np.float32]
    """Evidence of each for the class, shape (M,), above 0."""
    reasons: tuple[str, ...]
    """One sentence for each."""

    def __len__(self) -> int:
        """Count them."""
        return len(self.index)


def contribution(
    attention: NDArray[np.float32], evidence: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Give each patch's push on the scale of the logits.

    Parameters
    ----------
    attention : ndarray, shape (K, N)
        Weight of each patch in each branch; branches are averaged.
    evidence : ndarray, shape (N, C)
        Push of each patch towards each class, alone.

    Returns
    -------
    ndarray, shape (N, C), float32
        N · attention × evidence.
    """
    weight = attention.mean(axis=0) * attention.shape[1]  # (N,)
    return np.asarray(weight[:, None] * evidence, np.float32)


def hard_instances(
    result: SlideResult, class_index: int | None = None, k: int = 20
) -> HardInstances:
    """Pick the hard patches: not hidden, speaking for the class, weighed most by the student.

    Evidence has no zero of its own: on any slide some patches push a little towards any
    class. So there are hard patches only where the slide comes to the class, and the
    patches left, the hidden ones apart, still do (:func:`still_speaks_for`).

    Parameters
    ----------
    result : SlideResult
        What the model saw.
    class_index : int, optional
        Class they must speak for; the class of interest where not given.
    k : int
        Most to pick.

    Returns
    -------
    HardInstances
        At most k, by falling weight; empty when no remaining patch supports the class.
    """
    chosen = result.target if class_index is None else class_index
    evidence = result.evidence[:, chosen]
    speaks = still_speaks_for(result, chosen)
    eligible = np.flatnonzero(~result.mask & (evidence > 0) & speaks)
    # stable: patches of equal weight stay in the bag's order
    order = np.argsort(-result.student_scores[eligible], kind="stable")
    index = eligible[order[:k]]
    student = ranks(result.student_scores)[index]
    teacher = ranks(result.teacher_scores)[index]
    return HardInstances(
        index=index.astype(np.int64),
        student_rank=student,
        teacher_rank=teacher,
        evidence=evidence[index],
        reasons=tuple(
            _reason(result, chosen, int(s), int(t), float(e))
            for s, t, e in zip(student, teacher, evidence[index], strict=True)
        ),
    )


def still_speaks_for(result: SlideResult, class_index: int) -> bool:
    """Tell whether a slide comes to a class, with and without the hidden patches.

    Parameters
    ----------
    result : SlideResult
        What the model saw.
    class_index : int
        The class.

    Returns
    -------
    bool
        Whether the score of the whole slide and that of the remaining patches both reach
        the cut-off; for a class without one, whether both are the largest.
    """
    scores = (result.probabilities, result.remaining)
    if class_index == result.target and result.cutoff is not None:
        least = min(float(score[class_index]) for score in scores)
        return least >= result.cutoff.value
    return all(int(score.argmax()) == class_index for score in scores)


def ranks(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Give each patch's rank, 1 = largest score, equal ones in the bag's order, shape (N,)."""
    found = np.empty(len(scores), np.int64)
    found[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
    return found


def _reason(
    result: SlideResult, chosen: int, student: int, teacher: int, evidence: float
) -> str:
    whose = "teacher's" if result.score_source == "teacher" else "model's own"
    return (
        f"Not hidden: {teacher} of {len(result)} by the {whose} score; "
        f"the student weighs it {student} of {len(result)}; "
        f"evidence for {result.classes[chosen]} {evidence:+.2f}."
    )
