"""How good a model is on labelled slides: figures with intervals and n, or a reason for none."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from napari_mhim.mil.bootstrap import (
    RESAMPLES,
    Interval,
    interval_as_dict,
    interval_of,
    resample,
    undefined,
)
from napari_mhim.mil.cutoff import Cutoff, decide

FEW = 30
"""Slides below which a figure is said to rest on few."""

__all__ = [
    "FEW",
    "Interval",
    "Metrics",
    "auc",
    "aucs",
    "by_patient",
    "evaluate",
    "metrics_as_dict",
]

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Metrics:
    """Figures of one model on one set of slides."""

    auc: Interval
    """Area under the ROC curve; with more classes the mean of one against the rest."""
    f1: Interval
    """F1 of the class of interest; with more than two classes the mean over classes."""
    accuracy: Interval
    """Share of slides that are right."""
    balanced_accuracy: Interval
    """Mean over classes of the share of its slides that are right."""
    sensitivity: Interval
    """Share of slides of the class of interest that are at or above the cut-off."""
    specificity: Interval
    """Share of the other slides that are below the cut-off."""
    cutoff: Cutoff | None
    """Cut-off the figures (but AUC) are at; None: the class of largest probability."""
    counts: tuple[int, ...]
    """Slides of each class."""
    confusion: tuple[tuple[int, ...], ...] = ()
    """Slides of each true class (rows) that were called each class (columns)."""

    def caution(self, unit: str = "slide") -> str:
        """Give the sentence for small sets of slides or patients, "" for large ones."""
        n = sum(self.counts)
        if n >= FEW:
            return ""
        plural = "" if n == 1 else "s"
        return f"{n} {unit}{plural}: too few to tell small differences apart."


def evaluate(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    cutoff: Cutoff | None = None,
    target: int = -1,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Metrics:
    """Compare probabilities with labels.

    Slides are resampled within their class, so that every sample has each class the set
    has. The cut-off is taken as given: it must come from other slides than these.

    Parameters
    ----------
    labels : ndarray, shape (S,), int
        Class of each slide.
    probabilities : ndarray, shape (S, C)
        Model's probabilities.
    cutoff : Cutoff, optional
        Of the class of interest; ignored with more than two classes, 0.5 where not given.
    target : int
        Index of the class of interest; the last where not given.
    seed : int
        Seed of the resampling.
    resamples : int
        Bootstrap samples, 1 or more.

    Returns
    -------
    Metrics
        The figures; NaN with a reason where the set cannot give one.

    Raises
    ------
    ValueError
        If the shapes do not fit, a label is no class or a probability is NaN.
    """
    labels = np.asarray(labels, np.int64)
    probabilities = np.asarray(probabilities, np.float64)
    _check(labels, probabilities)
    n_classes = probabilities.shape[1]
    target %= n_classes
    weights = resample(labels, n_classes, seed, resamples)
    predicted = decide(probabilities, cutoff, target)
    confusion = _confusion(labels, predicted, n_classes, weights)
    counts = np.bincount(labels, minlength=n_classes)
    figures: dict[str, Callable[[], _Floats]] = {
        "auc": lambda: aucs(labels, probabilities, weights, target),
        "f1": lambda: _f1(confusion, target),
        "accuracy": lambda: _accuracy(confusion),
        "balanced_accuracy": lambda: _recalls(confusion).mean(axis=1),
        "sensitivity": lambda: _recalls(confusion)[:, target],
        "specificity": lambda: _specificity(confusion, target),
    }
    intervals = {
        name: _interval(
            figure,
            _why_not(name, counts, target),
            len(labels),
            _behind(name, counts, target),
        )
        for name, figure in figures.items()
    }
    return Metrics(
        **intervals,
        cutoff=cutoff if n_classes == 2 else None,
        counts=tuple(int(count) for count in counts),
        confusion=tuple(tuple(int(cell) for cell in row) for row in confusion[0]),
    )


def auc(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64], target: int = -1
) -> float:
    """Give the area under the ROC curve alone, without an interval.

    Parameters
    ----------
    labels : ndarray, shape (S,), int
        Class of each slide.
    probabilities : ndarray, shape (S, C)
        Model's probabilities.
    target : int
        Class of interest where there are two.

    Returns
    -------
    float
        The area; with more classes the mean of one against the rest; NaN when a class
        has no slide.
    """
    labels = np.asarray(labels, np.int64)
    probabilities = np.asarray(probabilities, np.float64)
    n_classes = probabilities.shape[1]
    if not np.bincount(labels, minlength=n_classes).all():
        return float("nan")
    ones = np.ones((1, len(labels)))
    return float(aucs(labels, probabilities, ones, target % n_classes)[0])


def aucs(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    weights: NDArray[np.float64],
    target: int,
) -> NDArray[np.float64]:
    """Give the area under the ROC curve of each of several samples of the slides.

    Parameters
    ----------
    labels : ndarray, shape (S,), int
        Class of each slide.
    probabilities : ndarray, shape (S, C)
        Model's probabilities.
    weights : ndarray, shape (B, S)
        How often each slide is in each sample.
    target : int
        Class of interest where there are two, 0 or 1.

    Returns
    -------
    ndarray, shape (B,), float64
        As :func:`auc`; NaN, with numpy's warning, where a sample lacks a class.
    """
    n_classes = probabilities.shape[1]
    chosen = [target] if n_classes == 2 else range(n_classes)
    areas = [_auc_of(labels == c, probabilities[:, c], weights) for c in chosen]
    return np.asarray(np.mean(areas, axis=0))


def by_patient(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    patients: Sequence[str],
    target: int = -1,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Make one row of each patient's slides: the slide of the largest score.

    Parameters
    ----------
    labels : ndarray, shape (S,), int
        Class of each slide.
    probabilities : ndarray, shape (S, C)
        Model's probabilities.
    patients : sequence of str
        Patient of each slide.
    target : int
        Class of interest, whose score is compared.

    Returns
    -------
    tuple of two ndarrays, shapes (P,) and (P, C)
        A patient's class is the last in order among the slides'; patients are sorted.
    """
    names = np.asarray(patients)
    groups = [np.flatnonzero(names == name) for name in sorted(set(patients))]
    best = [some[probabilities[some, target].argmax()] for some in groups]
    classes = np.array([labels[some].max() for some in groups], np.int64)
    return classes, probabilities[best]


