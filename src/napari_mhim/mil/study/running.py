"""A study, as a generator of events: member by member, each on disk before it is told.

1. Folds are drawn, or taken from the table, and settings listed; both are written.
2. On each fold every setting is trained as a run of its own, the baseline first; a
   setting that starts from it takes it over instead of training it again.
3. Each member predicts the slides of its test fold, which nothing before has looked at.
4. The settings are compared with the first.

A study that was stopped at any moment goes on: finished members are read from disk, a
half-finished one goes on from its checkpoint.
"""

import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from napari_mhim.errors import CohortError, TrainingError
from napari_mhim.events import Note, Progress
from napari_mhim.features.config import ExtractConfig
from napari_mhim.mil.bags import Bag
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.cohort import Cohort
from napari_mhim.mil.config import TrainConfig
from napari_mhim.mil.held_out import SEEN
from napari_mhim.mil.hints import settled
from napari_mhim.mil.run import RunFolder, write_json
from napari_mhim.mil.study.compare import FoldFigures, Row, compare, fold_figures
from napari_mhim.mil.study.config import Setting, StudyConfig, settings_of
from napari_mhim.mil.study.folder import StudyFolder
from napari_mhim.mil.study.folds import Fold, study_folds
from napari_mhim.mil.study.predictions import (
    Prediction,
    read_predictions,
    write_predictions,
)
from napari_mhim.mil.study.report import as_csv, as_markdown, as_plain, reasons


@dataclass(frozen=True)
class MemberDone:
    """One setting is trained and tested on one fold; its predictions are on disk."""

    where: str
    """Which, for the person at the screen."""
    figures: FoldFigures
    """On the slides of the test fold."""

    @property
    def line(self) -> str:
        """Give one line for the screen."""
        found = self.figures
        if math.isnan(found.auc):
            return f"{self.where}: {found.n} test slides, not of every class: no AUC"
        return (
            f"{self.where}: test AUC {found.auc:.3f}, balanced accuracy "
            f"{found.balanced_accuracy:.3f} on {found.n} slides"
        )


@dataclass(frozen=True)
class MemberFailed:
    """One setting could not be trained on one fold; the others go on."""

    where: str
    """Which, for the person at the screen."""
    reason: str
    """One sentence."""

    @property
    def line(self) -> str:
        """Give one line for the screen."""
        return f"{self.where} failed: {self.reason}"


@dataclass(frozen=True)
class StudyDone:
    """All that could be trained is, and the table is on disk."""

    folder: str
    """The study's folder, with ``study.csv``, ``study.json`` and ``study.md``."""
    rows: tuple[Row, ...]
    """The table; the first row is what the others are compared with."""
    notes: tuple[str, ...] = ()
    """Why figures are missing, and what else the reader must know."""


def run_study(
    bags: Mapping[str, Bag],
    cohort: Cohort,
    config: TrainConfig,
    study: StudyConfig,
    folder: Path,
    *,
    extract: ExtractConfig | None = None,
    encoder_licence: str = "",
) -> Iterator[Progress | Note | MemberDone | MemberFailed | StudyDone]:
    """Train and compare settings, or go on with a study that was stopped.

    Parameters
    ----------
    bags : mapping of str to Bag
        Features of every slide of the cohort that has a class, by the slide's name.
    cohort : Cohort
        Slides with labels and patients; with a column ``fold`` where folds are given.
    config : TrainConfig
        What is varied.
    study : StudyConfig
        How it is repeated and varied.
    folder : Path
        The study's folder.
    extract : ExtractConfig, optional
        How slides become these features.
    encoder_licence : str
        Licence of the encoder's weights, for the cards.

    Yields
    ------
    Progress, Note, MemberDone, MemberFailed or StudyDone
        ``StudyDone`` is the last.

    Raises
    ------
    CohortError
        If the table cannot be split as asked.
    ConfigError
        If a setting cannot be, or the folder holds another study.
    TrainingError
        If the folder holds a study of other slides, or no member could be trained.
    WorkspaceError
        If the folder cannot be written.
    """
    settings = settings_of(config, study)
    folds = study_folds(cohort, study, config.seed)
    yield from _start_notes(settings, folds)
    place = StudyFolder(folder)
    place.begin(study, settings, folds, extract)
    if any(setting.config.hint_weight for setting in settings):
        hinted, said = settled(folder, list(bags.values()), folds[0].cohort.classes)
        bags = {bag.name: bag for bag in hinted}
        if said:
            yield Note(said)
    job = _Job(bags, settings, folds, place, extract, encoder_licence)
    yield from job.run()
    yield _finish(job, study, config.seed)


