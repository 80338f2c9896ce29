"""The cut-off: the score from which on a slide counts as the class of interest."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Cutoff:
    """The score from which on a slide counts as the class of interest."""

    value: float
    """Least probability of the class of interest, in [0, 1]."""
    n: int
    """How many slides it was chosen on."""
    where: str
    """Which slides: ``"validation"``, or ``"user"`` for one set by hand (n = 0)."""


def decide(
    probabilities: NDArray[np.float64], cutoff: Cutoff | None, target: int = -1
) -> NDArray[np.int64]:
    """Give each slide's class: by the cut-off with two classes, else the most probable.

    Parameters
    ----------
    probabilities : ndarray, shape (S, C)
        Model's probabilities.
    cutoff : Cutoff or None
        Of the class of interest; 0.5 where None. Ignored with more than two classes.
    target : int
        Class of interest.

    Returns
    -------
    ndarray, shape (S,), int64
        Class indices.
    """
    n_classes = probabilities.shape[1]
    if n_classes != 2:
        return np.asarray(probabilities.argmax(axis=1), np.int64)
    target %= 2
    value = 0.5 if cutoff is None else cutoff.value
    return np.where(probabilities[:, target] >= value, target, 1 - target)


def optimal_threshold(labels: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    """Find the score at which sensitivity + specificity is largest (Youden's J).

    Parameters
    ----------
    labels : ndarray, shape (S,)
        1 for the class of interest, 0 for the others.
    scores : ndarray, shape (S,)
        Probability of the class of interest.

    Returns
    -------
    float
        The largest of the best scores, counting a score at the threshold as positive;
        infinite when no threshold is better than calling every slide negative.

    Raises
    ------
    ValueError
        If one of the classes is missing.
    """
    positive = np.asarray(labels) == 1
    if positive.all() or not positive.any():
        raise ValueError("a threshold needs slides of both classes")
    thresholds = np.concatenate([[np.inf], np.unique(scores)[::-1]])
    above = np.asarray(scores)[None] >= thresholds[:, None]  # (thresholds, S)
    youden = above[:, positive].mean(axis=1) - above[:, ~positive].mean(axis=1)
    # rounding must not decide between thresholds that are equally good
    best = np.flatnonzero(youden >= youden.max() - 1e-12)[0]
    return float(thresholds[best])


def choose_cutoff(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64], target: int = -1
) -> Cutoff | None:
    """Choose the cut-off of the class of interest on validation slides.

    The threshold of largest balanced accuracy, moved half-way to the next lower score: on
    the slides at hand that changes nothing, on others it is not biased to the positive side.

    Parameters
    ----------
    labels : ndarray, shape (S,), int
        Class of each validation slide.
    probabilities : ndarray, shape (S, 2)
        Model's probabilities.
    target : int
        Class of interest.

    Returns
    -------
    Cutoff or None
        None with more than two classes, or where one has no slide.
    """
    if probabilities.shape[1] != 2 or len(set(np.asarray(labels).tolist())) < 2:
        return None
    scores = np.asarray(probabilities, np.float64)[:, target]
    is_target = (np.asarray(labels) == target % 2).astype(np.int64)
    threshold = min(optimal_threshold(is_target, scores), 1.0)
    lower = scores[scores < threshold]
    value = (threshold + lower.max()) / 2 if len(lower) else threshold
    return Cutoff(float(value), len(scores), "validation")
