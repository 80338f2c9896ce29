"""Figures of several arms on the same held-out bags, and how sure their difference is.

The figure is the AUC of each held-out fold, averaged over folds and seeds: scores of
models trained on different folds have no common scale, so they are not pooled. Intervals
are a bootstrap over patients, within fold and class; all arms and seeds are judged on
the same draws, so differences are paired. They tell how far other patients would have
moved the figure, not how far other seeds would: those are listed beside it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from trials import Answer

from napari_mhim.mil.bags import Bag
from napari_mhim.mil.evaluate import aucs

RESAMPLES = 2000
"""Bootstrap samples behind an interval."""

_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    """A mean with its 95 % interval."""

    value: float
    """The mean over seeds and folds."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""
    by_seed: tuple[float, ...]
    """The mean over folds of each seed."""
    deviation: float
    """Standard deviation between the folds, of each one's mean over seeds."""


def draw_weights(
    labels: NDArray[np.int64],
    patients: Sequence[str],
    folds: NDArray[np.int8],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> _Floats:
    """Draw patients with replacement, within fold and class.

    Parameters
    ----------
    labels : ndarray, shape (S,)
        Class of each bag.
    patients : sequence of str, S of them
        Whose it is.
    folds : ndarray, shape (S,)
        Fold it is held out in.
    resamples : int
        Samples to draw.
    seed : int
        Seed of the draws.

    Returns
    -------
    ndarray, shape (1 + resamples, S)
        How often each bag is in each sample; the first is the set itself.
    """
    rng = np.random.default_rng(seed)
    keys = np.array(
        [f"{f} {c} {p}" for f, c, p in zip(folds, labels, patients, strict=True)]
    )
    names, member = np.unique(keys, return_inverse=True)
    first = np.array([np.flatnonzero(member == i)[0] for i in range(len(names))])
    counts = np.ones((1 + resamples, len(names)))
    for stratum in {(folds[i], labels[i]) for i in first}:
        among = np.flatnonzero([(folds[i], labels[i]) == stratum for i in first])
        shares = np.full(len(among), 1 / len(among))
        counts[1:, among] = rng.multinomial(len(among), shares, resamples)
    return counts[:, member]


def figure(areas: _Floats) -> Figure:
    """Give the mean over seeds and folds with its interval.

    Parameters
    ----------
    areas : ndarray, shape (seeds, folds, B)
        AUCs, or differences of AUCs; the first of B is the set itself.

    Returns
    -------
    Figure
        The figure.
    """
    samples = areas.mean(axis=(0, 1))
    low, high = np.nanquantile(samples[1:], [0.025, 0.975])
    return Figure(
        value=float(samples[0]),
        low=float(low),
        high=float(high),
        by_seed=tuple(float(v) for v in areas[:, :, 0].mean(axis=1)),
        deviation=float(areas[:, :, 0].mean(axis=0).std(ddof=1)),
    )


def table(
    bags: Sequence[Bag],
    folds: NDArray[np.int8],
    answers: Iterable[Answer],
    against: str,
    resamples: int = RESAMPLES,
) -> list[str]:
    """Give the lines of a table: each arm's AUC, and how much it gains over one of them.

    Parameters
    ----------
    bags : sequence of Bag
        All bags, with class and patient.
    folds : ndarray, shape (len(bags),)
        Fold each is held out in.
    answers : iterable of Answer
        What the arms said; a seed that lacks a fold is left out.
    against : str
        Arm the others are compared with, on the seeds that both have.
    resamples : int
        Bootstrap samples.

    Returns
    -------
    list of str
        The lines.
    """
    labels = np.array([bag.label for bag in bags], np.int64)
    patients = [bag.patient or bag.name for bag in bags]
    weights = draw_weights(labels, patients, folds, resamples)
    where = {bag.name: i for i, bag in enumerate(bags)}
    found: dict[tuple[str, str], dict[int, dict[int, _Floats]]] = {}
    for answer in answers:
        index = np.array([where[name] for name in answer.bags])
        said = np.array(answer.probabilities)
        both = np.stack([1 - said, said], axis=1)  # (S, C)
        area = aucs(labels[index], both, weights[:, index], target=1)
        by_seed = found.setdefault((answer.model, answer.arm), {})
        by_seed.setdefault(answer.seed, {})[answer.fold] = area
    whole = {key: _whole(some, int(folds.max()) + 1) for key, some in found.items()}
    head = f"{'model':10}{'arm':13}{'seeds':6}{'AUC (95 %)':22}{'sd':6}"
    lines = [f"{head}minus {against} (95 %), each seed"]
    for (model, arm), mine in whole.items():
        if mine:
            other = whole.get((model, against), {}) if arm != against else {}
            lines.append(f"{model:10}{arm:13}{_row(mine, other)}".rstrip())
    return lines


def _whole(by_seed: dict[int, dict[int, _Floats]], n_folds: int) -> dict[int, _Floats]:
    """Keep the seeds that have every fold, each of shape (folds, B)."""
    return {
        seed: np.stack([by_fold[fold] for fold in range(n_folds)])
        for seed, by_fold in sorted(by_seed.items())
        if len(by_fold) == n_folds
    }


def _row(mine: dict[int, _Floats], other: dict[int, _Floats]) -> str:
    line = figure(np.stack(list(mine.values())))
    text = f"{len(mine):<6}{line.value:.3f} ({line.low:.3f}–{line.high:.3f})   "
    text += f"{line.deviation:.3f} "
    both = mine.keys() & other.keys()
    if not both:
        return text
    gain = figure(np.stack([mine[seed] - other[seed] for seed in sorted(both)]))
    each = " ".join(f"{value:+.3f}" for value in gain.by_seed)
    return f"{text}{gain.value:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})  [{each}]"
