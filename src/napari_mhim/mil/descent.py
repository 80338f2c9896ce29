"""Where a fine-tuned model comes from, and what it changed on the same validation slides."""

from collections.abc import Sequence
from typing import Any

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
from napari_mhim.mil.bundle_config import BundleConfig
from napari_mhim.mil.cohort import Cohort
from napari_mhim.mil.evaluate import aucs

KNOWN = ("train", "val", "test")
"""Roles of a slide that was in the parent's cohort."""


def descent(
    parent: BundleConfig, parent_id: str, cohort: Cohort, tuned: str
) -> dict[str, Any]:
    """Say which model another goes on from, and on how many slides.

    Parameters
    ----------
    parent : BundleConfig
        The parent's settings.
    parent_id : str
        Hash of its weights and settings.
    cohort : Cohort
        The child's slides with roles.
    tuned : str
        What was trained: a ``Tune``, or ``"cut-off"``.

    Returns
    -------
    dict
        Plain values: ``name``, ``id``, ``tuned``, ``added`` (slides new to the model, by
        role and class) and ``old`` (slides of its own cohort, by role).
    """
    added: dict[str, dict[str, int]] = {}
    old: dict[str, int] = {}
    for row in cohort.rows:
        if not row.role:
            continue
        if parent.role_of(row.slide) in KNOWN:
            old[row.role] = old.get(row.role, 0) + 1
        else:
            some = added.setdefault(row.role, {})
            some[row.label] = some.get(row.label, 0) + 1
    return {
        "name": parent.name,
        "id": parent_id,
        "tuned": tuned,
        "added": added,
        "old": old,
    }


def before_after(
    labels: NDArray[np.int64],
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    patients: Sequence[str],
    seed: int = 0,
) -> dict[str, Any]:
    """Compare parent and child on the same slides, through the same bootstrap samples.

    Parameters
    ----------
    labels : ndarray, shape (S,), int
        Class of each slide.
    before, after : ndarray, shape (S, C)
        Probabilities of the parent and of the child.
    patients : sequence of str
        Patient of each slide: counted, so that n is honest.
    seed : int
        Seed of the samples.

    Returns
    -------
    dict
        ``auc_before``, ``auc_after``, ``auc_change``: intervals as plain values; and
        ``patients``.
    """
    n, n_classes = len(labels), before.shape[1]
    counts = np.bincount(labels, minlength=n_classes)
    found: tuple[Interval, ...]
    if before.shape != after.shape:
        found = (undefined(n, "the classes are not the same"),) * 3
    elif not counts.all():
        found = (undefined(n, "a class has no slide"),) * 3
    else:
        weights = resample(labels, n_classes, seed, RESAMPLES)
        areas = [aucs(labels, p, weights, n_classes - 1) for p in (before, after)]
        least = int(counts.min())
        found = (
            *(interval_of(some, n, behind=least) for some in areas),
            _change(areas[1] - areas[0], n),
        )
    names = ("auc_before", "auc_after", "auc_change")
    plain = {k: interval_as_dict(v) for k, v in zip(names, found, strict=True)}
    return {**plain, "patients": len(set(patients))}


def _change(values: NDArray[np.float64], n: int) -> Interval:
    if not values.any():
        # every sample of slides that both order alike says 0: that is no certainty
        nan = float("nan")
        return Interval(0.0, nan, nan, n, "both order these slides alike")
    return interval_of(values, n)
