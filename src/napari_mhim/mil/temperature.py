"""Temperature scaling: one number that makes scores less, or more, sure of themselves.

It is fitted on validation slides only, and works on probabilities, so that it is the
same for every model: the logarithms are divided by the temperature and scaled to sum to
1 again, which is the softmax of the divided logits where there are logits. Of two
classes the order of slides is kept, so AUC is what it was.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

LEAST_SLIDES = 10
"""Validation slides below which no temperature is fitted: it would be that of the draw."""
RANGE = (0.05, 20.0)
"""Least and largest temperature."""

# the smallest float32 that is exact: a probability of 0 has no logarithm
_TINY = float(np.finfo(np.float32).tiny)


def tempered(
    probabilities: NDArray[np.floating], temperature: float
) -> NDArray[np.float64]:
    """Apply a temperature to probabilities.

    Parameters
    ----------
    probabilities : ndarray, shape (..., C)
        Probabilities that sum to 1 along the last axis.
    temperature : float
        Above 0; above 1 the scores move to the middle, below 1 to the ends.

    Returns
    -------
    ndarray, shape (..., C), float64
        Probabilities that sum to 1; the same ones, bit for bit, where it is 1.
    """
    values = np.asarray(probabilities, np.float64)
    if temperature == 1:
        return values
    logits = np.log(np.maximum(values, _TINY)) / temperature
    logits -= logits.max(axis=-1, keepdims=True)
    raised = np.exp(logits)
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))


def fit_temperature(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64]
) -> float:
    """Find the temperature that fits labelled slides best.

    The likelihood alone would call a dozen slides without a fault certain, and go to
    the least temperature. As in Platt's scaling the targets are therefore not 0 and 1
    but what the count of a class allows: (n + 1) / (n + 2) for its n slides.

    Parameters
    ----------
    labels : ndarray, shape (S,), int
        Class of each validation slide.
    probabilities : ndarray, shape (S, C)
        Model's probabilities, not scaled.

    Returns
    -------
    float
        The temperature, within ``RANGE``.

    Raises
    ------
    ValueError
        If :func:`why_not` has a reason against it.

    References
    ----------
    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017; Platt,
    "Probabilistic outputs for support vector machines", 1999, for the targets.
    """
    n_classes = probabilities.shape[1]
    if reason := why_not(np.asarray(labels).tolist(), n_classes):
        raise ValueError(reason)
    labels = np.asarray(labels, np.int64)
    counts = np.bincount(labels, minlength=n_classes)
    own = ((counts + 1) / (counts + 2))[labels]  # (S,)
    targets = np.repeat((1 - own)[:, None] / (n_classes - 1), n_classes, axis=1)
    targets[np.arange(len(labels)), labels] = own

    def loss(log_temperature: float) -> float:
        scaled = tempered(probabilities, float(np.exp(log_temperature)))
        return float(-(targets * np.log(np.maximum(scaled, _TINY))).sum(axis=1).mean())

    found = minimize_scalar(loss, bounds=np.log(RANGE), method="bounded")
    return float(np.exp(found.x))


def why_not(labels: Sequence[int], n_classes: int) -> str:
    """Give the reason why no temperature can be fitted on slides, "" where it can.

    Parameters
    ----------
    labels : sequence of int
        Class of each validation slide.
    n_classes : int
        Number of classes.

    Returns
    -------
    str
        One clause.
    """
    if len(labels) < LEAST_SLIDES:
        return (
            f"it needs {LEAST_SLIDES} validation slides or more, there are "
            f"{len(labels)}"
        )
    if len(set(labels)) < n_classes:
        return "a class has no validation slide"
    return ""
