"""From bags with roles to a bundle, for whoever trains: anew, or from another model.

Torch-free to import, like :mod:`napari_mhim.pipeline`, which gathers the bags.
"""

import shutil
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_mhim.errors import CohortError, TrainingError, WorkspaceError
from napari_mhim.events import Note
from napari_mhim.export.curves import draw_run
from napari_mhim.features.config import ExtractConfig
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.cohort import Cohort, CohortRow
from napari_mhim.mil.config import TrainConfig
from napari_mhim.mil.hints import hinted_bags
from napari_mhim.mil.milestones import FitDone
from napari_mhim.mil.result import SlideResult, contribution
from napari_mhim.mil.review import review, write_results
from napari_mhim.mil.run_lock import refuse_held
from napari_mhim.workspace import Workspace, why_unwritable

if TYPE_CHECKING:
    from napari_mhim.mil.bags import Bag
    from napari_mhim.mil.train import Finish
    from napari_mhim.mil.watching import Watched

ASKED = "asked.json"
"""File of a run's folder that says what the window was asked for."""
SPLIT = "Slides were split by patient; the split is saved with the run."


@dataclass(frozen=True, eq=False)
class SlideWatched:
    """The watched slide after one epoch, ready to be drawn."""

    stage: str
    """``"baseline"``, or the recipe's name."""
    epoch: int
    """Epochs done, from 1."""
    result: SlideResult
    """What student and teacher say of it now; its colour limits only grow."""


def fit_table(
    table: Cohort,
    bags: Mapping[str, "Bag"],
    config: TrainConfig,
    folder: Path,
    extract: ExtractConfig | None = None,
    watch: "Bag | None" = None,
    finish: "Finish" = "",
) -> Iterator[object]:
    """Train on bags as a table with roles says, and draw the curves at the end.

    Parameters
    ----------
    table : Cohort
        Slides with roles.
    bags : mapping of str to Bag
        Slide's name to its features.
    config : TrainConfig
        Settings.
    folder : Path
        The run's folder.
    extract : ExtractConfig, optional
        How slides became these features; None for features made elsewhere.
    watch : Bag, optional
        A slide to look at after each epoch; one of another kind is not watched.
    finish : {"", "best", "last"}
        End a stopped run here instead.

    Yields
    ------
    EpochDone, SlideWatched, Note or FitDone
        As :func:`napari_mhim.mil.train.fit`, which raises what this raises.
    """
    from napari_mhim.mil.train import fit
    from napari_mhim.mil.watching import Watched

    by_role = {
        role: [bags[row.slide] for row in table.rows if row.role == role]
        for role in ("train", "val")
    }
    if watch is not None and (why := _why_not_watched(watch, by_role["train"])):
        yield Note(why)
        watch = None
    limits: NDArray[np.float32] | None = None
    for event in fit(
        by_role["train"],
        by_role["val"],
        table.classes,
        config,
        folder,
        watch,
        cohort=table,
        extract=extract,
        finish=finish,
    ):
        if isinstance(event, Watched):
            assert watch is not None
            result = _result(event, watch, table.classes, folder.name, limits)
            limits = result.evidence_limits
            yield SlideWatched(event.stage, event.epoch, result)
            continue
        if isinstance(event, FitDone):
            if failure := draw_run(folder):
                yield Note(failure)
            found = review(Bundle.open(event.bundle_path), table, bags, config.device)
            write_results(folder, found)
        yield event


def with_hints(
    bags: "Mapping[str, Bag]",
    table: Cohort,
    place: Workspace,
    weight: float,
    learning: Iterable[str] | None = None,
) -> Generator[Note, None, "Mapping[str, Bag]"]:
    """Give training slides what the workspace's regions say of their patches.

    Parameters
    ----------
    bags : mapping of str to Bag
        Slide's name to its features.
    table : Cohort
        Slides with roles; its classes are the model's.
    place : Workspace
        Where regions are.
    weight : float
        ``TrainConfig.hint_weight``; no region is read where it is 0.
    learning : iterable of str, optional
        Slides that train, where the table's roles do not say.

    Yields
    ------
    Note
        What joins, and what does not.

    Returns
    -------
    mapping of str to Bag
        All bags, those of training slides with hints.

    Raises
    ------
    RegionError
        If regions cannot be read, or are of another slide.
    """
    if not weight:
        return bags
    if learning is None:
        learning = [row.slide for row in table.with_role("train")]
    paths = {name: place.regions_path(name) for name in bags}
    made, notes = hinted_bags(bags, paths, table.classes, learning)
    for note in notes:
        yield Note(note)
    return made


