"""What each member of a study says of the slides it never saw, as CSV. Torch-free."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_mhim.errors import TrainingError
from napari_mhim.workspace import writing

_FIXED = ("setting", "repeat", "fold", "slide", "patient", "label", "cutoff")


@dataclass(frozen=True)
class Prediction:
    """One member's word on one slide of its test fold."""

    setting: str
    """Name of the setting."""
    repeat: int
    """Which repeat, from 1."""
    fold: int
    """Which fold tested the slide."""
    slide: str
    """Slide's name."""
    patient: str
    """Patient it is of."""
    label: str
    """Its class."""
    cutoff: float | None
    """The member's cut-off, chosen on its validation slides; None where it has none."""
    probabilities: tuple[float, ...]
    """Of each class, in the cohort's order."""


def write_predictions(
    path: Path, predictions: Iterable[Prediction], classes: Sequence[str]
) -> None:
    """Write predictions as CSV, whole or not at all; numbers keep every digit.

    Parameters
    ----------
    path : Path
        File to write.
    predictions : iterable of Prediction
        The lines.
    classes : sequence of str
        Class names in order: the columns ``p_<class>``.

    Raises
    ------
    WorkspaceError
        If the folder cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_FIXED, *(f"p_{name}" for name in classes)])
    for row in predictions:
        fixed = [getattr(row, name) for name in _FIXED]
        writer.writerow([*fixed, *map(repr, row.probabilities)])
    with writing(path) as part:
        part.write_text(text.getvalue(), encoding="utf-8")


def read_predictions(path: Path, classes: Sequence[str]) -> list[Prediction]:
    """Read what :func:`write_predictions` wrote.

    Parameters
    ----------
    path : Path
        The file.
    classes : sequence of str
        Class names in order.

    Returns
    -------
    list of Prediction
        The lines.

    Raises
    ------
    TrainingError
        If the file cannot be read or is of other classes.
    """
    columns = [f"p_{name}" for name in classes]
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [
                Prediction(
                    setting=row["setting"],
                    repeat=int(row["repeat"]),
                    fold=int(row["fold"]),
                    slide=row["slide"],
                    patient=row["patient"],
                    label=row["label"],
                    cutoff=float(row["cutoff"]) if row["cutoff"] else None,
                    probabilities=tuple(float(row[name]) for name in columns),
                )
                for row in csv.DictReader(file)
            ]
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise TrainingError(
            f"predictions {str(path)!r} cannot be read ({err}); delete the file and its "
            "slides are predicted again"
        ) from err
