"""How far two readers, or a reader and a model, agree beyond chance: Cohen's kappa."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mhim.mil.bootstrap import RESAMPLES, Interval, interval_of, undefined


@dataclass(frozen=True)
class Agreement:
    """Two judges of the same slides."""

    kappa: Interval
    """Cohen's kappa, unweighted; its ``n`` is the number of slides both judged."""
    table: tuple[tuple[int, ...], ...]
    """Slides by the first judge's class (rows) and the second's (columns)."""
    left_out: int
    """Slides both judged, but one of them as no class: uncertain, not assessable."""

    @property
    def n_same(self) -> int:
        """Count the slides both gave the same class."""
        return sum(row[i] for i, row in enumerate(self.table))


def agreement(
    first: Sequence[str],
    second: Sequence[str],
    classes: Sequence[str],
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Agreement:
    """Compare two judges slide by slide.

    Parameters
    ----------
    first, second : sequence of str
        Class each gave to each of S slides; "" where a slide was not judged.
    classes : sequence of str
        The classes that count; a pair with any other label is left out, and counted.
    seed : int
        Of the resampling.
    resamples : int
        Bootstrap samples behind the interval; slides are drawn again, pairs whole.

    Returns
    -------
    Agreement
        Kappa is not defined with fewer than two slides, or where chance alone agrees
        always (both gave all slides one class).

    Raises
    ------
    ValueError
        If the two are not of the same length.

    References
    ----------
    Cohen, "A coefficient of agreement for nominal scales", Educ. Psychol. Meas. 20, 1960.
    """
    place = {name: number for number, name in enumerate(classes)}
    judged = [(a, b) for a, b in zip(first, second, strict=True) if a and b]
    pairs = [(place[a], place[b]) for a, b in judged if a in place and b in place]
    table = np.zeros((len(classes), len(classes)), np.int64)
    for a, b in pairs:
        table[a, b] += 1
    rows = tuple(tuple(int(n) for n in row) for row in table)
    kappa = _kappa(table, seed, resamples)
    return Agreement(kappa, rows, len(judged) - len(pairs))


def kappa_of(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give Cohen's kappa of tables of pairs.

    Parameters
    ----------
    tables : ndarray, shape (..., C, C)
        Slides by both judges' classes.

    Returns
    -------
    ndarray, shape (...)
        1 for judges that always agree, 0 for what chance gives; NaN where chance alone
        agrees always.
    """
    shares = tables / tables.sum(axis=(-2, -1), keepdims=True)
    seen = np.trace(shares, axis1=-2, axis2=-1)
    chance = (shares.sum(axis=-1) * shares.sum(axis=-2)).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        # rounding must not make a kappa of what is not defined
        return np.where(chance < 1 - 1e-12, (seen - chance) / (1 - chance), np.nan)


def _kappa(table: NDArray[np.int64], seed: int, resamples: int) -> Interval:
    n = int(table.sum())
    if n < 2:
        return undefined(n, "fewer than two slides judged by both")
    value = kappa_of(table.astype(np.float64))
    if np.isnan(value):
        return undefined(n, "both gave all slides the same class")
    draws = np.random.default_rng(seed).multinomial(
        n, (table / n).ravel(), size=resamples
    )
    drawn = kappa_of(draws.reshape(resamples, *table.shape).astype(np.float64))
    # a sample of one class only says nothing of agreement
    defined = drawn[~np.isnan(drawn)]
    return interval_of(np.concatenate([[value], defined]), n)
