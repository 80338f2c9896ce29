"""The whole run, stage by stage, for one slide or many.

1. :func:`extract_slides` turns slides into features on disk (``slide`` → ``features``).
2. :func:`train` turns a label table and features into a bundle (``features`` → ``mil``).
3. :func:`predict_slides` turns slides and a bundle into results (``mil`` → result files).

Every stage is a generator of events whose arguments are plain values, so that the command
line loops over it and the window runs it in a child process. Importing this module
imports no torch: the window's process names these functions and never runs them.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_mhim.errors import CohortError, MhimError, WorkspaceError
from napari_mhim.events import Note, Progress
from napari_mhim.features.config import ExtractConfig
from napari_mhim.mil.config import TrainConfig
from napari_mhim.slide.address import url_of
from napari_mhim.slide.files import refuse_twins
from napari_mhim.slide.identity import slide_name
from napari_mhim.slide.tissue import TissueConfig
from napari_mhim.training import SPLIT, fit_table, locked, refuse_unknown, with_hints
from napari_mhim.workspace import Workspace, safe

if TYPE_CHECKING:
    from napari_mhim.mil.bags import Bag
    from napari_mhim.mil.cohort import Cohort
    from napari_mhim.mil.predict import Predictor
    from napari_mhim.mil.train import Finish


@dataclass(frozen=True)
class SlideFailed:
    """One slide of many that could not be done; the others go on."""

    slide: str
    """Path of the slide."""
    reason: str
    """One sentence."""


@dataclass(frozen=True)
class PredictDone:
    """One slide's result is on disk."""

    slide: str
    """Path of the slide."""
    result_path: str
    """Path of the result file, read by ``SlideResult.load``."""


def features_path(workspace: Workspace, slide: str, config: ExtractConfig) -> Path:
    """Give the path of one slide's features in a workspace.

    Parameters
    ----------
    workspace : Workspace
        Where features are kept.
    slide : str
        Path or name of the slide.
    config : ExtractConfig
        Encoder and scale; imports the encoder's part where the scale is its own.

    Returns
    -------
    Path
        The file, which need not exist.
    """
    from napari_mhim.features.extract import scale_of

    mpp, patch_px = scale_of(config)
    folder = workspace.features_dir(config.encoder, mpp, patch_px)
    return folder / f"{safe(Path(slide).stem)}.h5"


def extract_slides(
    slides: Sequence[str],
    workspace: str,
    config: ExtractConfig,
    tissue: TissueConfig | None = None,
    renew: bool = False,
) -> Iterator[object]:
    """Extract features of slides, one after another; what is done is skipped.

    Parameters
    ----------
    slides : sequence of str
        Paths of slides, with different names.
    workspace : str
        Folder of the workspace.
    config : ExtractConfig
        Encoder, scale, device.
    tissue : TissueConfig, optional
        How tissue is found; what is saved with each slide where not given.
    renew : bool
        Whether features of other tissue settings are made anew, and not refused.

    Yields
    ------
    Progress, Note, ExtractDone or SlideFailed
        An ``ExtractDone`` or ``SlideFailed`` ends each slide.

    Raises
    ------
    CohortError
        If two slides have the same name.
    WorkspaceError
        If the workspace cannot be written: no slide can be done then.
    """
    from napari_mhim.features.extract import extract

    refuse_twins(slides)
    place = Workspace(Path(workspace))
    for slide in slides:
        try:
            path = features_path(place, slide, config)
            wanted = tissue or place.tissue_path(slide_name(Path(slide)))
            yield from extract(slide, path, config, wanted, renew)
        except WorkspaceError:
            raise
        except MhimError as err:
            yield SlideFailed(slide, str(err))


