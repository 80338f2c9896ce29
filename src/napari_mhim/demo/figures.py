"""How well a model does on phantom slides, whose lesions are known: slides and patches."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mhim.mil.evaluate import Interval, evaluate
from napari_mhim.mil.result import SlideResult, hard_instances
from napari_mhim.phantom import KINDS, PhantomTruth

RESAMPLES = 2000
"""Bootstrap samples behind an interval of a mean over slides."""
WIDTH = 26
"""Characters of a column of the report."""


@dataclass(frozen=True)
class Figures:
    """One model on one set of held-out phantom slides."""

    slide_auc: Interval
    """Slides with lesions against slides without."""
    hard_only_auc: Interval
    """Slides with hard lesions only against slides without any."""
    attention_auc: Interval
    """Lesion patches against the rest of their slide, ranked by attention; mean over slides."""
    evidence_auc: Interval
    """The same, ranked by evidence for the class."""
    hard_evidence_auc: Interval
    """Hard-lesion patches against lesion-free ones, ranked by evidence; mean over slides."""
    hard_precision: Interval
    """Share of the hard patches that lie on a hard lesion; mean over slides that have one."""
    hard_recall: Interval
    """Share of a slide's hard-lesion patches that are among its hard patches; mean."""
    rings_on_negatives: Interval
    """Hard patches shown on a slide without lesions; mean."""


LABELS = {
    "slide_auc": "slide AUC",
    "hard_only_auc": "  hard lesions only",
    "attention_auc": "patch AUC, attention",
    "evidence_auc": "patch AUC, evidence",
    "hard_evidence_auc": "  hard lesions only",
    "hard_precision": "hard set, precision",
    "hard_recall": "hard set, recall",
    "rings_on_negatives": "rings on a negative",
}


def figures(results: Sequence[SlideResult], truths: Sequence[PhantomTruth]) -> Figures:
    """Compare one model's results with the truth.

    Parameters
    ----------
    results : sequence of SlideResult
        One for each slide, all from the same model.
    truths : sequence of PhantomTruth
        The same slides' lesions, in the same order.

    Returns
    -------
    Figures
        With intervals over slides and their n.
    """
    seen = [
        _Slide.of(result, truth) for result, truth in zip(results, truths, strict=True)
    ]
    lesions = [slide for slide in seen if slide.kinds.any()]
    hard = [slide for slide in seen if (slide.kinds == KINDS["hard"]).any()]
    clean = [slide for slide in seen if not slide.kinds.any()]
    hard_only = [s for s in hard if not (s.kinds == KINDS["easy"]).any()]
    return Figures(
        slide_auc=_slide_auc(lesions, clean),
        hard_only_auc=_slide_auc(hard_only, clean),
        attention_auc=_mean([s.patch_auc(s.attention) for s in lesions]),
        evidence_auc=_mean([s.patch_auc(s.evidence) for s in lesions]),
        hard_evidence_auc=_mean([s.hard_auc(s.evidence) for s in hard]),
        hard_precision=_mean([s.precision() for s in hard]),
        hard_recall=_mean([s.recall() for s in hard]),
        rings_on_negatives=_mean([float(len(s.rings)) for s in clean]),
    )


def report(columns: dict[str, Figures]) -> str:
    """Lay figures of several models out side by side.

    Parameters
    ----------
    columns : dict of str to Figures
        Model's name and its figures.

    Returns
    -------
    str
        A table of plain text, one line a figure.
    """
    head = " " * WIDTH + "".join(name.ljust(WIDTH) for name in columns)
    lines = [head.rstrip()]
    for name, label in LABELS.items():
        cells = (str(getattr(column, name)).ljust(WIDTH) for column in columns.values())
        lines.append((label.ljust(WIDTH) + "".join(cells)).rstrip())
    return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class _Slide:
    """One slide: score, values per patch and what each patch truly holds."""

    score: float
    attention: NDArray[np.float32]
    evidence: NDArray[np.float32]
    kinds: NDArray[np.int8]
    rings: NDArray[np.int64]

    @classmethod
    def of(cls, result: SlideResult, truth: PhantomTruth) -> "_Slide":
        return cls(
            score=result.score,
            attention=result.attention.mean(axis=0),
            evidence=result.evidence[:, result.target],
            kinds=truth.patch_labels(result.grid),
            rings=hard_instances(result).index,
        )

    def patch_auc(self, values: NDArray[np.float32]) -> float:
        return _rank_auc(values[self.kinds > 0], values[self.kinds == 0])

    def hard_auc(self, values: NDArray[np.float32]) -> float:
        return _rank_auc(values[self._is_hard], values[self.kinds == 0])

    def precision(self) -> float:
        # a slide whose hard lesions get no ring at all has missed them
        return float(self._is_hard[self.rings].mean()) if len(self.rings) else 0.0

    def recall(self) -> float:
        return float(self._is_hard[self.rings].sum() / self._is_hard.sum())

    @property
    def _is_hard(self) -> NDArray[np.bool_]:
        return np.asarray(self.kinds == KINDS["hard"])


def _slide_auc(positive: list[_Slide], negative: list[_Slide]) -> Interval:
    slides = [*positive, *negative]
    scores = np.array([slide.score for slide in slides])
    labels = np.array([1] * len(positive) + [0] * len(negative), np.int64)
    probabilities = np.stack([1 - scores, scores], axis=1).reshape(-1, 2)
    return evaluate(labels, probabilities).auc


def _rank_auc(positive: NDArray, negative: NDArray) -> float:
    from sklearn.metrics import roc_auc_score

    if not len(positive) or not len(negative):
        return float("nan")
    labels = np.repeat([1, 0], [len(positive), len(negative)])
    return float(roc_auc_score(labels, np.concatenate([positive, negative])))


def _mean(values: list[float]) -> Interval:
    """Give the mean over slides with its bootstrap interval, seeded."""
    defined = np.array([value for value in values if not np.isnan(value)])
    if not len(defined):
        nan = float("nan")
        return Interval(nan, nan, nan, 0, "there is no such slide")
    generator = np.random.default_rng(0)
    drawn = generator.integers(0, len(defined), (RESAMPLES, len(defined)))
    low, high = np.quantile(defined[drawn].mean(axis=1), [0.025, 0.975])
    return Interval(float(defined.mean()), float(low), float(high), len(defined))
