"""A trained model on all slides of its run: figures for each role, and where it errs.

Written as ``results.json`` beside the bundle, so that a window reads it without torch.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_mhim.errors import StoreError
from napari_mhim.mil.bundle_config import BundleConfig
from napari_mhim.mil.calibration import calibration, calibration_as_dict
from napari_mhim.mil.cohort import Cohort
from napari_mhim.mil.evaluate import by_patient, evaluate, metrics_as_dict
from napari_mhim.mil.run import write_json

if TYPE_CHECKING:
    from napari_mhim.mil.bags import Bag
    from napari_mhim.mil.bundle import Bundle

FILE = "results.json"
"""Name of the file in a run's folder."""
UNITS = ("patients", "slides")
"""What figures are over."""


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
    """Names of the classes, in the model's order."""
    figures: Mapping[str, Mapping[str, Any]]
    """Role to unit (one of ``UNITS``) to metrics as plain values, and ``calibration``."""
    slides: tuple[Reviewed, ...]
    """Each slide, the largest loss first."""
    target: int = -1
    """Index of the class of interest."""

    def scores_of(
        self, role: str, unit: str
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Give labels and scores of the slides, or the patients, of a role.

        Parameters
        ----------
        role : str
            One that ``figures`` has.
        unit : str
            One of ``UNITS``: a patient has the scores of the slide that says most.

        Returns
        -------
        tuple of two ndarrays, shapes (U,) int64 and (U, C) float64
            Class and scores of each of the U units.
        """
        some = [one for one in self.slides if one.role == role]
        return _scores_of(some, self.classes, unit, self.target)


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
        return Results(config.classes, {}, (), config.target_index)
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
        role: figures_of([one for one in found if one.role == role], config)
        for role in ("train", "val", "test")
        if any(one.role == role for one in found)
    }
    found.sort(key=lambda one: -one.loss)
    return Results(config.classes, figures, tuple(found), config.target_index)


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
        target = values.get("target", -1)
        return Results(tuple(values["classes"]), values["figures"], slides, target)
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise StoreError(
            f"results {str(path)!r} cannot be read ({err}); evaluate the model again"
        ) from err


def figures_of(some: Sequence[Reviewed], config: BundleConfig) -> dict[str, Any]:
    """Give the figures of a model on the slides of one role.

    Parameters
    ----------
    some : sequence of Reviewed
        The slides, 1 or more.
    config : BundleConfig
        The model's settings: its cut-off is taken as it is.

    Returns
    -------
    dict of str to dict
        For each of ``UNITS``: metrics and ``calibration``, as plain values.
    """
    target, found = config.target_index, {}
    for unit in UNITS:
        labels, scores = _scores_of(some, config.classes, unit, target)
        metrics = evaluate(labels, scores, config.cutoff, target=target)
        found[unit] = {
            **metrics_as_dict(metrics),
            "calibration": calibration_as_dict(calibration(labels, scores, target)),
        }
    return found


def _scores_of(
    some: Sequence[Reviewed], classes: Sequence[str], unit: str, target: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    labels = np.array([classes.index(one.label) for one in some], np.int64)
    scores = np.array([one.probabilities for one in some], np.float64)
    if unit == "slides":
        return labels, scores
    return by_patient(labels, scores, [one.patient for one in some], target)
