"""The demo, stage by stage: slides, features, training, results on held-out slides."""

import json
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from napari_mhim import pipeline
from napari_mhim.demo.figures import Judged, figures, judge, report
from napari_mhim.errors import ConfigError, MhimError
from napari_mhim.export.folder import write_folder
from napari_mhim.features.config import ExtractConfig
from napari_mhim.mil.cohort import Cohort, CohortRow
from napari_mhim.mil.config import TrainConfig
from napari_mhim.mil.evaluate import Interval
from napari_mhim.mil.result import SlideResult
from napari_mhim.mil.train import FitDone
from napari_mhim.phantom import DEMO, KINDS, PhantomTruth, read_truth, write_cohort
from napari_mhim.workspace import Workspace, writing

FEATURES = ExtractConfig(
    encoder=DEMO.encoder, mpp=DEMO.mpp, patch_model_px=DEMO.patch_model_px
)
"""How the demo cuts and encodes its slides."""
TRAINING = TrainConfig(epochs=60)
"""How the demo trains."""
CAVEAT = "Synthetic slides: shows the method, not clinical performance."
BASELINE, MHIM = "AB-MIL (baseline)", "MHIM"
RUN = "demo"


@dataclass(frozen=True)
class StageDone:
    """One of the demo's stages is over."""

    line: str
    """What the terminal shows."""


@dataclass(frozen=True)
class DemoDone:
    """Everything is on disk."""

    folder: str
    """The demo's folder."""
    slide: str
    """The slide to open: the first held-out one, by name, that has both kinds of lesion."""
    result: str
    """Its result under MHIM."""
    baseline_result: str
    """Its result under the baseline."""
    bundle: str
    """Folder of the MHIM model."""
    features: str
    """The slide's features."""
    judged: dict[str, list[Judged]]
    """Every held-out slide, in order of its name, by model."""
    text: str
    """Figures on held-out slides, for the terminal."""


def run(
    folder: str,
    seed: int = DEMO.seed,
    n_slides: int = DEMO.n_slides,
    training: TrainConfig = TRAINING,
) -> Iterator[object]:
    """Make slides, extract features, train, and predict the held-out slides.

    What lies in the folder from an earlier run with the same settings is used again.

    Parameters
    ----------
    folder : str
        Where everything goes.
    seed : int
        Seed of slides and training.
    n_slides : int
        Slides of the cohort.
    training : TrainConfig
        How both models are trained; its seed is set to ``seed``.

    Yields
    ------
    StageDone, DemoDone and the stages' own events
        ``DemoDone`` is the last.

    Raises
    ------
    ConfigError
        If the folder holds a demo of another seed or size.
    MhimError
        If a stage cannot be done.
    """
    place = Workspace(Path(folder))
    _claim(place, seed, n_slides)
    yield from _timed("1/4 slides  ", write_cohort(place.root, n_slides, seed))
    rows = Cohort.read(place.cohort_path).rows
    yield from _timed("2/4 features", _extract(rows, folder))
    bundles: dict[str, str] = {}
    yield from _timed(
        "3/4 train   ", _train(place, replace(training, seed=seed), bundles)
    )
    held_out = [row for row in rows if row.role == "test"]
    yield from _timed("4/4 predict ", _predict(held_out, bundles, folder))
    yield _finish(place, held_out, bundles, seed)


def window_command(done: DemoDone, screenshot: bool) -> list[str] | None:
    """Give the command that opens the demo's slide in napari, in a process of its own.

    Parameters
    ----------
    done : DemoDone
        What :func:`run` ended with.
    screenshot : bool
        Whether to take pictures of the first screen and close it again, on a virtual
        screen if there is no other.

    Returns
    -------
    list of str or None
        The command; None where there is neither screen nor virtual screen.
    """
    command = [sys.executable, "-m", "napari_mhim.plugin.show"]
    command += [done.slide, done.result, "--baseline", done.baseline_result]
    command += ["--bundle", done.bundle, "--features", done.features]
    if not screenshot:
        return command
    screen = shutil.which("xvfb-run")
    if screen is None:
        return None
    virtual = [screen, "-a", "-s", "-screen 0 1600x1000x24"]
    return [*virtual, *command, "--screenshot", done.folder]


