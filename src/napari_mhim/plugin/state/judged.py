"""How well a finished model ranks slides, and whether its scores mean what they say. No Qt."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from napari_mhim.mil.review import UNITS, Results
from napari_mhim.mil.roc import roc

_ONE = {"patients": "patient", "slides": "slide"}


@dataclass(frozen=True)
class RocLine:
    """One ROC curve, ready to be drawn."""

    unit: str
    """One of ``UNITS``."""
    name: str
    """Class it is of; "" where there are two classes."""
    points: tuple[tuple[float, float], ...]
    """(1 − specificity, sensitivity), rising from (0, 0) to (1, 1)."""
    at_cutoff: tuple[float, float] | None
    """Where the model's cut-off is; None where it has none."""


@dataclass(frozen=True)
class ReliabilityPoint:
    """Units of neighbouring scores: what was promised, and what came."""

    score: float
    """Their mean score, in [0, 1]."""
    share: float
    """Share of them that are of the class, in [0, 1]."""
    low: float
    """Lower end of the share's 95 % interval."""
    high: float
    """Upper end."""
    n: int
    """How many they are."""


def roc_lines(results: Results, role: str) -> tuple[RocLine, ...]:
    """Give the ROC curves of a role: by patient, and by slide where that differs.

    Parameters
    ----------
    results : Results
        Of a finished run.
    role : str
        One of its roles.

    Returns
    -------
    tuple of RocLine
        With more than two classes one for each, against the rest; empty where all are of
        one class.
    """
    n_classes = len(results.classes)
    targets = [results.target] if n_classes == 2 else range(n_classes)
    found = []
    for unit in _units(results, role):
        labels, scores = results.scores_of(role, unit)
        for target in targets:
            curve = roc(labels, scores, target)
            if curve is None:
                continue
            pairs = zip(curve.false_positive, curve.sensitivity, strict=True)
            found.append(
                RocLine(
                    unit=unit,
                    name="" if n_classes == 2 else results.classes[target],
                    points=tuple((float(x), float(y)) for x, y in pairs),
                    at_cutoff=_at_cutoff(results.figures[role][unit]),
                )
            )
    return tuple(found)


def reliability(results: Results, role: str) -> tuple[ReliabilityPoint, ...]:
    """Give the reliability curve of a role, by patient.

    Parameters
    ----------
    results : Results
        Of a finished run.
    role : str
        One of its roles.

    Returns
    -------
    tuple of ReliabilityPoint
        By rising score; empty for a run of an older version, which has none.
    """
    found = results.figures[role]["patients"].get("calibration")
    return (
        tuple(ReliabilityPoint(**one) for one in found["reliability"]) if found else ()
    )


def roc_words(results: Results, role: str) -> str:
    """Say the area under each curve, with interval and n.

    Parameters
    ----------
    results : Results
        Of a finished run.
    role : str
        One of its roles.

    Returns
    -------
    str
        Rich text.
    """
    figures = results.figures[role]
    said = [
        f"{_with_n(figures[unit]['auc'])} by {_ONE[unit]}"
        for unit in _units(results, role)
    ]
    n_classes = len(results.classes)
    names = ", ".join(escape(name) for name in results.classes)
    of = escape(results.classes[results.target])
    what = of if n_classes == 2 else f"each of {names} against the rest; their mean"
    dot = " Ring: the cut-off." if _at_cutoff(figures["patients"]) else ""
    return f"<b>ROC</b> of {what}: AUC {', '.join(said)}.{dot}"


def calibration_words(results: Results, role: str) -> str:
    """Say how far scores are from the shares they promise, with interval and n.

    Parameters
    ----------
    results : Results
        Of a finished run.
    role : str
        One of its roles.

    Returns
    -------
    str
        Rich text.
    """
    figures = results.figures[role]
    found = figures["patients"].get("calibration")
    if not found:
        return (
            "<b>Calibration</b> was not worked out when this run was made: evaluate its "
            "model (napari-mhim evaluate)."
        )
    said = [
        f"{_with_n(figures[unit]['calibration']['ece'])} by {_ONE[unit]}"
        for unit in _units(results, role)
    ]
    text = f"<b>Calibration</b> of the score of the {found['score']}: ECE "
    text += f"{', '.join(said)}."
    if found["ece_by_chance"] is not None:
        chance = found["ece_by_chance"]
        text += f" With so few, true scores would come to {chance:.2f} by chance."
    return f"{text} Bars: 95 % intervals, with n; on the diagonal scores are true."


def figure(entry: Mapping[str, Any]) -> str:
    """Write a figure with its interval.

    Parameters
    ----------
    entry : mapping
        An interval as plain values.

    Returns
    -------
    str
        ``"0.83 (0.61–0.97)"``, without an interval the figure alone.
    """
    if entry["value"] is None:
        return "not defined"
    if entry["low"] is None:
        return f"{entry['value']:.2f}"
    return f"{entry['value']:.2f} ({entry['low']:.2f}–{entry['high']:.2f})"


def _with_n(entry: Mapping[str, Any]) -> str:
    said, n = figure(entry), f"n = {entry['n']}"
    if said.endswith(")"):
        return f"{said[:-1]}, {n})"
    reason = f": {escape(entry['reason'])}" if entry["value"] is None else ""
    return f"{said}{reason} ({n})"


def _units(results: Results, role: str) -> Iterator[str]:
    """Give the units that differ: with a slide a patient the curves are the same."""
    n = [sum(results.figures[role][unit]["counts"]) for unit in UNITS]
    yield "patients"
    if n[0] != n[1]:
        yield "slides"


def _at_cutoff(figures: Mapping[str, Any]) -> tuple[float, float] | None:
    pair = figures["specificity"]["value"], figures["sensitivity"]["value"]
    if figures["cutoff"] is None or None in pair:
        return None
    return float(1 - np.float64(pair[0])), float(pair[1])
