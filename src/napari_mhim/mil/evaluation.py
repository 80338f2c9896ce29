"""A model held against labelled slides: by slide, and by patient where one has several."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mhim.mil.bundle_config import BundleConfig
from napari_mhim.mil.calibration import Calibration, calibration
from napari_mhim.mil.cohort import CohortRow
from napari_mhim.mil.cutoff import decide
from napari_mhim.mil.evaluate import Metrics, by_patient, evaluate


@dataclass(frozen=True, eq=False)
class Group:
    """S units that were judged, slides or patients, with the figures over them."""

    unit: str
    """``"slide"`` or ``"patient"``."""
    names: tuple[str, ...]
    """Name of each."""
    labels: NDArray[np.int64]
    """Class of each, shape (S,)."""
    probabilities: NDArray[np.float64]
    """Model's scores, shape (S, C)."""
    called: NDArray[np.int64]
    """Class the model comes to at the cut-off, shape (S,)."""
    metrics: Metrics
    """AUC and what follows from the cut-off."""
    calibration: Calibration
    """Whether scores mean what they say."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One model on one set of slides."""

    config: BundleConfig
    """The model's settings; cut-off and calibration are its own, never these slides'."""
    model_id: str
    """Hash of the model's weights and settings."""
    asked: str
    """Which slides were asked for: ``"test"``, ``"val"``, ``"train"`` or ``"all"``."""
    rows: tuple[CohortRow, ...]
    """The slides."""
    roles: tuple[str, ...]
    """What each was for the model."""
    slides: Group
    """Figures by slide."""
    patients: Group | None
    """Figures by patient; None where every patient has one slide."""
    notes: tuple[str, ...]
    """What the reader must know, a sentence each."""


def held_against(
    config: BundleConfig,
    model_id: str,
    asked: str,
    rows: Sequence[CohortRow],
    roles: Sequence[str],
    probabilities: NDArray[np.floating],
    notes: Sequence[str] = (),
    seed: int = 0,
) -> Evaluation:
    """Hold a model's scores against the labels of a table.

    Parameters
    ----------
    config : BundleConfig
        The model's settings.
    model_id : str
        The bundle's id.
    asked : str
        Which slides were asked for.
    rows : sequence of CohortRow
        The slides; their labels are the model's classes.
    roles : sequence of str
        What each was for the model.
    probabilities : ndarray, shape (S, C)
        The model's scores, calibrated where the model is.
    notes : sequence of str
        What is to be said beside the figures.
    seed : int
        Seed of the resampling.

    Returns
    -------
    Evaluation
        The figures, at the bundle's own cut-off.
    """
    labels = np.array([config.classes.index(row.label) for row in rows], np.int64)
    scores = np.asarray(probabilities, np.float64).reshape(len(rows), -1)
    patients = [row.patient or row.slide for row in rows]
    slides = _group("slide", [row.slide for row in rows], labels, scores, config, seed)
    grouped = None
    if len(set(patients)) < len(rows):
        by = by_patient(labels, scores, patients, config.target_index)
        grouped = _group("patient", sorted(set(patients)), *by, config, seed)
    fewest = grouped or slides
    caution = fewest.metrics.caution(fewest.unit)
    return Evaluation(
        config=config,
        model_id=model_id,
        asked=asked,
        rows=tuple(rows),
        roles=tuple(roles),
        slides=slides,
        patients=grouped,
        notes=(*notes, *([caution] if caution else [])),
    )


def _group(
    unit: str,
    names: Sequence[str],
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    config: BundleConfig,
    seed: int,
) -> Group:
    target, cutoff = config.target_index, config.cutoff
    return Group(
        unit=unit,
        names=tuple(names),
        labels=labels,
        probabilities=probabilities,
        called=decide(probabilities, cutoff, target),
        metrics=evaluate(labels, probabilities, cutoff, target, seed),
        calibration=calibration(labels, probabilities, target, seed),
    )
