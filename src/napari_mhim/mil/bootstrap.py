"""Intervals of figures: slides drawn again within their class, Wilson's at the ends."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
"""Bootstrap samples behind an interval."""
Z = 1.959964
"""Deviations that hold 95 % of a normal distribution."""


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval: bootstrap, or Wilson's where the figure is 0 or 1."""

    value: float
    """The figure; NaN when undefined."""
    low: float
    """Lower end of the interval; NaN when undefined."""
    high: float
    """Upper end of the interval; NaN when undefined."""
    n: int
    """Slides behind it."""
    reason: str = ""
    """Why it is undefined, "" when it is not."""

    def __str__(self) -> str:
        """Give the figure as a person reads it: ``.80 (.35–1.00, n = 6)``."""
        if np.isnan(self.value):
            return f"not defined (n = {self.n}): {self.reason}"
        return f"{self.value:.2f} ({self.low:.2f}–{self.high:.2f}, n = {self.n})"


def interval_as_dict(interval: Interval) -> dict[str, float | int | str | None]:
    """Give an interval as plain values for JSON, NaN as None."""
    return {
        name: None if value != value else value
        for name, value in vars(interval).items()
    }


def undefined(n: int, reason: str) -> Interval:
    """Give the interval of a figure that a set cannot tell.

    Parameters
    ----------
    n : int
        Slides there are.
    reason : str
        Why there is no figure.

    Returns
    -------
    Interval
        NaN throughout.
    """
    return Interval(float("nan"), float("nan"), float("nan"), n, reason)


def resample(
    labels: NDArray[np.int64], n_classes: int, seed: int, resamples: int
) -> NDArray[np.float64]:
    """Draw slides again, within their class: every sample has each class the set has.

    Parameters
    ----------
    labels : ndarray, shape (S,), int
        Class of each slide.
    n_classes : int
        Number of classes, C.
    seed : int
        Seed of the draw.
    resamples : int
        Samples to draw, B.

    Returns
    -------
    ndarray, shape (1 + B, S), float64
        How often each slide is in each sample; row 0 is the set itself.
    """
    generator = np.random.default_rng(seed)
    weights = np.ones((1 + resamples, len(labels)))
    for label in range(n_classes):
        members = np.flatnonzero(labels == label)
        if len(members):
            shares = np.full(len(members), 1 / len(members))
            weights[1:, members] = generator.multinomial(
                len(members), shares, resamples
            )
    return weights


def interval_of(
    values: NDArray[np.float64], n: int, behind: int | None = None
) -> Interval:
    """Give a figure's interval from its value in each sample.

    Parameters
    ----------
    values : ndarray, shape (1 + B,), float64
        Figure of the set itself, then of each sample.
    n : int
        Slides of the set.
    behind : int, optional
        For a share, in [0, 1]: slides that limit how sure it can be.

    Returns
    -------
    Interval
        2.5th to 97.5th percentile, widened to hold the figure.
    """
    value, (low, high) = float(values[0]), np.quantile(values[1:], [0.025, 0.975])
    # no sample of flawless slides holds a fault: the bootstrap would call 3 of 3 certain.
    # Wilson's interval does not, so its open end is taken there
    if behind is not None and value >= 1:
        low = min(low, behind / (behind + Z**2))
    if behind is not None and value <= 0:
        high = max(high, Z**2 / (behind + Z**2))
    return Interval(value, float(min(low, value)), float(max(high, value)), n)


def wilson(count: int, n: int) -> tuple[float, float]:
    """Give Wilson's 95 % interval of a share.

    Parameters
    ----------
    count : int
        Slides that have it, 0 to ``n``.
    n : int
        Slides, 1 or more.

    Returns
    -------
    tuple of float
        Lower and upper end, in [0, 1].

    References
    ----------
    Wilson, "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22, 1927.
    """
    share = count / n
    centre = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z * np.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2)) / (1 + Z**2 / n)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))
