"""A trained model on all slides of its run: figures for each role, and where it errs.

Written as ``results.json`` beside the bundle, so that a window reads it without torch.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mhim.errors import StoreError
from napari_mhim.mil.bundle_config import BundleConfig
from napari_mhim.mil.cohort import Cohort
from napari_mhim.mil.evaluate import by_patient, evaluate, metrics_as_dict
from napari_mhim.mil.run import write_json

if TYPE_CHECKING:
    from napari_mhim.mil.bags import Bag
    from napari_mhim.mil.bundle import Bundle

FILE = "results.json"
"""Name of the file in a run's folder."""


@dataclass(frozen=True)
class Reviewed:
    """One slide under the finished model."""

    slide: str
    """Slide's name."""
    path: str
    """Its file, "" when unknown."""
    patient: str
    """Patient it is of."""
    label: str
    """Its class."""
    role: str
    """``train``, ``val`` or ``test``."""
    probabilities: tuple[float, ...]
    """Student's score of each class."""
    call: str
    """Class the model comes to, at its cut-off."""
    loss: float
    """Minus the logarithm of the score of the slide's own class."""
    gap: float
    """Teacher's minus student's score of the class of interest; 0 without a teacher."""


@dataclass(frozen=True)
class Results:
    """What ``results.json`` holds."""

    classes: tuple[str, ...]
    """Names of the classes, the one of interest last."""
    figures: Mapping[str, Mapping[str, Any]]
    """Role to ``slides`` and ``patients``: metrics as plain values."""
    slides: tuple[Reviewed, ...]
    """Each slide, the largest loss first."""


def review(
    bundle: "Bundle", table: Cohort, bags: "Mapping[str, Bag]", device: str
) -> Results:
    """Score all slides of a run with its finished model.

    Parameters
    ----------
    bundle : Bundle
        The model.
    table : Cohort
        Slides with roles; those without one, or without a class, are passed over.
    bags : mapping of str to Bag
        Features by slide's name.
    device : str
        One of ``settings.DEVICES``.

    Returns
    -------
    Results
        Figures are the model's at its own cut-off; those of training slides flatter.
    """
    from napari_mhim.mil.cutoff import decide
    from napari_mhim.mil.predict import Predictor

    config, predictor = bundle.config, Predictor(bundle, device)
    rows = [row for row in table.rows if row.role and row.label in config.classes]
    if not rows:
        return Results(config.classes, {}, ())
    both = [predictor.both(bags[row.slide]) for row in rows]
    student = np.array([pair[0] for pair in both], np.float64)
    gaps = [float(t[config.target_index] - s[config.target_index]) for s, t in both]
    calls = decide(student, config.cutoff, config.target_index)
    found = []
    for row, p, gap, call in zip(rows, student, gaps, calls, strict=True):
        own = max(float(p[config.classes.index(row.label)]), 1e-12)
        found.append(
            Reviewed(
                slide=row.slide,
                path=row.path,
                patient=row.patient,
                label=row.label,
                role=row.role,
                probabilities=tuple(float(value) for value in p),
                call=config.classes[call],
                loss=float(-np.log(own)),
                gap=gap,
            )
        )
    figures = {
        role: _figures([one for one in found if one.role == role], config)
        for role in ("train", "val", "test")
        if any(one.role == role for one in found)
    }
    found.sort(key=lambda one: -one.loss)
    return Results(config.classes, figures, tuple(found))


def write_results(folder: Path, results: Results) -> None:
    """Write ``results.json``; WorkspaceError where the folder cannot be written."""
    write_json(folder / FILE, asdict(results))


def read_results(folder: Path) -> Results:
    """Read ``results.json`` of a run.

    Parameters
    ----------
    folder : Path
        The run's folder.

    Returns
    -------
    Results
        What it says.

    Raises
    ------
    StoreError
        If it is missing or damaged.
    """
    path = folder / FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        slides = tuple(
            Reviewed(**{**one, "probabilities": tuple(one["probabilities"])})
            for one in values["slides"]
        )
        return Results(tuple(values["classes"]), values["figures"], slides)
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise StoreError(
            f"results {str(path)!r} cannot be read ({err}); evaluate the model again"
        ) from err


def _figures(some: Sequence[Reviewed], config: BundleConfig) -> dict[str, Any]:
    labels = np.array([config.classes.index(one.label) for one in some], np.int64)
    probabilities = np.array([one.probabilities for one in some])
    target = config.target_index
    patients = [one.patient for one in some]
    grouped = by_patient(labels, probabilities, patients, target)
    return {
        name: metrics_as_dict(evaluate(rows[0], rows[1], config.cutoff, target=target))
        for name, rows in (("slides", (labels, probabilities)), ("patients", grouped))
    }
