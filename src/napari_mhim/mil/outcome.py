"""From a stage's best weights to a bundle: figures, cut-off, colour limits, statistics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_mhim.features.config import ExtractConfig
from napari_mhim.mil.bags import Bag
from napari_mhim.mil.bundle import Bundle, BundleConfig, save_bundle
from napari_mhim.mil.bundle_config import salted_roles
from napari_mhim.mil.card import card
from napari_mhim.mil.checkpoint import Standing
from napari_mhim.mil.cohort import Cohort
from napari_mhim.mil.config import TrainConfig
from napari_mhim.mil.cutoff import Cutoff, choose_cutoff, decide
from napari_mhim.mil.descent import before_after, descent
from napari_mhim.mil.evaluate import by_patient, evaluate, metrics_as_dict
from napari_mhim.mil.hints import hint_counts
from napari_mhim.mil.recipe import Recipe
from napari_mhim.mil.run import RunFolder, environment
from napari_mhim.mil.scoring import as_array, evidence_limits, score, scores_of
from napari_mhim.mil.temperature import fit_temperature, tempered, why_not
from napari_mhim.mil.unlike import (
    LEAST_ERRORS,
    agreement,
    agreement_kept,
    distance,
    distances_kept,
)


@dataclass(frozen=True, eq=False)
class Data:
    """Bags of a run, on their device, with what is the same in all of them."""

    bags: Mapping[str, Sequence[Bag]]
    """Bags of ``train`` and ``val``; ``val`` may be empty."""
    tensors: Mapping[str, Sequence[Tensor]]
    """Their features, in the same order."""
    labels: Mapping[str, Sequence[int]]
    """Their classes, in the same order."""
    cohort: Cohort
    """All slides with roles, those not used here too; its classes are the model's."""
    extract: ExtractConfig
    """How slides become such features."""
    encoder_licence: str = ""
    """Licence of the encoder's weights, "" when not stated."""
    parent: Bundle | None = None
    """Model that fine-tuning goes on with, None for a new one."""


@torch.no_grad()
def save_outcome(
    run: RunFolder,
    name: str,
    recipe: Recipe,
    data: Data,
    config: TrainConfig,
    standing: Standing,
) -> Bundle:
    """Write a stage's bundle from a recipe that holds its best weights.

    Parameters
    ----------
    run : RunFolder
        The stage's folder.
    name : str
        Name of the model.
    recipe : Recipe
        With the weights to keep.
    data : Data
        The run's bags.
    config : TrainConfig
        Settings in force.
    standing : Standing
        How training went.

    Returns
    -------
    Bundle
        The bundle; cut-off, colour limits and figures come from validation slides only
        (limits from training slides where there are none).
    """
    recipe.eval()
    student, classes = recipe.student, data.cohort.classes
    found = score(student, data.tensors["val"], data.labels["val"], len(classes))
    labels = np.array(data.labels["val"], np.int64)
    refused = not config.calibrate or why_not(data.labels["val"], len(classes))
    is_calibrated = not refused
    temperature = fit_temperature(labels, found.probabilities) if is_calibrated else 1.0
    # the cut-off is one of the scores as they will be given
    probabilities = tempered(found.probabilities, temperature)
    cutoff = choose_cutoff(labels, probabilities)
    is_wrong = decide(probabilities, cutoff) != labels
    statistics = _statistics(data.bags["train"])
    limits_role = "val" if data.bags["val"] else "train"
    limits = evidence_limits(student, data.tensors[limits_role])
    assert limits is not None  # there is always a training bag
    settings = recipe.describe()
    parent = data.parent.config if data.parent else None
    salt, roles = salted_roles(_by_role(data), parent)
    first = data.bags["train"][0]
    bundle_config = BundleConfig(
        name=name,
        model=config.model,
        model_options=dict(config.model_options),
        in_dim=first.dim,
        classes=classes,
        target=len(classes) - 1,
        encoder_id=first.encoder_id,
        extract=data.extract,
        mpp=first.grid.mpp if first.grid else None,
        patch_model_px=first.grid.patch_model_px if first.grid else None,
        recipe=config.recipe,
        recipe_settings=settings,
        has_teacher=recipe.teacher is not None,
        mask_ratio_high=float(settings.get("mask_ratio_high", 0.0)),
        head_fusion=settings.get("head_fusion", "vote"),
        cutoff=cutoff,
        calibrated=is_calibrated,
        temperature=temperature,
        calibrated_on=len(labels) if is_calibrated else 0,
        evidence_limits=tuple(float(limit) for limit in limits),
        evidence_limits_from=f"{len(data.bags[limits_role])} {limits_role} slides",
        salt=salt,
        roles=roles,
        trained=_trained(data, config, standing)
        | _descent(data, config, labels, probabilities),
        metrics=_metrics(data.bags["val"], labels, probabilities, cutoff, config),
        distances=_distances(data, statistics),
        agreement_errors=_agreement_errors(recipe, data, is_wrong),
        encoder_licence=data.encoder_licence,
    )
    tensors = {**_tensors(recipe), **statistics}
    return save_bundle(run.bundle_path, bundle_config, tensors, card(bundle_config))


