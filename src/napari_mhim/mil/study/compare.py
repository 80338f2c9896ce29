"""How settings compare on slides that none of them saw. Torch-free.

Two kinds of figure stand side by side, since they answer different questions:

- mean and deviation over folds and repeats: how a run like this usually ends, and how
  much that depends on the split. Folds share most of their training slides, so this
  deviation must not be made into an interval or a test: it has no unbiased estimate.
- the pooled AUC, over all slides each tested by the model that had not seen it, and the
  difference to the first setting, with 95 % intervals: how sure these slides can make us.

References
----------
Bengio and Grandvalet, "No unbiased estimator of the variance of K-fold cross-validation",
Journal of Machine Learning Research 5, 2004.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mhim.mil.bootstrap import RESAMPLES, Interval, interval_of, undefined
from napari_mhim.mil.cutoff import Cutoff
from napari_mhim.mil.evaluate import aucs, evaluate
from napari_mhim.mil.study.predictions import Prediction

_Floats = NDArray[np.float64]
FIGURES = ("auc", "balanced_accuracy", "sensitivity", "specificity")
"""Figures of each fold."""


@dataclass(frozen=True)
class Spread:
    """A figure over the folds of all repeats."""

    mean: float
    """Mean over the folds in which it is defined; NaN where in none."""
    deviation: float
    """Standard deviation over them (n - 1); NaN with fewer than two."""
    n: int
    """In how many folds it is defined."""


@dataclass(frozen=True)
class FoldFigures:
    """Figures of one setting on one test fold; NaN where a class has no slide."""

    setting: str
    """Name of the setting."""
    repeat: int
    """Which repeat, from 1."""
    fold: int
    """Which fold."""
    n: int
    """Slides tested."""
    auc: float
    """Area under the ROC curve."""
    balanced_accuracy: float
    """At the cut-off chosen on validation slides, as the next two."""
    sensitivity: float
    """Share of slides of the class of interest at or above the cut-off."""
    specificity: float
    """Share of the others below it."""


@dataclass(frozen=True)
class Row:
    """One setting of the study's table."""

    setting: str
    """Its name."""
    n_folds: int
    """Test folds done, over all repeats."""
    auc: Spread
    """Test AUC of each fold."""
    balanced_accuracy: Spread
    """At the cut-off chosen on validation slides, as the next two."""
    sensitivity: Spread
    """Of the class of interest."""
    specificity: Spread
    """Of the other classes together."""
    pooled_auc: Interval
    """AUC of all tested slides together, mean over repeats, with its interval."""
    difference: Interval
    """Pooled AUC minus the first setting's, paired; undefined for the first itself."""
    better: int = 0
    """Folds in which its AUC is above the first setting's."""
    worse: int = 0
    """Folds in which it is below."""


def fold_figures(
    predictions: Sequence[Prediction], classes: Sequence[str]
) -> FoldFigures:
    """Give the figures of one setting on one fold.

    Parameters
    ----------
    predictions : sequence of Prediction
        Of one setting, repeat and fold; one or more.
    classes : sequence of str
        Class names, the class of interest last.

    Returns
    -------
    FoldFigures
        The figures, at the cut-off the predictions carry.
    """
    first = predictions[0]
    cutoff = None if first.cutoff is None else Cutoff(first.cutoff, 0, "validation")
    labels = np.array([classes.index(p.label) for p in predictions])
    probabilities = np.array([p.probabilities for p in predictions])
    found = evaluate(labels, probabilities, cutoff, resamples=1)
    values = {name: getattr(found, name).value for name in FIGURES}
    return FoldFigures(
        first.setting, first.repeat, first.fold, len(predictions), **values
    )


