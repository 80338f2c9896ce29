"""How unlike the training slides a slide is, and whether teacher and student see it alike.

Kept with a model are how far its own slides are, and whether low agreement went with
errors on validation slides: without those, neither number means anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mhim.mil.evaluate import evaluate
from napari_mhim.mil.questions import Unlike
from napari_mhim.mil.result import SlideResult

FAR = "distance to training"
"""Where a result's provenance says its distance."""
LEAST_ERRORS = 3
"""With fewer errors, or fewer slides without, nothing is said of what predicts them."""
LEAST_FOR_QUANTILE = 20
"""With fewer slides the farthest stands in for the 95th percentile."""
_SHARE = 0.95


@dataclass(frozen=True)
class Reference:
    """How far a model's own slides are from its training features."""

    limit: float
    """Beyond it a slide is called unlike."""
    is_quantile: bool
    """Whether the limit is the 95th percentile; else it is the farthest slide."""
    median: float
    """Half of the slides are nearer."""
    n: int
    """How many slides."""
    role: str
    """"validation" or "training"."""


def distance(
    mean: NDArray[np.floating],
    statistics: tuple[NDArray[np.float32], NDArray[np.float32]] | None,
) -> float:
    """Give how far a slide's mean feature is from the training mean.

    Parameters
    ----------
    mean : ndarray, shape (D,)
        Mean over the slide's patches.
    statistics : tuple of two ndarrays, shape (D,), or None
        Mean and standard deviation of the training features.

    Returns
    -------
    float
        Mean over features of |difference| in standard deviations; NaN without
        statistics, or where no feature varies.
    """
    if statistics is None:
        return float("nan")
    centre, spread = statistics
    varies = spread > 0
    if not varies.any():
        return float("nan")
    return float((np.abs(mean - centre)[varies] / spread[varies]).mean())


def agreement(own: NDArray[np.floating], guide: NDArray[np.floating]) -> float:
    """Correlate how student and teacher rank a slide's patches.

    Parameters
    ----------
    own, guide : ndarray, shape (N,)
        Student's and teacher's score of each patch, heads reduced.

    Returns
    -------
    float
        Spearman's correlation, ties in the bag's order, in [-1, 1]; 1 where N is 1.
    """
    if len(own) < 2:
        return 1.0
    ranks = [np.argsort(np.argsort(one, kind="stable")) for one in (own, guide)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def unlike_of(result: SlideResult) -> Unlike | None:
    """Give what a result itself says of it, without the model.

    Parameters
    ----------
    result : SlideResult
        What the model saw.

    Returns
    -------
    Unlike or None
        None for results of older versions, which do not know their distance.
    """
    far = result.provenance.get(FAR, "")
    if not far:
        return None
    has_teacher = result.score_source == "teacher"
    agree = agreement(result.student_scores, result.teacher_scores)
    return Unlike(float(far), agree if has_teacher else float("nan"))


def distances_kept(
    val: Sequence[float], train: Sequence[float]
) -> dict[str, dict[str, float]]:
    """Sum up how far a model's own slides are, for its bundle.

    Parameters
    ----------
    val, train : sequence of float
        Distance of each validation and each training slide.

    Returns
    -------
    dict
        ``{"validation" | "training": {"n", "median", "q95", "max"}}``; a role without
        slides is left out. Plain values, rounded.
    """
    kept = {}
    for role, values in (("validation", val), ("training", train)):
        found = np.asarray([v for v in values if np.isfinite(v)])
        if len(found):
            figures = (np.median(found), np.quantile(found, _SHARE), found.max())
            kept[role] = {
                "n": len(found),
                **{
                    name: round(float(value), 6)
                    for name, value in zip(
                        ("median", "q95", "max"), figures, strict=True
                    )
                },
            }
    return kept


def agreement_kept(
    agreements: Sequence[float], is_wrong: Sequence[bool]
) -> dict[str, float]:
    """Sum up whether low agreement went with errors on validation, for the bundle.

    Parameters
    ----------
    agreements : sequence of float
        Teacher–student agreement on each validation slide.
    is_wrong : sequence of bool
        Whether the model is wrong there.

    Returns
    -------
    dict
        ``auroc`` of "the lower, the likelier wrong", ``low`` end of its interval, ``n``
        slides, ``errors``, and ``usual_error``, the median agreement of the errors. Empty
        with fewer than three errors or three others: then it says nothing.
    """
    values, wrong = np.asarray(agreements, float), np.asarray(is_wrong, bool)
    there = np.isfinite(values)
    values, wrong = values[there], wrong[there]
    if min(int(wrong.sum()), int((~wrong).sum())) < LEAST_ERRORS:
        return {}
    # the lower the agreement, the likelier wrong; in [0, 1] as scores are
    doubt = (1 - values) / 2
    pairs = np.stack([1 - doubt, doubt], axis=1)  # (S, 2)
    found = evaluate(wrong.astype(np.int64), pairs).auc
    if not np.isfinite(found.low):
        return {}
    return {
        "auroc": round(float(found.value), 4),
        "low": round(float(found.low), 4),
        "n": len(values),
        "errors": int(wrong.sum()),
        "usual_error": round(float(np.median(values[wrong])), 4),
    }


def reference(kept: Mapping[str, Any]) -> Reference | None:
    """Give what a slide's distance is held against.

    Parameters
    ----------
    kept : mapping
        What :func:`distances_kept` gave; empty for older models.

    Returns
    -------
    Reference or None
        Of the validation slides, else of the training slides, which are nearer than new
        ones would be; None where neither is known.
    """
    for role in ("validation", "training"):
        if role in kept:
            found = kept[role]
            is_quantile = found["n"] >= LEAST_FOR_QUANTILE
            return Reference(
                limit=found["q95"] if is_quantile else found["max"],
                is_quantile=is_quantile,
                median=found["median"],
                n=found["n"],
                role=role,
            )
    return None


def is_caution(value: float, kept: Mapping[str, Any]) -> bool:
    """Tell whether an agreement is a caution: only where it predicted errors.

    Parameters
    ----------
    value : float
        Teacher–student agreement on a slide.
    kept : mapping
        What :func:`agreement_kept` gave.

    Returns
    -------
    bool
        Whether low agreement went with errors on validation beyond chance, and this slide
        agrees no better than half of those errors.
    """
    return bool(kept) and kept["low"] > 0.5 and value <= kept["usual_error"]