def metrics_as_dict(metrics: Metrics) -> dict[str, object]:
    """Give the figures as plain values for JSON, NaN as None."""
    plain: dict[str, object] = {}
    for entry in fields(metrics):
        value = getattr(metrics, entry.name)
        if isinstance(value, Interval):
            plain[entry.name] = interval_as_dict(value)
    cutoff = metrics.cutoff
    plain["cutoff"] = None if cutoff is None else vars(cutoff)
    plain["counts"] = list(metrics.counts)
    plain["confusion"] = [list(row) for row in metrics.confusion]
    return plain


def _check(labels: _Ints, probabilities: _Floats) -> None:
    if labels.ndim != 1 or probabilities.ndim != 2 or len(labels) != len(probabilities):
        raise ValueError(
            "labels must be (slides,) and probabilities (slides, classes), got "
            f"{labels.shape} and {probabilities.shape}"
        )
    n_classes = probabilities.shape[1]
    if len(labels) and not 0 <= labels.min() <= labels.max() < n_classes:
        raise ValueError(f"labels must be 0 to {n_classes - 1}")
    if np.isnan(probabilities).any():
        raise ValueError("a probability is NaN")


def _confusion(
    labels: _Ints, predicted: _Ints, n_classes: int, weights: _Floats
) -> _Floats:
    """Give the confusion matrix of each sample, shape (1 + B, true, predicted)."""
    cell = np.eye(n_classes * n_classes)[labels * n_classes + predicted]  # (S, C * C)
    return np.asarray((weights @ cell).reshape(-1, n_classes, n_classes))


def _auc_of(positive: NDArray[np.bool_], scores: _Floats, weights: _Floats) -> _Floats:
    """Give the share of (positive, negative) pairs in the right order, ties half, per sample."""
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    starts = np.flatnonzero(
        np.diff(ordered, prepend=-np.inf)
    )  # one for each distinct score
    sizes = weights[:, order]  # (1 + B, S)
    is_positive = positive[order]
    # (1 + B, distinct scores)
    positives = np.add.reduceat(sizes * is_positive, starts, axis=1)
    negatives = np.add.reduceat(sizes * ~is_positive, starts, axis=1)
    below = negatives.cumsum(axis=1) - negatives / 2
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    return np.asarray((positives * below).sum(axis=1) / pairs)


def _recalls(confusion: _Floats) -> _Floats:
    """Give the share of each class that is right, shape (1 + B, C)."""
    right = np.diagonal(confusion, axis1=1, axis2=2)
    total = confusion.sum(axis=2)
    recalls: _Floats = np.full_like(total, np.nan)
    np.divide(right, total, out=recalls, where=total > 0)
    return recalls


def _accuracy(confusion: _Floats) -> _Floats:
    return np.asarray(
        np.trace(confusion, axis1=1, axis2=2) / confusion.sum(axis=(1, 2))
    )


def _specificity(confusion: _Floats, target: int) -> _Floats:
    others = np.delete(confusion, target, axis=1)  # (1 + B, C - 1, C)
    return np.asarray(1 - others[:, :, target].sum(axis=1) / others.sum(axis=(1, 2)))


def _f1(confusion: _Floats, target: int) -> _Floats:
    right = np.diagonal(confusion, axis1=1, axis2=2)
    # predicted and true slides of each class, (1 + B, C)
    total = confusion.sum(axis=1) + confusion.sum(axis=2)
    # a class that is neither there nor predicted has no F1; 0 is what it adds to the mean
    f1 = np.divide(2 * right, total, out=np.zeros_like(total), where=total > 0)
    return np.asarray(f1[:, target] if confusion.shape[1] == 2 else f1.mean(axis=1))


def _why_not(name: str, counts: _Ints, target: int) -> str:
    """Give the reason why a figure is undefined, "" where it is defined."""
    others = counts.sum() - counts[target]
    if not counts.sum():
        return "there are no labelled slides"
    if name in ("f1", "sensitivity") and not counts[target]:
        return "no slide is of the class of interest"
    if name == "specificity" and not others:
        return "every slide is of the class of interest"
    if name in ("auc", "balanced_accuracy") and not counts.all():
        return "a class has no slide"
    return ""


def _behind(name: str, counts: _Ints, target: int) -> int:
    """Give the number of slides that limits how sure a figure can be."""
    if name == "accuracy":
        return int(counts.sum())
    if name in ("f1", "sensitivity"):
        return int(counts[target])
    if name == "specificity":
        return int(counts.sum() - counts[target])
    return int(counts.min())


def _interval(
    figure: Callable[[], _Floats], reason: str, n: int, behind: int
) -> Interval:
    return undefined(n, reason) if reason else interval_of(figure(), n, behind)