def _metrics(
    bags: Sequence[Bag],
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    cutoff: Cutoff | None,
    config: TrainConfig,
) -> dict[str, Any]:
    """Give the figures by slide, and by patient where a patient has several."""
    if not bags:
        return {}
    found = evaluate(labels, probabilities, cutoff, seed=config.seed)
    metrics = metrics_as_dict(found)
    patients = [bag.patient or bag.name for bag in bags]
    if len(set(patients)) < len(bags):
        rows = by_patient(labels, probabilities, patients)
        grouped = evaluate(*rows, cutoff, seed=config.seed)
        metrics["per_patient"] = metrics_as_dict(grouped)
    return metrics


def _descent(
    data: Data,
    config: TrainConfig,
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
) -> dict[str, Any]:
    """Say what was fine-tuned, and score the parent on the same validation slides."""
    parent = data.parent
    if parent is None:
        return {}
    said = descent(parent.config, parent.id, data.cohort, config.tune)
    if len(labels):
        n_classes = len(parent.config.classes)
        # the temperature changes no order, and the order is all that AUC asks for
        before = score(
            parent.student(config.device),
            (x.to(config.device) for x in data.tensors["val"]),
            # labels only weigh the loss, which nobody asks for here
            [min(label, n_classes - 1) for label in data.labels["val"]],
            n_classes,
        ).probabilities
        patients = [bag.patient or bag.name for bag in data.bags["val"]]
        said |= before_after(labels, before, probabilities, patients, config.seed)
    return {"parent": said}


def _tensors(recipe: Recipe) -> dict[str, Tensor]:
    tensors = {f"student.{k}": v for k, v in recipe.student.state_dict().items()}
    if recipe.teacher is not None:
        teacher = recipe.teacher.state_dict()
        tensors.update({f"teacher.{k}": v for k, v in teacher.items()})
    return tensors


def _statistics(bags: Sequence[Bag]) -> dict[str, Tensor]:
    """Give mean and deviation of the training features, every slide counting the same."""
    means = np.array([bag.features.mean(axis=0, dtype=np.float64) for bag in bags])
    squares = np.array(
        [np.square(bag.features, dtype=np.float64).mean(axis=0) for bag in bags]
    )
    mean = means.mean(axis=0)
    # rounding can make the variance of a constant feature slightly negative
    deviation = np.sqrt(np.maximum(squares.mean(axis=0) - mean**2, 0))
    return {
        "features.mean": torch.from_numpy(mean.astype(np.float32)),
        "features.std": torch.from_numpy(deviation.astype(np.float32)),
    }


def _distances(data: Data, statistics: Mapping[str, Tensor]) -> dict[str, Any]:
    """Give how far the run's own slides are from its training features."""
    both = tuple(as_array(statistics[f"features.{name}"]) for name in ("mean", "std"))
    found = {
        role: [distance(bag.features.mean(axis=0), (both[0], both[1])) for bag in bags]
        for role, bags in data.bags.items()
    }
    return distances_kept(found["val"], found["train"])


def _agreement_errors(
    recipe: Recipe, data: Data, is_wrong: NDArray[np.bool_]
) -> dict[str, float]:
    """Give whether low agreement of teacher and student went with errors on validation."""
    if recipe.teacher is None or min(is_wrong.sum(), (~is_wrong).sum()) < LEAST_ERRORS:
        return {}
    settings = recipe.describe()
    kind, fusion = (
        settings.get(name, usual)
        for name, usual in (("instance_scores", "own"), ("head_fusion", "vote"))
    )
    agreements = [
        agreement(
            scores_of(recipe.student(x), fusion, kind),
            scores_of(recipe.teacher(x), fusion, kind),
        )
        for x in data.tensors["val"]
    ]
    return agreement_kept(agreements, is_wrong.tolist())


def _by_role(data: Data) -> dict[str, list[Bag]]:
    by_role = {role: list(bags) for role, bags in data.bags.items()}
    # slides kept for testing are not among the bags: their names are enough
    by_role["test"] = [
        Bag(row.slide, np.zeros((1, 1), np.float32))
        for row in data.cohort.with_role("test")
    ]
    return by_role


def _trained(data: Data, config: TrainConfig, standing: Standing) -> dict[str, Any]:
    slides, patients = {}, {}
    for role in ("train", "val", "test"):
        rows = data.cohort.with_role(role)
        names = [row.label for row in rows]
        slides[role] = {name: names.count(name) for name in data.cohort.classes}
        patients[role] = len({row.patient for row in rows})
    hints: dict[str, Any] = {}
    if config.hint_weight:
        counts = hint_counts(data.bags["train"], data.cohort.classes)
        hints = {"hints": {"weight": config.hint_weight, **vars(counts)}}
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": config.seed,
        "epochs": standing.epoch,
        "best_epoch": standing.best_epoch,
        "slides": slides,
        "patients": patients,
        "versions": environment(),
        "device": config.device,
        "threads": config.threads,
        # the name alone: where a file lay is no business of a shared bundle
        "start_from": Path(config.start_from).name,
        **hints,
    }