def _timed(name: str, events: Iterator[object]) -> Iterator[object]:
    start = time.perf_counter()
    yield from events
    yield StageDone(f"{name}  {time.perf_counter() - start:.0f} s")


def _strict(events: Iterator[object]) -> Iterator[object]:
    """Stop at the first slide that fails: the demo's own slides must all work."""
    for event in events:
        if isinstance(event, pipeline.SlideFailed):
            raise MhimError(f"{event.slide!r}: {event.reason}")
        yield event


def _extract(rows: Sequence[CohortRow], folder: str) -> Iterator[object]:
    slides = [row.path for row in rows]
    yield from _strict(pipeline.extract_slides(slides, folder, FEATURES))


def _claim(place: Workspace, seed: int, n_slides: int) -> None:
    """Note what the folder is for: another cohort would overwrite its slides."""
    path, wanted = place.root / "demo.json", {"seed": seed, "slides": n_slides}
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        if found != wanted:
            raise ConfigError(
                f"{str(place.root)!r} holds a demo of {found}, asked is {wanted}; take "
                "another folder, or delete this one"
            )
        return
    with writing(path) as part:
        part.write_text(json.dumps(wanted), encoding="utf-8")


def _train(
    place: Workspace, config: TrainConfig, bundles: dict[str, str]
) -> Iterator[object]:
    """Train both models; ``bundles`` takes their folders."""
    events = pipeline.train(
        str(place.root), str(place.cohort_path), config, FEATURES, RUN
    )
    for event in events:
        if isinstance(event, FitDone):
            assert event.baseline_path  # MHIM starts from a baseline
            bundles[BASELINE] = event.baseline_path
            bundles[MHIM] = event.bundle_path
        yield event


def _predict(
    rows: Sequence[CohortRow], bundles: dict[str, str], folder: str
) -> Iterator[object]:
    slides = [row.path for row in rows]
    for bundle in bundles.values():
        yield from _strict(pipeline.predict_slides(slides, bundle, folder))


def _finish(
    place: Workspace,
    rows: Sequence[CohortRow],
    bundles: dict[str, str],
    seed: int,
) -> DemoDone:
    truths = {row.slide: read_truth(row.path) for row in rows}
    results = {
        name: {row.slide: _result_path(place, bundle, row) for row in rows}
        for name, bundle in bundles.items()
    }
    judged = {
        name: [judge(SlideResult.load(path), truths[s]) for s, path in found.items()]
        for name, found in results.items()
    }
    columns = {name: figures(slides) for name, slides in judged.items()}
    shown = _first_with_both(truths)
    slide = next(row.path for row in rows if row.slide == shown)
    result = results[MHIM][shown]
    write_folder(str(result), slide, place.root / "report" / shown)
    _write_figures(place.root / "figures.json", columns, seed)
    return DemoDone(
        folder=str(place.root),
        slide=slide,
        result=str(result),
        baseline_result=str(results[BASELINE][shown]),
        bundle=bundles[MHIM],
        features=str(pipeline.features_path(place, slide, FEATURES)),
        judged=judged,
        text=_text(columns, truths, seed),
    )


def _result_path(place: Workspace, bundle: str, row: CohortRow) -> Path:
    from napari_mhim.mil.bundle import Bundle

    return place.result_path(Bundle.open(bundle).name, row.slide)


def _first_with_both(truths: dict[str, PhantomTruth]) -> str:
    for name in sorted(truths):
        if all(truths[name].polygons.get(kind) for kind in KINDS):
            return name
    raise MhimError("no held-out slide has both kinds of lesion; take another seed")


def _write_figures(
    path: Path, columns: dict[str, dict[str, Interval]], seed: int
) -> None:
    plain = {
        model: {name: asdict(interval) for name, interval in column.items()}
        for model, column in columns.items()
    }
    with writing(path) as part:
        part.write_text(json.dumps({"seed": seed, **plain}, indent=2), encoding="utf-8")


def _text(
    columns: dict[str, dict[str, Interval]], truths: dict[str, PhantomTruth], seed: int
) -> str:
    positive = sum(any(truth.polygons.values()) for truth in truths.values())
    head = (
        f"Held-out slides: {len(truths)}, {positive} with lesions; seed {seed}; "
        "figure (95 % interval over slides)"
    )
    return f"\n{head}\n{report(columns)}\n{CAVEAT}"
