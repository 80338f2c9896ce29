"""What can be shown of every patch in one layer: attention, ranks, teacher against student."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mhim.mil.result import SlideResult, ranks
from napari_mhim.plugin import words
from napari_mhim.plugin.palette import ATTENTION_MAP, EVIDENCE_MAP, ColourMap


@dataclass(frozen=True)
class Measure:
    """A number for each patch, its colours, and the words on its colour bar."""

    name: str
    """On the layer's switch."""
    values: Callable[[SlideResult], NDArray[np.floating]]
    """Gives shape (N,)."""
    limits: Callable[[NDArray[np.floating]], tuple[float, float]]
    """Gives the colour limits of those values."""
    colours: ColourMap
    """From the lower limit to the upper."""
    ends: tuple[str, str]
    """What the lower and the upper end of the bar mean."""
    unit: str
    """Below the middle of the bar."""
    meaning: str
    """One or two sentences for the reader."""


def _times_mean(result: SlideResult) -> NDArray[np.floating]:
    return np.asarray(result.attention.mean(axis=0) * len(result))


def _from_zero(values: NDArray[np.floating]) -> tuple[float, float]:
    # at least twice the mean: a model that weighs all alike must not look excited
    return 0.0, max(2.0, float(np.percentile(values, 99.5)))


def percentile(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """Give each patch's percentile within the slide, 100 = largest, shape (N,)."""
    n = len(scores)
    return (n - ranks(np.asarray(scores, np.float32)) + 1) / n * 100


def _spread(values: NDArray[np.floating]) -> tuple[float, float]:
    low, high = (float(v) for v in np.percentile(values, [0.5, 99.5]))
    return (low, high) if high > low else (low, low + 1.0)


MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure(
            "Attention",
            _times_mean,
            _from_zero,
            ATTENTION_MAP,
            ("none", "most"),
            "× the mean weight",
            words.ATTENTION,
        ),
        Measure(
            "Percentile in slide",
            lambda result: percentile(result.student_scores),
            lambda _: (0.0, 100.0),
            ATTENTION_MAP,
            ("lowest", "highest"),
            "% of patches at or below",
            "Rank of the student's weight within this slide. There is always a highest "
            "patch, also on a normal slide.",
        ),
        Measure(
            "Teacher's score",
            lambda result: result.teacher_scores,
            _spread,
            ATTENTION_MAP,
            ("hidden last", "hidden first"),
            "this slide's own scale",
            "What the mask ranks patches by: the highest are hidden in training as easy.",
        ),
        Measure(
            "Teacher − student",
            lambda result: (
                percentile(result.teacher_scores) - percentile(result.student_scores)
            ),
            lambda _: (-100.0, 100.0),
            EVIDENCE_MAP,
            ("student higher", "teacher higher"),
            "difference of percentiles",
            "Where teacher and student rank patches apart. Both can be wrong together.",
        ),
        Measure(
            "Tissue",
            lambda result: np.ones(len(result)),
            lambda _: (0.0, 2.0),
            ATTENTION_MAP,
            ("", ""),
            "looked at",
            "The patches the model looked at; what is clear was taken for background.",
        ),
    )
}
"""Every measure by its name; the first is what a result opens with."""
FIRST = next(iter(MEASURES))
