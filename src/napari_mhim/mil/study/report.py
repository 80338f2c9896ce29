"""A study's table, for the screen, a spreadsheet, a program and a person. Torch-free."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from napari_mhim.mil.bootstrap import Interval
from napari_mhim.mil.study.compare import FIGURES, FoldFigures, Row, Spread

HEADINGS = (
    *("setting", "folds", "AUC", "balanced accuracy", "sensitivity", "specificity"),
    *("pooled AUC (95 %)", "difference to the first (95 %)", "better / worse"),
)
"""Columns of the table as people read it."""


def cells(row: Row) -> tuple[str, ...]:
    """Give one row of the table as text, in the order of ``HEADINGS``."""
    is_first = "compared with" in row.difference.reason
    return (
        row.setting,
        str(row.n_folds),
        *(_spread(getattr(row, figure)) for figure in FIGURES),
        _interval(row.pooled_auc),
        "–" if is_first else _interval(row.difference, signed=True),
        "–" if is_first else f"{row.better} / {row.worse}",
    )


def as_markdown(
    rows: Sequence[Row], title: str, folds: str, notes: Sequence[str] = ()
) -> str:
    """Give the table with what its numbers mean.

    Parameters
    ----------
    rows : sequence of Row
        The settings.
    title : str
        Heading.
    folds : str
        One sentence: how slides were split.
    notes : sequence of str
        What else the reader must know, a sentence each.

    Returns
    -------
    str
        Markdown.
    """
    lines = [f"# {title}", "", folds, ""]
    lines.append("| " + " | ".join(HEADINGS) + " |")
    lines.append("|---|" + "---:|" * (len(HEADINGS) - 1))
    lines += [
        "| " + " | ".join(_bare(cell) for cell in cells(row)) + " |" for row in rows
    ]
    lines += ["", *_LEGEND, *(f"- {note}" for note in (*reasons(rows), *notes))]
    return "\n".join(lines) + "\n"


def as_csv(rows: Sequence[Row]) -> str:
    """Give the table with plain numbers, one line for each setting; empty: not defined."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            *("setting", "n_folds"),
            *(f"{figure}_{part}" for figure in FIGURES for part in ("mean", "sd")),
            *(f"pooled_auc{part}" for part in ("", "_low", "_high")),
            *(f"difference{part}" for part in ("", "_low", "_high")),
            *("better", "worse"),
        ]
    )
    for row in rows:
        spreads = [getattr(row, figure) for figure in FIGURES]
        numbers = [
            *(n for spread in spreads for n in (spread.mean, spread.deviation)),
            *(row.pooled_auc.value, row.pooled_auc.low, row.pooled_auc.high),
            *(row.difference.value, row.difference.low, row.difference.high),
        ]
        shown = ["" if math.isnan(number) else f"{number:.6g}" for number in numbers]
        writer.writerow([row.setting, row.n_folds, *shown, row.better, row.worse])
    return text.getvalue()


def as_plain(rows: Sequence[Row], folds: Sequence[FoldFigures]) -> dict[str, Any]:
    """Give the table and the figures of every fold as plain values, NaN as None."""
    return {
        "settings": [_plain(asdict(row)) for row in rows],
        "folds": [_plain(asdict(fold)) for fold in folds],
    }


def reasons(rows: Sequence[Row]) -> list[str]:
    """Say why a figure of the table is missing, one sentence for each."""
    found = []
    for row in rows:
        for what, interval in (
            ("pooled AUC", row.pooled_auc),
            ("difference", row.difference),
        ):
            if interval.reason and "compared with" not in interval.reason:
                found.append(f"{what} of {row.setting!r}: {interval.reason}.")
    return found


_LEGEND = (
    "- AUC, balanced accuracy, sensitivity and specificity: mean ± standard deviation "
    "over test folds. The cut-off of each fold was chosen on its validation slides.",
    "- pooled AUC: all tested slides together, each by the model that had not seen it; "
    "bootstrap over patients.",
    "- difference: pooled AUC minus that of the first row on the same slides, paired "
    "bootstrap over patients. An interval that holds 0 tells nothing apart.",
    "- better / worse: test folds in which the AUC is above or below the first row's.",
)


def _spread(spread: Spread) -> str:
    if math.isnan(spread.mean):
        return "–"
    if math.isnan(spread.deviation):
        return f"{spread.mean:.3f}"
    return f"{spread.mean:.3f} ± {spread.deviation:.3f}"


def _interval(interval: Interval, signed: bool = False) -> str:
    if math.isnan(interval.value):
        return "–"
    form = "+.3f" if signed else ".3f"
    if math.isnan(interval.low):
        return f"{interval.value:{form}} (–)"
    low, high = format(interval.low, form), format(interval.high, form)
    return f"{interval.value:{form}} ({low} to {high})"


def _bare(cell: str) -> str:
    return cell.replace("|", "\\|")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
