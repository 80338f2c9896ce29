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


Areas = dict[int, _Floats]
"""AUCs of one arm by seed, each of shape (folds, B)."""


def areas_of(
    bags: Sequence[Bag],
    folds: NDArray[np.int8],
    answers: Iterable[Answer],
    resamples: int = RESAMPLES,
) -> dict[tuple[str, str], Areas]:
    """Give the AUC of every arm, seed and fold in every sample.

    Parameters
    ----------
    bags : sequence of Bag
        All bags, with class and patient.
    folds : ndarray, shape (len(bags),)
        Fold each is held out in.
    answers : iterable of Answer
        What the arms said; a seed that lacks a fold is left out.
    resamples : int
        Bootstrap samples.

    Returns
    -------
    dict of (model, arm) to Areas
        All on the same samples.
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
    return {key: some for key, some in whole.items() if some}


def gain(mine: Areas, other: Areas) -> Figure | None:
    """Give the paired difference of two arms on the seeds both have; None without any."""
    both = sorted(mine.keys() & other.keys())
    if not both:
        return None
    return figure(np.stack([mine[seed] - other[seed] for seed in both]))


def table(areas: dict[tuple[str, str], Areas], against: str) -> list[str]:
    """Give the lines of a table, in Markdown.

    Parameters
    ----------
    areas : dict of (model, arm) to Areas
        As :func:`areas_of` gives them.
    against : str
        Arm that each other arm of its model is compared with.

    Returns
    -------
    list of str
        The lines.
    """
    lines = [
        f"| model | arm | seeds | AUC (95 %) | sd of folds | minus {against} (95 %) "
        "| of each seed |",
        "|---|---|---|---|---|---|---|",
    ]
    for (model, arm), mine in areas.items():
        line = figure(np.stack(list(mine.values())))
        other = areas.get((model, against), {}) if arm != against else {}
        found = gain(mine, other)
        cells = [model, arm, str(len(mine)), _interval(line, "{:.3f}")]
        cells += [f"{line.deviation:.3f}"]
        if found is None:
            cells += ["", ""]
        else:
            each = " ".join(f"{value:+.3f}" for value in found.by_seed)
            cells += [_interval(found, "{:+.3f}"), each]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _interval(found: Figure, form: str) -> str:
    value, low, high = (form.format(v) for v in (found.value, found.low, found.high))
    return f"{value} ({low} to {high})"


def _whole(by_seed: dict[int, dict[int, _Floats]], n_folds: int) -> Areas:
    """Keep the seeds that have every fold."""
    return {
        seed: np.stack([by_fold[fold] for fold in range(n_folds)])
        for seed, by_fold in sorted(by_seed.items())
        if len(by_fold) == n_folds
    }