def compare(
    predictions: Iterable[Prediction],
    settings: Sequence[str],
    classes: Sequence[str],
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> tuple[Row, ...]:
    """Compare settings with the first of them.

    The interval is a paired bootstrap over patients: in each sample the same patients
    are drawn again, within their class, for both settings, so what makes a slide hard
    for both falls out of the difference. Patients and not slides are drawn, since slides
    of a patient are alike; a slide's predictions in several repeats are no new slides,
    so AUC is taken repeat by repeat and averaged. With several repeats these are drawn
    again too: the interval then holds the chance of training as well. With one repeat it
    holds that of the slides alone, and is too narrow to that extent.

    An interval over the folds' differences is not offered: folds share training slides,
    and five numbers would look like five experiments.

    Parameters
    ----------
    predictions : iterable of Prediction
        Of all settings, on slides they did not see.
    settings : sequence of str
        Names in the table's order; the first is what the others are compared with.
    classes : sequence of str
        Class names, the class of interest last.
    seed : int
        Of the bootstrap.
    resamples : int
        Bootstrap samples, 1 or more.

    Returns
    -------
    tuple of Row
        In the order of ``settings``.
    """
    by_setting: dict[str, list[Prediction]] = {name: [] for name in settings}
    for prediction in predictions:
        by_setting[prediction.setting].append(prediction)
    everything = [p for some in by_setting.values() for p in some]
    sampler = _Sampler(everything, classes, seed, resamples)
    folds = {n: _folds(some, classes) for n, some in by_setting.items()}
    first = settings[0]
    areas = {name: sampler.areas(some) for name, some in by_setting.items()}
    covered = {name: _covered(some) for name, some in by_setting.items()}
    rows = []
    for name in settings:
        figures = {
            figure: _spread([getattr(fold, figure) for fold in folds[name].values()])
            for figure in FIGURES
        }
        better, worse = _wins(folds[name], folds[first])
        rows.append(
            Row(
                name,
                len(folds[name]),
                **figures,
                pooled_auc=sampler.interval(areas[name], covered[name]),
                difference=(
                    undefined(len(covered[name]), "it is what others are compared with")
                    if name == first
                    else _difference(
                        areas[name], areas[first], covered[name], covered[first]
                    )
                ),
                better=better,
                worse=worse,
            )
        )
    return tuple(rows)


class _Sampler:
    """Draws patients, and repeats, once: every setting is seen through the same samples."""

    def __init__(
        self,
        predictions: Sequence[Prediction],
        classes: Sequence[str],
        seed: int,
        resamples: int,
    ) -> None:
        self._classes = list(classes)
        kinds: dict[str, int] = {}
        for p in predictions:
            kinds[p.patient] = max(
                kinds.get(p.patient, 0), self._classes.index(p.label)
            )
        self._patients = sorted(kinds)
        self._place = {name: i for i, name in enumerate(self._patients)}
        labels = np.array([kinds[name] for name in self._patients], np.int64)
        self._least = int(np.bincount(labels).min(initial=0, where=_there(labels)))
        generator = np.random.default_rng(seed)
        self._weights = np.ones((1 + resamples, len(labels)))  # (1 + B, patients)
        for label in set(labels.tolist()):
            members = np.flatnonzero(labels == label)
            shares = np.full(len(members), 1 / len(members))
            self._weights[1:, members] = generator.multinomial(
                len(members), shares, resamples
            )
        self._repeats = sorted({p.repeat for p in predictions})
        n = max(1, len(self._repeats))
        self._turns = np.ones((1 + resamples, n))  # (1 + B, repeats)
        self._turns[1:] = generator.multinomial(n, np.full(n, 1 / n), resamples)

    def areas(self, predictions: Sequence[Prediction]) -> _Floats:
        """Give the AUC in each sample, mean over repeats, shape (1 + B,); NaN if undefined."""
        each = np.full_like(self._turns, np.nan)  # (1 + B, repeats)
        for column, repeat in enumerate(self._repeats):
            some = [p for p in predictions if p.repeat == repeat]
            labels = np.array([self._classes.index(p.label) for p in some], np.int64)
            if len(set(labels.tolist())) < len(self._classes):
                continue
            probabilities = np.array([p.probabilities for p in some])
            weights = self._weights[:, [self._place[p.patient] for p in some]]
            with np.errstate(invalid="ignore"):
                each[:, column] = aucs(
                    labels, probabilities, weights, len(self._classes) - 1
                )
        turns = np.where(np.isnan(each), 0, self._turns)
        with np.errstate(invalid="ignore"):
            return np.asarray(
                (np.nan_to_num(each) * turns).sum(axis=1) / turns.sum(axis=1)
            )

    def interval(self, areas: _Floats, covered: set[tuple[int, str]]) -> Interval:
        """Make a figure with its interval of the samples' areas."""
        n = len({slide for _, slide in covered})
        if np.isnan(areas[0]):
            return undefined(n, "a class has no tested slide")
        return interval_of(areas[~np.isnan(areas)], n, behind=self._least)


def _there(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.asarray(np.bincount(labels) > 0)


def _folds(
    predictions: Sequence[Prediction], classes: Sequence[str]
) -> dict[tuple[int, int], FoldFigures]:
    groups: dict[tuple[int, int], list[Prediction]] = {}
    for p in predictions:
        groups.setdefault((p.repeat, p.fold), []).append(p)
    return {key: fold_figures(some, classes) for key, some in groups.items()}


def _covered(predictions: Sequence[Prediction]) -> set[tuple[int, str]]:
    return {(p.repeat, p.slide) for p in predictions}


def _spread(values: Sequence[float]) -> Spread:
    known = np.array([value for value in values if not np.isnan(value)])
    n = len(known)
    return Spread(
        float(known.mean()) if n else float("nan"),
        float(known.std(ddof=1)) if n > 1 else float("nan"),
        n,
    )


def _wins(
    ours: dict[tuple[int, int], FoldFigures], first: dict[tuple[int, int], FoldFigures]
) -> tuple[int, int]:
    pairs = [(ours[key].auc, first[key].auc) for key in ours.keys() & first.keys()]
    return sum(a > b for a, b in pairs), sum(a < b for a, b in pairs)


def _difference(
    ours: _Floats,
    first: _Floats,
    covered: set[tuple[int, str]],
    others: set[tuple[int, str]],
) -> Interval:
    n = len({slide for _, slide in covered})
    if covered != others:
        return undefined(n, "a fold of it or of the first setting was not finished")
    values = ours - first
    if np.isnan(values[0]):
        return undefined(n, "a class has no tested slide")
    known = values[~np.isnan(values)]
    if not known.any():
        # every sample of slides that both order alike says 0: that is no certainty
        nan = float("nan")
        return Interval(0.0, nan, nan, n, "both order these slides alike")
    return interval_of(known, n)
