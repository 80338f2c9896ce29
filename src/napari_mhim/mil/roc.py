"""The ROC curve: sensitivity and specificity at every cut-off."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Roc:
    """One class against the rest, at T cut-offs from none called to all."""

    false_positive: NDArray[np.float64]
    """Share of the other slides at or above each cut-off, shape (T,), rising from 0 to 1."""
    sensitivity: NDArray[np.float64]
    """Share of the class's slides at or above it, shape (T,), rising from 0 to 1."""
    cutoffs: NDArray[np.float64]
    """The cut-offs, shape (T,), falling; the first is infinite."""


def roc(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64], target: int = -1
) -> Roc | None:
    """Give the ROC curve of a class against the rest.

    Parameters
    ----------
    labels : ndarray, shape (S,), int
        Class of each slide.
    probabilities : ndarray, shape (S, C)
        Model's probabilities.
    target : int
        The class.

    Returns
    -------
    Roc or None
        None where no slide, or every slide, is of the class.
    """
    positive = np.asarray(labels) == target % probabilities.shape[1]
    if positive.all() or not positive.any():
        return None
    scores = np.asarray(probabilities, np.float64)[:, target]
    cutoffs = np.concatenate([[np.inf], np.unique(scores)[::-1]])
    above = scores[None] >= cutoffs[:, None]  # (T, S)
    return Roc(
        above[:, ~positive].mean(axis=1), above[:, positive].mean(axis=1), cutoffs
    )