def _start_notes(settings: Sequence[Setting], folds: Sequence[Fold]) -> Iterator[Note]:
    """Refuse to start from a model that has learnt from slides tested here."""
    for path in sorted({s.config.start_from for s in settings} - {""}):
        if not Path(path).is_dir():
            yield Note(
                f"{path!r} does not say on which slides it was trained; be sure that "
                "none of them is tested here."
            )
            continue
        known = Bundle.open(path).config
        rows = folds[0].cohort.rows
        seen = {row.patient for row in rows if known.role_of(row.slide) in SEEN}
        tested = [row for fold in folds for row in fold.cohort.with_role("test")]
        for row in tested:
            if row.patient in seen:
                raise CohortError(
                    f"slide {row.slide!r} is tested here, and the model {path!r} to "
                    "start from has learnt from its patient; leave start_from empty, "
                    "and each fold gets a baseline of its own"
                )


class _Job:
    """The members of a study, one after another."""

    def __init__(
        self,
        bags: Mapping[str, Bag],
        settings: Sequence[Setting],
        folds: Sequence[Fold],
        place: StudyFolder,
        extract: ExtractConfig | None,
        licence: str,
    ) -> None:
        self._bags, self.settings, self.folds, self.place = bags, settings, folds, place
        self._extract, self._licence = extract, licence
        self.classes = folds[0].cohort.classes
        self.predictions: list[Prediction] = []
        self.figures: list[FoldFigures] = []
        self.failures: list[MemberFailed] = []
        self._told: set[str] = set()

    def run(self) -> Iterator[Progress | Note | MemberDone | MemberFailed]:
        for fold in self.folds:
            for setting in self.settings:
                where = self._where(fold, setting)
                try:
                    found = yield from self._member(fold, setting, where)
                except TrainingError as err:
                    self.failures.append(failed := MemberFailed(where, str(err)))
                    yield failed
                    continue
                self.predictions += found
                self.figures.append(fold_figures(found, self.classes))
                yield MemberDone(where, self.figures[-1])
        if not self.predictions:
            raise TrainingError(
                f"no setting of study {str(self.place.path)!r} could be trained; the "
                f"first: {self.failures[0].reason}"
            )

    def _where(self, fold: Fold, setting: Setting) -> str:
        repeats = self.folds[-1].repeat
        numbers = [f.number for f in self.folds if f.repeat == fold.repeat]
        parts = []
        if repeats > 1:
            parts.append(f"repeat {fold.repeat} of {repeats}")
        if len(numbers) > 1:
            place = numbers.index(fold.number) + 1
            parts.append(f"fold {place} of {len(numbers)}")
        place, n = self.settings.index(setting) + 1, len(self.settings)
        parts.append(f"setting {place} of {n} ({setting.name})")
        return ", ".join(parts)

    def _member(
        self, fold: Fold, setting: Setting, where: str
    ) -> Generator[Progress | Note, None, list[Prediction]]:
        run = self.place.member(fold, setting.name)
        path = run.path / "predictions.csv"
        if path.is_file():
            return read_predictions(path, self.classes)
        yield from self._train(run, fold, setting, where)
        found = self._predict(run, fold, setting)
        write_predictions(path, found, self.classes)
        return found

    def _train(
        self, run: RunFolder, fold: Fold, setting: Setting, where: str
    ) -> Iterator[Progress | Note]:
        from napari_mhim.mil.train import EpochDone, fit

        config = self._config(fold, setting)
        if setting.baseline:
            baseline = self.place.member(fold, setting.baseline)
            if not baseline.bundle_path.is_dir():
                raise TrainingError(f"its baseline {setting.baseline!r} is not trained")
            run.adopt(baseline)
        bags = {
            role: [self._bags[row.slide] for row in fold.cohort.with_role(role)]
            for role in ("train", "val")
        }
        yield Progress(where, 0, config.epochs, "epochs")
        for event in fit(
            bags["train"],
            bags["val"],
            self.classes,
            config,
            run.path,
            cohort=fold.cohort,
            extract=self._extract,
            encoder_licence=self._licence,
        ):
            if isinstance(event, EpochDone):
                yield Progress(where, event.epoch, event.epochs, "epochs")
            elif isinstance(event, Note) and event.text not in self._told:
                self._told.add(event.text)
                yield Note(f"{where}: {event.text}")

    def _config(self, fold: Fold, setting: Setting) -> TrainConfig:
        config = replace(setting.config, seed=fold.seed)
        if not setting.share_from:
            return config
        source = self.place.member(fold, setting.share_from).bundle_path
        if not source.is_dir():
            raise TrainingError(
                f"{setting.share_from!r}, whose share it takes, is not trained"
            )
        share = Bundle.open(source).config.mask_ratio_high
        options = {**config.recipe_options, "mask_ratio_high": share}
        return replace(config, recipe_options=options)

    def _predict(
        self, run: RunFolder, fold: Fold, setting: Setting
    ) -> list[Prediction]:
        from napari_mhim.mil.predict import Predictor

        bundle = Bundle.open(run.bundle_path)
        predictor = Predictor(bundle, setting.config.device)
        cutoff = bundle.config.cutoff
        return [
            Prediction(
                setting=setting.name,
                repeat=fold.repeat,
                fold=fold.number,
                slide=row.slide,
                patient=row.patient,
                label=row.label,
                cutoff=None if cutoff is None else cutoff.value,
                probabilities=tuple(
                    float(p) for p in predictor.probabilities(self._bags[row.slide])
                ),
            )
            for row in fold.cohort.with_role("test")
        ]


