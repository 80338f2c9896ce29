"""Training, as a generator of events: what is needed to go on is on disk before each of them.

1. Every bag is checked: finite, of one encoder and scale, with a class.
2. A recipe that starts from a baseline gets one: the weights of ``start_from``, or stage
   ``baseline``, plain, in ``<run>/baseline`` with a bundle of its own. Fine-tuning needs
   none: student and teacher of a bundle go on, whatever the recipe.
3. The recipe's own stage: one bag a step, validation after each epoch, best weights kept.
4. The best weights become the bundle.

A run that was stopped at any moment goes on from its folder. On the CPU, with the same
threads, it then comes to the same bits as one that was not.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from napari_mhim import _parts
from napari_mhim.errors import CohortError, FeatureMismatchError, TrainingError
from napari_mhim.events import Note
from napari_mhim.features.config import ExtractConfig
from napari_mhim.features.encoder import licence_of
from napari_mhim.mil.bags import Bag, is_finite
from napari_mhim.mil.building import refuse_unbuildable
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.cohort import Cohort, CohortRow
from napari_mhim.mil.config import (
    RECIPES,
    TrainConfig,
    baseline_config,
    recipe_config,
)
from napari_mhim.mil.hints import settled
from napari_mhim.mil.memory import keep_freed
from napari_mhim.mil.milestones import EpochDone, FitDone
from napari_mhim.mil.outcome import Data, save_outcome
from napari_mhim.mil.parent import refuse_learnt
from napari_mhim.mil.run import RunFolder
from napari_mhim.mil.run_lock import held
from napari_mhim.mil.scoring import resident
from napari_mhim.mil.stage import Stage
from napari_mhim.mil.start import Start, read_start
from napari_mhim.mil.temperature import why_not
from napari_mhim.mil.watching import Watched
from napari_mhim.settings import cpu_threads, resolve_device

__all__ = ["EpochDone", "FitDone", "Watched", "fit"]

Finish = Literal["", "best", "last"]
"""How a stopped run ends: not yet, with its best weights, or with its last."""


def fit(
    train_bags: Sequence[Bag],
    val_bags: Sequence[Bag],
    classes: Sequence[str],
    config: TrainConfig,
    run_dir: Path,
    watch: Bag | None = None,
    *,
    cohort: Cohort | None = None,
    extract: ExtractConfig | None = None,
    encoder_licence: str = "",
    finish: Finish = "",
) -> Iterator[EpochDone | Watched | Note | FitDone]:
    """Train a model, or go on with a run that was stopped.

    Parameters
    ----------
    train_bags, val_bags : sequence of Bag
        Bags; without validation bags the last epoch is kept and no cut-off is chosen.
    classes : sequence of str
        Class names in order, the class of interest last.
    config : TrainConfig
        Settings.
    run_dir : Path
        The run's folder.
    watch : Bag, optional
        A slide whose scores are yielded and kept after each epoch.
    cohort : Cohort, optional
        All slides with roles: labels of bags without one, patients, and test slides,
        whose role the bundle then knows.
    extract : ExtractConfig, optional
        How slides become these features; read from the bags where not given.
    encoder_licence : str
        Licence of the encoder's weights, for the card; the encoder's own file is asked
        where not given.
    finish : {"", "best", "last"}
        End a stopped run here, with its best or its last weights, in place of going on.

    Yields
    ------
    EpochDone, Watched, Note or FitDone
        ``FitDone`` is the last.

    Raises
    ------
    CohortError
        If a class has no training slide, a bag has no class, a slide trains and
        validates, or a hint is of no class.
    FeatureMismatchError
        If bags differ in encoder, scale or length, or from what ``start_from`` wants.
    BundleError
        If ``start_from`` names what cannot be read.
    ConfigError
        If a setting cannot be, ``start_from`` is of another model, or the folder holds a
        run with other settings.
    TrainingError
        If a bag holds NaN, a loss is not finite, the folder holds another run or another
        process is at work in it, or there is no epoch to ``finish`` with.
    WorkspaceError
        If the folder cannot be written or the disk is full.
    """
    run = RunFolder(run_dir)
    config = replace(
        config,
        device=resolve_device(config.device),
        threads=config.threads or cpu_threads(),
    )
    data = _gather(train_bags, val_bags, tuple(classes), cohort)
    extract = extract or data.extract
    licence = encoder_licence or licence_of(extract.encoder)
    data = replace(data, extract=extract, encoder_licence=licence)
    if watch is not None:
        _check_alike([data.bags["train"][0], watch])
    shape = data.bags["train"][0].dim, len(data.cohort.classes)
    refuse_unbuildable(config.model, config.model_options, *shape)
    start = _start(config, data)
    if start is not None and start.parent is not None:
        prints = {
            bag.name: bag.fingerprint for some in data.bags.values() for bag in some
        }
        refuse_learnt(data.cohort.rows, start.parent.config, prints)
        data = replace(data, parent=start.parent)
    with held(run.path):
        yield from _alone(run, config, data, watch, start, finish)


def _alone(
    run: RunFolder,
    config: TrainConfig,
    data: Data,
    watch: Bag | None,
    start: Start | None,
    finish: Finish,
) -> Iterator[EpochDone | Watched | Note | FitDone]:
    """Train in a folder that no other process is at work in."""
    config = run.begin(config, data.cohort, start.identity if start else "")
    for caution in _cautions(data, config):
        yield Note(caution)
    if config.hint_weight:
        hinted, said = settled(run.path, data.bags["train"], data.cohort.classes)
        data = replace(data, bags={**data.bags, "train": hinted})
        if said:
            yield Note(said)
    if run.bundle_path.is_dir():
        yield Note(f"Run {run.path.name!r} was done already.")
    else:
        torch.set_num_threads(config.threads)
        keep_freed()
        yield from _stages(run, config, data, watch, start, finish)
    yield _done(run)


def _start(config: TrainConfig, data: Data) -> Start | None:
    if not config.start_from:
        return None
    return read_start(config, data.cohort.classes, data.bags["train"][0])


def _cautions(data: Data, config: TrainConfig) -> Iterator[str]:
    there, classes = set(data.labels["val"]), data.cohort.classes
    if not there:
        yield "No validation slides: the last epoch is kept and no cut-off is chosen."
    elif missing := set(range(len(classes))) - there:
        yield (
            f"No validation slide is of class {classes[min(missing)]!r}: the loss alone "
            "chooses the epoch, and AUC is not defined."
        )
    reason = why_not(data.labels["val"], len(classes))
    if config.calibrate and reason:
        yield f"Scores will not be calibrated: {reason}."
    if config.amp and config.device != "cuda":
        yield f"amp is for cuda: on {config.device!r} all is computed in full precision."


def _stages(
    run: RunFolder,
    config: TrainConfig,
    data: Data,
    watch: Bag | None,
    start: Start | None,
    finish: Finish,
) -> Iterator[EpochDone | Watched | Note]:
    tensors = {role: resident(bags, config.device) for role, bags in data.bags.items()}
    data = replace(data, tensors=tensors)
    weights = None
    needs = _parts.load(RECIPES, config.recipe).needs_baseline(recipe_config(config))
    if config.fine_tune:
        assert start is not None  # TrainConfig refuses fine_tune without start_from
        assert start.parent is not None
        name = start.parent.name
        yield Note(f"Student and teacher of {name!r} go on; tuned: {config.tune}.")
        weights = start.weights
    elif start is not None:
        verb = "starts from" if needs else "starts from no baseline, so not from"
        yield Note(f"Recipe {config.recipe!r} {verb} {config.start_from!r}.")
        weights = start.weights if needs else None
    elif needs:
        folder = RunFolder(run.path / "baseline")
        if not folder.bundle_path.is_dir():
            if finish:
                raise TrainingError(
                    f"run {run.path.name!r} is still at its baseline, so there is nothing "
                    "to keep; go on with it, or discard it"
                )
            yield Note(
                f"Recipe {config.recipe!r} starts from a baseline: training it first."
            )
        plain = folder.begin(baseline_config(config), data.cohort)
        baseline = Stage("baseline", folder, plain, data)
        yield from baseline.run(watch)
        weights = baseline.best_student()
        _save(baseline, f"{run.path.name}-baseline")
    stage = Stage(config.recipe, run, config, data, weights, start)
    if not finish:
        yield from stage.run(watch)
    _save(stage, run.path.name, finish)


def _save(stage: Stage, name: str, finish: Finish = "") -> None:
    # a run killed between its last epoch and its bundle comes here twice
    if not stage.folder.bundle_path.is_dir():
        recipe, standing = stage.best(last=finish == "last")
        save_outcome(stage.folder, name, recipe, stage.data, stage.config, standing)


def _done(run: RunFolder) -> FitDone:
    baseline = RunFolder(run.path / "baseline").bundle_path
    return FitDone(
        bundle_path=str(run.bundle_path),
        metrics=dict(Bundle.open(run.bundle_path).config.metrics),
        baseline_path=str(baseline) if baseline.is_dir() else "",
    )


def _gather(
    train_bags: Sequence[Bag],
    val_bags: Sequence[Bag],
    classes: tuple[str, ...],
    cohort: Cohort | None,
) -> Data:
    rows = {row.slide: row for row in cohort.rows} if cohort is not None else {}
    bags = {
        role: [_labelled(bag, rows.get(bag.name), classes) for bag in some]
        for role, some in (("train", train_bags), ("val", val_bags))
    }
    used = [
        CohortRow(
            slide=bag.name,
            path=bag.path,
            label=classes[_label(bag)],
            patient=bag.patient,
            role=role,
            site=rows[bag.name].site if bag.name in rows else "",
        )
        for role, some in bags.items()
        for bag in some
    ]
    names = {row.slide for row in used}
    others = [row for row in rows.values() if row.slide not in names]
    # refuses twins, and patients that train and validate
    table = Cohort.of([*used, *(row for row in others if row.role == "test")], classes)
    for name in classes:
        if not any(row.label == name for row in table.with_role("train")):
            raise CohortError(
                f"no training slide is of class {name!r}; training needs slides of every "
                f"class ({', '.join(classes)})"
            )
    if len(classes) < 2:
        raise CohortError(
            f"training needs two classes, got {len(classes)}; label slides of another"
        )
    everything = [*bags["train"], *bags["val"]]
    _check_alike(everything)
    labels = {role: [_label(bag) for bag in some] for role, some in bags.items()}
    return Data(bags, {}, labels, table, _extraction(everything[0]))


def _labelled(bag: Bag, row: CohortRow | None, classes: tuple[str, ...]) -> Bag:
    """Fill in class and patient from the table where the bag has none."""
    if row is not None and bag.label is None and row.label in classes:
        bag = replace(bag, label=classes.index(row.label))
    if row is not None and bag.patient in ("", bag.name):
        bag = replace(bag, patient=row.patient)
    if bag.label is None or not 0 <= bag.label < len(classes):
        raise CohortError(
            f"slide {bag.name!r} has no class among {', '.join(classes)}; label it, or "
            "leave it out"
        )
    if not is_finite(bag.features):
        raise TrainingError(
            f"features of slide {bag.name!r} hold NaN or infinite numbers; extract the "
            "slide again, or leave it out"
        )
    return bag


def _label(bag: Bag) -> int:
    assert bag.label is not None  # _labelled refuses it
    return bag.label


def _check_alike(bags: Sequence[Bag]) -> None:
    first = bags[0]
    for bag in bags[1:]:
        for what, ours, theirs in zip(
            ("encoder", "length", "µm per pixel", "patch width"),
            _kind(first),
            _kind(bag),
            strict=True,
        ):
            if ours != theirs:
                raise FeatureMismatchError(
                    f"features of slide {first.name!r} are of {what} {ours!r}, those of "
                    f"{bag.name!r} of {theirs!r}; extract both alike"
                )


def _kind(bag: Bag) -> tuple[object, ...]:
    grid = bag.grid
    scale = (None, None) if grid is None else (grid.mpp, grid.patch_model_px)
    return bag.encoder_id, bag.dim, *scale


def _extraction(bag: Bag) -> ExtractConfig:
    """Read from a bag how it was extracted; the least tissue share is not known there."""
    encoder = bag.encoder_id.partition("#")[0].partition("@")[0] or "unknown"
    if bag.grid is None:
        return ExtractConfig(encoder=encoder)
    steps: NDArray[np.float64] = bag.grid.stride_px / bag.grid.patch_px
    return ExtractConfig(
        encoder=encoder,
        mpp=bag.grid.mpp,
        patch_model_px=bag.grid.patch_model_px,
        overlap=float(np.clip(1 - steps.mean(), 0, 0.99)),
    )
