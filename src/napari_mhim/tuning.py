"""From a model and some slides to its child: fine-tuned, or with another cut-off alone.

The parent is only read. Generators of events like the stages of :mod:`~napari_mhim.pipeline`,
torch-free to import.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_mhim import pipeline
from napari_mhim.errors import CohortError, ConfigError
from napari_mhim.events import Note, Progress
from napari_mhim.features.config import ExtractConfig
from napari_mhim.mil.bundle import Bundle, save_bundle
from napari_mhim.mil.bundle_config import BundleConfig, salted_roles
from napari_mhim.mil.card import card
from napari_mhim.mil.cohort import Cohort, CohortRow
from napari_mhim.mil.config import TrainConfig
from napari_mhim.mil.cutoff import Cutoff, choose_cutoff
from napari_mhim.mil.descent import descent
from napari_mhim.mil.evaluate import Metrics, by_patient, evaluate, metrics_as_dict
from napari_mhim.mil.held_out import choose
from napari_mhim.mil.parent import (
    Checked,
    child_classes,
    mixed,
    refuse_confounded,
    refuse_learnt,
    refuse_new_class,
    with_known_roles,
)
from napari_mhim.mil.run_lock import refuse_held
from napari_mhim.mil.splits import split_roles
from napari_mhim.training import SPLIT, fit_table, locked, read_locked, with_hints
from napari_mhim.workspace import Workspace

if TYPE_CHECKING:
    from napari_mhim.mil.bags import Bag
    from napari_mhim.mil.train import Finish


@dataclass(frozen=True)
class CutoffDone:
    """A model with a new cut-off is on disk."""

    bundle_path: str
    """Its folder."""
    line: str
    """What changed, for people."""


def fine_tune(
    workspace: str,
    cohort: str,
    config: TrainConfig,
    run: str = "fine-tune",
    features: str = "",
    mix: str = "",
    old_checked: Checked = "unknown",
    slide_mpp: float | None = None,
    watch: str = "",
    finish: "Finish" = "",
) -> Iterator[object]:
    """Go on with a model on new slides: missing features first, then the loop.

    Parameters
    ----------
    workspace : str
        Folder of the workspace.
    cohort : str
        Path of the label table: the slides that are new to the model.
    config : TrainConfig
        Of :func:`~napari_mhim.mil.parent.tuned_config`: ``start_from`` is the model.
    run : str
        Name of the run's folder; a run that was stopped goes on.
    features : str
        Folder of features made elsewhere, used in place of slides; "" for none.
    mix : str
        Table of the model's own slides, to train on beside the new ones; those without
        features here are left out. "" for none.
    old_checked : {"yes", "no", "unknown"}
        Whether those were looked through for a class that is new to the model.
    slide_mpp : float, optional
        Micrometres per pixel for slides that do not say theirs.
    watch, finish : str
        As :func:`napari_mhim.pipeline.train`.

    Yields
    ------
    Progress, Note, ExtractDone, EpochDone, SlideWatched or FitDone
        ``FitDone`` is the last.

    Raises
    ------
    CohortError
        If a slide the model was trained on would judge its child, the class of new slides
        can be told from their site, or a new class has too few patients.
    ConfigError
        If ``config`` names no model to go on with.
    BundleError, FeatureMismatchError
        If the model cannot be used, or wants other features.
    """
    if not config.fine_tune:
        raise ConfigError("fine-tuning goes on with a model; name it in start_from")
    bundle, place = Bundle.open(config.start_from), Workspace(Path(workspace))
    refuse_held(place.run_dir(run))
    parent = bundle.config
    table = locked(_read(cohort, parent), place)
    wanted = parent.extraction(config.device, slide_mpp)
    table, n_split = with_roles(table, parent, config.seed)
    if n_split:
        yield Note(SPLIT)
    added = table.with_role("train")
    old: tuple[CohortRow, ...] = ()
    if mix:
        table, old, said = _mix(table, mix, bundle, place, features, wanted)
        yield Note(said)
    # hours of extraction come after whatever can be refused without them
    refuse_learnt(table.rows, parent)
    refuse_confounded(added, old)
    refuse_new_class(table, parent, len(old), old_checked)
    bags = yield from pipeline.gather(workspace, table, wanted, features)
    seen = yield from pipeline.watched(place, watch, wanted)
    taught = yield from with_hints(bags, table, place, config.hint_weight)
    extract, folder = None if features else wanted, place.run_dir(run)
    yield from fit_table(table, taught, config, folder, extract, seen, finish)


def adjust_cutoff(
    bundle: str,
    cohort: str,
    out: str,
    workspace: str,
    device: str = "auto",
    slide_mpp: float | None = None,
    features: str = "",
) -> Iterator[object]:
    """Choose a model's cut-off anew, on slides it was not trained on; nothing is trained.

    Parameters
    ----------
    bundle : str
        Folder of the model, which is not changed.
    cohort : str
        Path of the label table.
    out : str
        Folder of the model with the new cut-off; must not exist.
    workspace : str
        Folder of the workspace: features are reused.
    device : str
        One of ``settings.DEVICES``.
    slide_mpp : float, optional
        Micrometres per pixel for slides that do not say theirs.
    features : str
        Folder of features made elsewhere, used in place of slides; "" for none.

    Yields
    ------
    Progress, Note, ExtractDone or CutoffDone
        ``CutoffDone`` is the last.

    Raises
    ------
    CohortError
        If a class has no slide that the model was not trained on.
    ConfigError
        If the model has more than two classes: it decides without a cut-off.
    BundleError, FeatureMismatchError, WorkspaceError
        If the model cannot be read, wants other features, or ``out`` cannot be written.
    """
    config = (opened := Bundle.open(bundle)).config
    if len(config.classes) != 2:
        raise ConfigError(
            f"model {config.name!r} tells {len(config.classes)} classes apart by the "
            "largest score, without a cut-off; there is none to adjust"
        )
    labelled = Cohort.read(cohort, labels_required=False)
    rows, notes = unlearnt(labelled, config, Workspace(Path(workspace)))
    for note in notes:
        yield Note(note)
    wanted = config.extraction(device, slide_mpp)
    table = Cohort(rows, config.classes)
    bags = yield from pipeline.gather(
        workspace, table, wanted, features, leaves_out=False
    )
    probabilities = yield from _scores(opened, table, bags, device)
    yield _save_adjusted(opened, Path(out), table, bags, probabilities)


def _read(cohort: str, parent: BundleConfig) -> Cohort:
    labels = {row.label for row in Cohort.read(cohort).rows}
    return Cohort.read(cohort, child_classes(parent, labels))


def with_roles(
    table: Cohort, parent: BundleConfig, seed: int = 0
) -> tuple[Cohort, int]:
    """Split the slides of a child that have no role; nothing is held out unasked.

    Parameters
    ----------
    table : Cohort
        The child's slides.
    parent : BundleConfig
        Settings of the model it goes on from: what that has learnt from, trains.
    seed : int
        Seed of the draw.

    Returns
    -------
    tuple of Cohort and int
        The slides with roles, and how many had none.

    Raises
    ------
    CohortError
        If a class has too few patients to be split.
    """
    known = with_known_roles(table, parent)
    there = {row.label for row in known.rows}
    # a class of the parent's that no new slide has is not looked for in the split
    some = Cohort(known.rows, tuple(c for c in known.classes if c in there))
    open_rows = sum(not row.role and row.label in there for row in known.rows)
    if not open_rows or len(some.classes) < 2:
        return known, 0
    return replace(
        split_roles(some, test=0.0, seed=seed), classes=table.classes
    ), open_rows


def _mix(
    table: Cohort,
    mix: str,
    bundle: Bundle,
    place: Workspace,
    features: str,
    wanted: ExtractConfig,
) -> tuple[Cohort, tuple[CohortRow, ...], str]:
    """Add old slides that have features; gives the table, the training rows, and a note."""
    old = locked(Cohort.read(mix), place)
    whole, names = mixed(table, old, bundle.config)

    def is_there(row: CohortRow) -> bool:
        if features:
            return any(Path(features).glob(f"{row.slide}.*"))
        slide = row.path or row.slide
        return pipeline.features_path(place, slide, wanted).is_file()

    kept = tuple(
        row
        for row in whole.rows
        if row.slide not in names or (row.role != "test" and is_there(row))
    )
    train = tuple(row for row in kept if row.slide in names and row.role == "train")
    n_old = sum(row.slide in names for row in kept)
    missing = len(names) - n_old
    said = f"{n_old} slides of the model's own cohort are mixed in"
    if missing:
        said += f"; {missing} are left out (test slides, or no features here)"
    return replace(whole, rows=kept), train, said + "."


def unlearnt(
    table: Cohort, config: BundleConfig, place: Workspace
) -> tuple[tuple[CohortRow, ...], list[str]]:
    """Give the slides a cut-off may be chosen on.

    Parameters
    ----------
    table : Cohort
        Labelled slides; their roles are not regarded.
    config : BundleConfig
        Settings of the model.
    place : Workspace
        Where the locked test list is.

    Returns
    -------
    tuple of rows and list of str
        Slides the model was not trained on, as validation slides, and what to know of
        the others.

    Raises
    ------
    CohortError
        If a class has none.
    """
    # what the table calls them says nothing of what this model has learnt from
    table = replace(table, rows=tuple(replace(row, role="") for row in table.rows))
    chosen = choose(table, config, "all")
    names = read_locked(place)
    kept = [
        row
        for row, role in zip(chosen.rows, chosen.roles, strict=True)
        if role != "train" and row.slide not in names
    ]
    notes = []
    if left := len(chosen.rows) - len(kept):
        notes.append(
            f"{left} slides are left out: the model was trained on them or on another "
            "slide of their patient, or they are on the locked test list."
        )
    for name in config.classes:
        if not any(row.label == name for row in kept):
            raise CohortError(
                f"a cut-off needs slides of both classes that model {config.name!r} was "
                f"not trained on, and none is {name!r}; add some"
            )
    return tuple(replace(row, role="val") for row in kept), notes


def _scores(
    bundle: Bundle, table: Cohort, bags: "dict[str, Bag]", device: str
) -> Generator[object, None, NDArray[np.float64]]:
    from napari_mhim.mil.predict import Predictor

    predictor, found = Predictor(bundle, device), []
    for done, row in enumerate(table.rows):
        yield Progress(f"scores of {bundle.name}", done, len(table.rows), "slides")
        bag = bags[row.slide]
        if bundle.config.role_of(bag.fingerprint, bag.fingerprint) == "train":
            raise CohortError(
                f"slide {bag.name!r} is a training slide of model {bundle.name!r} under "
                "another name, by its fingerprint; take it out of the table"
            )
        found.append(predictor.probabilities(bag))
    return np.array(found, np.float64)


def _save_adjusted(
    parent: Bundle,
    out: Path,
    table: Cohort,
    bags: "dict[str, Bag]",
    probabilities: NDArray[np.float64],
) -> CutoffDone:
    config = parent.config
    target = config.target_index
    labels = np.array([config.classes.index(r.label) for r in table.rows], np.int64)
    found = choose_cutoff(labels, probabilities, target)
    assert found is not None  # two classes, and slides of both
    cutoff = Cutoff(found.value, found.n, _where(table.rows))
    rows = [bags[row.slide] for row in table.rows]
    salt, roles = salted_roles({"val": rows}, config)
    said = descent(config, parent.id, table, "cut-off")
    before = None if config.cutoff is None else vars(config.cutoff)
    patients = [row.patient for row in table.rows]
    both = [
        _figures(labels, probabilities, cut, patients, target)
        for cut in (config.cutoff, cutoff)
    ]
    made = replace(
        config,
        name=out.parent.name if out.name == "bundle" else out.name,
        cutoff=cutoff,
        salt=salt,
        roles=roles,
        trained={
            **config.trained,
            "parent": {**said, "cutoff_before": before, "figures_before": both[0]},
        },
        metrics=both[1],
        agreement_errors={},  # those were errors at the old cut-off
    )
    save_bundle(out, made, parent.tensors(), card(made))
    old = "none" if config.cutoff is None else f"{config.cutoff.value:.3f}"
    line = (
        f"cut-off for {config.classes[target]}: {old} → {cutoff.value:.3f}, set on "
        f"{cutoff.n} {cutoff.where} slides; written: {out}"
    )
    return CutoffDone(str(out), line)


def _figures(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    cutoff: Cutoff | None,
    patients: Sequence[str],
    target: int,
) -> dict[str, object]:
    def plain(found: Metrics) -> dict[str, object]:
        return metrics_as_dict(found)

    figures = plain(evaluate(labels, probabilities, cutoff, target=target))
    if len(set(patients)) < len(patients):
        grouped = by_patient(labels, probabilities, patients, target)
        figures["per_patient"] = plain(evaluate(*grouped, cutoff, target=target))
    return figures


def _where(rows: Sequence[CohortRow]) -> str:
    """Name the slides of a cut-off: by their site, where it is one."""
    sites = {row.site for row in rows}
    return sites.pop() if len(sites) == 1 and "" not in sites else "new"