def train(
    workspace: str,
    cohort: str,
    config: TrainConfig,
    extract_config: ExtractConfig,
    run: str = "run",
    features: str = "",
    watch: str = "",
    finish: "Finish" = "",
) -> Iterator[object]:
    """Train a model on a label table: missing features first, then the loop.

    Parameters
    ----------
    workspace : str
        Folder of the workspace.
    cohort : str
        Path of the label table.
    config : TrainConfig
        Model, recipe and loop.
    extract_config : ExtractConfig
        Encoder and scale of the features.
    run : str
        Name of the run's folder; a run that was stopped goes on.
    features : str
        Folder of features made elsewhere, used in place of slides; "" for none.
    watch : str
        Slide, or its feature file, to look at after each epoch; "" for none.
    finish : {"", "best", "last"}
        End a stopped run with its best or last weights, in place of going on.

    Yields
    ------
    Progress, Note, ExtractDone, EpochDone, SlideWatched or FitDone
        ``FitDone`` is the last.

    Raises
    ------
    CohortError
        If the table cannot be trained on, or one of its slides cannot be read.
    TrainingError
        If another process is at work in the run's folder.
    """
    from napari_mhim.mil.cohort import Cohort
    from napari_mhim.mil.run_lock import refuse_held
    from napari_mhim.mil.splits import split_roles

    place = Workspace(Path(workspace))
    refuse_held(place.run_dir(run))
    table = locked(Cohort.read(cohort), place)
    # hours of extraction come after whatever can be refused without them
    split = split_roles(table, seed=config.seed)
    if split != table:
        table = split
        yield Note(SPLIT)
    bags = yield from gather(workspace, table, extract_config, features)
    seen = yield from watched(place, watch, extract_config)
    taught = yield from with_hints(bags, table, place, config.hint_weight)
    extract, folder = None if features else extract_config, place.run_dir(run)
    yield from fit_table(table, taught, config, folder, extract, seen, finish)


def watched(
    place: Workspace, watch: str, config: ExtractConfig
) -> Generator[object, None, "Bag | None"]:
    """Give the bag of a slide to watch, or say why it is not watched and give None."""
    from napari_mhim.features.extract import extract
    from napari_mhim.mil.bags import read_bag

    if not watch:
        return None
    path = Path(watch)
    try:
        if path.suffix != ".h5":
            path = features_path(place, watch, config)
            saved = place.tissue_path(slide_name(Path(watch)))
            yield from extract(watch, path, config, saved)
        return replace(read_bag(path), path=watch if watch != str(path) else "")
    except MhimError as err:
        yield Note(f"{Path(watch).name} is not watched: {err}.")
        return None


def gather(
    workspace: str,
    table: "Cohort",
    config: ExtractConfig,
    features: str = "",
    *,
    leaves_out: bool = True,
) -> Generator[object, None, dict[str, "Bag"]]:
    """Give a bag for each slide of a table, extracting features that are missing.

    Parameters
    ----------
    workspace, table, config, features
        As :func:`train`.
    leaves_out : bool
        Whether to go without the areas the user excluded; an evaluation never does.

    Yields
    ------
    Progress, Note or ExtractDone
        Of the extraction.

    Returns
    -------
    dict of str to Bag
        Slide's name to its features, with label and patient.

    Raises
    ------
    CohortError
        If a slide has neither a path nor features, or cannot be read.
    """
    from napari_mhim.mil.bags import read_bag
    from napari_mhim.mil.exclusions import excluded_rows, without
    from napari_mhim.mil.feature_files import read_folder

    if features:
        return read_folder(Path(features), table.rows, table.classes)
    place = Workspace(Path(workspace))
    paths = {
        r.slide: features_path(place, r.path or r.slide, config) for r in table.rows
    }
    refuse_unknown(table.rows, paths, place.root)
    moved = {
        row.slide
        for row in table.rows
        if row.path
        and url_of(row.path) is None
        and paths[row.slide].is_file()
        and not Path(row.path).exists()
    }
    if moved:
        yield Note(
            f"{len(moved)} of {len(table.rows)} slides are not where the table says "
            f"({min(moved)!r}); the features made of them before are used."
        )
    slides = [row.path for row in table.rows if row.path and row.slide not in moved]
    for event in extract_slides(slides, workspace, config):
        if isinstance(event, SlideFailed):
            raise CohortError(f"slide {event.slide!r} cannot be used: {event.reason}")
        yield event
    bags, n_left_out = {}, 0
    for row in table.rows:
        bag = read_bag(paths[row.slide], row, table.classes)
        if leaves_out:
            rows = excluded_rows(bag, place.regions_path(row.slide))
            bag, n_left_out = without(bag, rows), n_left_out + bool(rows.any())
        bags[row.slide] = bag
    if n_left_out:
        plural = "" if n_left_out == 1 else "s"
        yield Note(f"{n_left_out} slide{plural} without the areas you excluded.")
    return bags