def _finish(job: _Job, study: StudyConfig, seed: int) -> StudyDone:
    names = [setting.name for setting in job.settings]
    rows = compare(job.predictions, names, job.classes, seed)
    place = job.place
    write_predictions(place.predictions_path, job.predictions, job.classes)
    notes = [failed.line for failed in job.failures]
    if study.repeats == 1:
        notes.append(
            "One repeat: the intervals hold the chance of which slides were tested, not "
            "that of training again; more repeats hold both."
        )
    plain = as_plain(rows, job.figures)
    write_json(place.path / "study.json", {**plain, "notes": notes})
    place.write_table("study.csv", as_csv(rows))
    text = as_markdown(rows, f"Study {place.path.name}", _split(job, study), notes)
    place.write_table("study.md", text)
    return StudyDone(str(place.path), rows, (*reasons(rows), *notes))


def _split(job: _Job, study: StudyConfig) -> str:
    rows = job.folds[0].cohort.rows
    patients = len({row.patient for row in rows})
    counts = ", ".join(
        f"{sum(row.label == name for row in rows)} {name}" for name in job.classes
    )
    how = f"{study.cv} folds by patient" if study.cv else "one split by patient"
    again = f", {study.repeats} times" if study.repeats > 1 else ""
    return (
        f"{len(rows)} slides of {patients} patients ({counts}); {how}{again}; "
        f"{study.val:.0%} of the patients not tested validate."
    )