def locked(table: Cohort, place: Workspace) -> Cohort:
    """Keep the workspace's locked test slides out of training.

    Parameters
    ----------
    table : Cohort
        The slides.
    place : Workspace
        Its ``locked_test.txt`` names slides, one a line; ``#`` begins a comment.

    Returns
    -------
    Cohort
        The same, where slides of a locked patient have the role ``test``.

    Raises
    ------
    CohortError
        If the table gives a locked slide, or another of its patient, another role.
    """
    names = read_locked(place)
    patients = {row.patient: row.slide for row in table.rows if row.slide in names}
    rows = []
    for row in table.rows:
        if row.patient not in patients:
            rows.append(row)
            continue
        if row.role not in ("", "test"):
            whose = patients[row.patient]
            why = "it" if whose == row.slide else f"{whose!r} of the same patient"
            raise CohortError(
                f"slide {row.slide!r} cannot be a {row.role} slide: {why} is on the locked "
                f"test list ({place.locked_path.name}); leave it out, or make it a test "
                "slide"
            )
        rows.append(replace(row, role="test"))
    return replace(table, rows=tuple(rows))


def read_locked(place: Workspace) -> frozenset[str]:
    """Read the names of the slides that never train; empty where there is no list.

    Parameters
    ----------
    place : Workspace
        Where the list is.

    Returns
    -------
    frozenset of str
        Names, as in a table's column ``slide``.

    Raises
    ------
    CohortError
        If the list is there and cannot be read: nothing may train then.
    """
    try:
        text = place.locked_path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return frozenset()
    except (OSError, UnicodeDecodeError) as err:
        raise CohortError(
            f"the locked test list {str(place.locked_path)!r} cannot be read ({err}); save "
            "it as plain text, a slide a line"
        ) from err
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return frozenset(line for line in lines if line)


def is_begun(folder: Path) -> bool:
    """Tell whether a folder holds a run, finished or not.

    Parameters
    ----------
    folder : Path
        The run's folder; may be none.

    Returns
    -------
    bool
        Whether it says what was asked for, or with which settings.
    """
    return any((folder / name).is_file() for name in ("settings.json", ASKED))


def discard(folder: Path) -> None:
    """Remove a run that nobody wants to keep.

    Parameters
    ----------
    folder : Path
        The run's folder.

    Raises
    ------
    TrainingError
        If it holds a finished model, is no run, or a process is at work in it.
    WorkspaceError
        If it cannot be removed.
    """
    if (folder / "bundle").exists() or not is_begun(folder):
        raise TrainingError(
            f"{str(folder)!r} is no unfinished run, so it is left as it is; remove a "
            "finished model by hand"
        )
    refuse_held(folder)
    try:
        shutil.rmtree(folder)
    except OSError as err:
        raise WorkspaceError(why_unwritable(folder, err)) from err


def _why_not_watched(watch: "Bag", train: "list[Bag]") -> str:
    if watch.grid is None:
        return f"{watch.name!r} is not watched: its features have no positions."
    if train and (watch.encoder_id, watch.dim) != (train[0].encoder_id, train[0].dim):
        return f"{watch.name!r} is not watched: its features are of another encoder."
    return ""


def _result(
    seen: "Watched",
    bag: "Bag",
    classes: tuple[str, ...],
    name: str,
    limits: NDArray[np.float32] | None,
) -> SlideResult:
    assert bag.grid is not None  # such a bag is not watched
    pushes = np.abs(contribution(seen.attention, seen.evidence))
    own = np.maximum(np.percentile(pushes, 99, axis=0), np.finfo(np.float32).tiny)
    grown = own if limits is None else np.maximum(own, limits)
    return SlideResult(
        slide=bag.name,
        path=bag.path,
        fingerprint=bag.fingerprint,
        slide_shape=bag.slide_shape,
        slide_mpp=bag.slide_mpp,
        grid=bag.grid,
        bundle=f"{name}, {seen.stage}, epoch {seen.epoch}",
        bundle_id="",
        classes=classes,
        target=len(classes) - 1,
        probabilities=seen.probabilities,
        remaining=seen.remaining,
        attention=seen.attention,
        branches=tuple(f"branch {i + 1}" for i in range(len(seen.attention))),
        evidence=seen.evidence,
        evidence_kind="approximate",
        evidence_limits=np.asarray(grown, np.float32),
        student_scores=seen.student_scores,
        teacher_scores=seen.teacher_scores,
        score_source="teacher" if seen.has_teacher else "own scores",
        mask=seen.mask,
        mask_ratio_high=seen.mask_ratio_high,
        provenance={"evidence limits": "this slide, epochs so far"},
    )


def refuse_unknown(
    rows: Sequence[CohortRow], features: Mapping[str, Path], root: Path
) -> None:
    """Refuse slides that have neither a path nor features.

    Parameters
    ----------
    rows : sequence of CohortRow
        Rows of a label table.
    features : mapping of str to Path
        Where each slide's features would be.
    root : Path
        The workspace, for the message.

    Raises
    ------
    CohortError
        If there are such; it names some.
    """
    unknown = [
        row.slide for row in rows if not row.path and not features[row.slide].is_file()
    ]
    if unknown:
        named = ", ".join(unknown[:3]) + (" and more" if len(unknown) > 3 else "")
        raise CohortError(
            f"{len(unknown)} of {len(rows)} slides have neither a path in the "
            f"table nor features in {str(root)!r} ({named}); add a column 'path'"
        )