def predict_slides(
    slides: Sequence[str],
    bundle: str,
    workspace: str,
    device: str = "auto",
    slide_mpp: float | None = None,
    tissue: TissueConfig | None = None,
    renew: bool = False,
) -> Iterator[object]:
    """Run a bundle on slides, one after another.

    Parameters
    ----------
    slides : sequence of str
        Paths of slides, with different names.
    bundle : str
        Folder of the bundle.
    workspace, device : str
        Folder of features and results; one of ``settings.DEVICES``.
    slide_mpp : float, optional
        Micrometres per pixel for slides that do not say theirs.
    tissue, renew
        As :func:`extract_slides`.

    Yields
    ------
    Progress, Note, ExtractDone, PredictDone or SlideFailed
        A ``PredictDone`` or ``SlideFailed`` ends each slide.
    """
    from napari_mhim.mil.bundle import Bundle
    from napari_mhim.mil.predict import Predictor

    refuse_twins(slides)
    place = Workspace(Path(workspace))
    predictor = Predictor(Bundle.open(bundle), device)
    for slide in slides:
        try:
            yield from _predict(slide, predictor, place, slide_mpp, tissue, renew)
        except WorkspaceError:
            raise
        except MhimError as err:
            yield SlideFailed(slide, str(err))


def predict_slide(
    slide: str,
    bundle: str,
    workspace: str,
    device: str = "auto",
    slide_mpp: float | None = None,
    tissue: TissueConfig | None = None,
    renew: bool = False,
) -> Iterator[object]:
    """Run a bundle on one slide: features, prediction, result file.

    Parameters
    ----------
    slide, bundle, workspace, device, slide_mpp, tissue, renew
        As :func:`predict_slides`; ``slide`` is the path of one.

    Yields
    ------
    Progress, Note, ExtractDone or PredictDone
        ``PredictDone`` is the last.

    Raises
    ------
    SlideError, UnknownMppError, NoTissueError
        If the slide cannot be used.
    BundleError, FeatureMismatchError
        If the bundle cannot be used, or wants other features.
    WorkspaceError
        If the result cannot be written.
    """
    from napari_mhim.mil.bundle import Bundle
    from napari_mhim.mil.predict import Predictor

    predictor = Predictor(Bundle.open(bundle), device)
    place = Workspace(Path(workspace))
    yield from _predict(slide, predictor, place, slide_mpp, tissue, renew)


def _predict(
    slide: str,
    predictor: "Predictor",
    place: Workspace,
    slide_mpp: float | None,
    tissue: TissueConfig | None,
    renew: bool,
) -> Iterator[object]:
    from napari_mhim.features.extract import extract
    from napari_mhim.features.store import FeatureStore
    from napari_mhim.mil.bags import bag_of
    from napari_mhim.mil.exclusions import excluded_rows, without

    bundle = predictor.bundle
    wanted = bundle.config.extraction(predictor.device, slide_mpp)
    store_path = features_path(place, slide, wanted)
    cut = tissue or place.tissue_path(slide_name(Path(slide)))
    yield from extract(slide, store_path, wanted, cut, renew)
    yield Progress(f"prediction of {Path(slide).name}", 0, 1, "slides")
    with FeatureStore.open(store_path) as store:
        bag = replace(bag_of(store), path=slide)
    result = predictor.predict(bag)
    rows = excluded_rows(bag, place.regions_path(bag.name))
    if rows.any():
        rest = predictor.probabilities(without(bag, rows))
        result = replace(result, excluded=rows, excluding=rest)
    path = place.result_path(bundle.name, Path(slide).stem)
    result.save(path)
    yield PredictDone(slide, str(path))
