"""Whether scores mean what they say: of the slides scored .8, 80 % should be of the class.

Scores are put in bins of equal numbers of slides. With few slides even a model whose
scores are true shows an error, so that error is worked out and given beside the model's.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mhim.mil.bootstrap import (
    RESAMPLES,
    Interval,
    interval_as_dict,
    interval_of,
    resample,
    undefined,
    wilson,
)

PER_BIN = 5
"""Least slides of a bin, where the set has as many."""
MOST_BINS = 10
"""Most bins."""

_Floats = NDArray[np.float64]
_Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Bin:
    """Slides of neighbouring scores."""

    score: float
    """Their mean score."""
    share: float
    """Share of them that are of the class."""
    low: float
    """Lower end of the share's interval (Wilson, 95 %)."""
    high: float
    """Upper end."""
    n: int
    """How many they are."""


@dataclass(frozen=True)
class Calibration:
    """How far scores are from the shares they promise."""

    ece: Interval
    """Expected calibration error: mean distance of score and share, bins weighted by n."""
    ece_by_chance: float
    """What that error would be, on as many slides, if every score were true; NaN when undefined."""
    brier: Interval
    """Mean squared distance of score and truth; with more classes, summed over them."""
    bins: tuple[Bin, ...]
    """The reliability curve, by rising score."""
    what: str
    """Whose score: the class of interest's, or with more classes the largest."""


def calibration(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    target: int = -1,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Calibration:
    """Hold scores against the shares of slides that are of the class.

    Parameters
    ----------
    labels : ndarray, shape (S,), int
        Class of each slide.
    probabilities : ndarray, shape (S, C)
        Model's probabilities.
    target : int
        Class of interest where there are two; with more, the largest probability is
        held against whether it is right.
    seed : int
        Seed of the resampling.
    resamples : int
        Bootstrap samples, 1 or more.

    Returns
    -------
    Calibration
        NaN with a reason, and no bins, without slides.

    Raises
    ------
    ValueError
        If there are not as many labels as rows of probabilities.

    References
    ----------
    Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning",
    AAAI 2015. Theirs are bins of equal width; of equal numbers here, since a dozen
    slides would leave most of those empty. Brier, "Verification of forecasts expressed
    in terms of probability", Monthly Weather Review 78, 1950.
    """
    labels = np.asarray(labels, np.int64)
    probabilities = np.asarray(probabilities, np.float64)
    if len(labels) != len(probabilities):
        raise ValueError(
            f"{len(labels)} labels and {len(probabilities)} rows of probabilities"
        )
    n, n_classes = probabilities.shape
    scores, is_right, what = _claims(labels, probabilities, target)
    if not n:
        none = undefined(0, "there are no labelled slides")
        return Calibration(none, float("nan"), none, (), what)
    weights = resample(labels, n_classes, seed, resamples)
    bins = equal_bins(scores)
    return Calibration(
        ece=interval_of(_errors(scores, is_right, bins, weights), n),
        ece_by_chance=_error_by_chance(scores, bins, seed, resamples),
        brier=interval_of(weights @ _squares(labels, probabilities, target) / n, n),
        bins=tuple(_bin(scores[bins == b], is_right[bins == b]) for b in _all(bins)),
        what=what,
    )


def equal_bins(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Put scores in bins of equal numbers; equal scores are never parted.

    Parameters
    ----------
    scores : ndarray, shape (S,)
        The scores, S ≥ 1.

    Returns
    -------
    ndarray, shape (S,), int64
        Bin of each, from 0, by rising score; some numbers are left out where many
        scores are equal.
    """
    n_bins = int(np.clip(len(scores) // PER_BIN, 1, MOST_BINS))
    # a score's place is that of the first of its equals
    place = np.searchsorted(np.sort(scores), scores)
    return np.asarray(place * n_bins // len(scores), np.int64)


def calibration_as_dict(found: Calibration) -> dict[str, object]:
    """Give the figures as plain values for JSON, NaN as None."""
    chance = found.ece_by_chance
    return {
        "ece": interval_as_dict(found.ece),
        "ece_by_chance": None if np.isnan(chance) else chance,
        "brier": interval_as_dict(found.brier),
        "reliability": [dict(vars(one)) for one in found.bins],
        "score": found.what,
    }


def _claims(
    labels: NDArray[np.int64], probabilities: _Floats, target: int
) -> tuple[_Floats, _Bools, str]:
    if probabilities.shape[1] == 2:
        return probabilities[:, target], labels == target % 2, "class of interest"
    called = probabilities.argmax(axis=1)
    return probabilities.max(axis=1), called == labels, "most probable class"


def _squares(labels: NDArray[np.int64], probabilities: _Floats, target: int) -> _Floats:
    n_classes = probabilities.shape[1]
    squares = np.square(probabilities - np.eye(n_classes)[labels])  # (S, C)
    return np.asarray(
        squares[:, target] if n_classes == 2 else squares.sum(axis=1), np.float64
    )


def _all(bins: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.unique(bins)


def _errors(
    scores: _Floats, is_right: _Bools, bins: NDArray[np.int64], weights: _Floats
) -> _Floats:
    """Give the expected calibration error of each sample, shape (1 + B,)."""
    members = (bins[:, None] == _all(bins)).astype(np.float64)  # (S, bins)
    gaps = weights @ (members * (scores - is_right)[:, None])  # (1 + B, bins)
    return np.asarray(np.abs(gaps).sum(axis=1) / weights.sum(axis=1))


def _error_by_chance(
    scores: _Floats, bins: NDArray[np.int64], seed: int, resamples: int
) -> float:
    """Give the mean error over truths drawn from the scores themselves."""
    generator = np.random.default_rng(seed)
    members = (bins[:, None] == _all(bins)).astype(np.float64)
    drawn = generator.random((resamples, len(scores))) < scores
    gaps = (scores - drawn) @ members  # (B, bins)
    return float(np.abs(gaps).sum(axis=1).mean() / len(scores))


def _bin(scores: _Floats, is_right: _Bools) -> Bin:
    n, count = len(scores), int(is_right.sum())
    low, high = wilson(count, n)
    return Bin(float(scores.mean()), count / n, low, high, n)
