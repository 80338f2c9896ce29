"""Runs of the Train tab: started in a child, watched, paused, resumed, kept or discarded.

No widgets. What was asked for lies in the run's folder before the child starts, so that a
run can be gone on with on another day.
"""

import time
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from napari_mhim import pipeline, training, tuning
from napari_mhim.errors import MhimError
from napari_mhim.events import Progress
from napari_mhim.features.config import ExtractConfig
from napari_mhim.mil.cohort import Cohort
from napari_mhim.mil.config import TrainConfig
from napari_mhim.mil.milestones import EpochDone, FitDone
from napari_mhim.mil.run import RunFolder, write_json
from napari_mhim.plugin.desk import Desk
from napari_mhim.plugin.state.asked import Asked, read_asked
from napari_mhim.plugin.state.training import (
    CROSS_VALIDATION,
    CUTOFF,
    NEW,
    TUNE,
    Status,
    TrainingState,
)
from napari_mhim.settings import memory_mib
from napari_mhim.training import ASKED, SlideWatched, is_begun
from napari_mhim.tuning import CutoffDone
from napari_mhim.workspace import Workspace


class Trainings:
    """The runs of one dock.

    Parameters
    ----------
    desk : Desk
        What the dock works with.
    """

    def __init__(self, desk: Desk) -> None:
        self.desk, self.state = desk, TrainingState()
        self._asked: Asked | None = None
        self._ends_as = Status.STOPPED
        self._is_drawn = True
        desk.runs.heard.connect(self._take)
        desk.runs.ended.connect(self._over)
        self.state.events.shown_epoch.connect(self._draw, max_args=0)
        self.name_run()

    def release(self) -> None:
        """Stop listening."""
        self.desk.runs.heard.disconnect(self._take)
        self.desk.runs.ended.disconnect(self._over)

    # --- what is asked for

    @property
    def place(self) -> Workspace:
        """Give the workspace."""
        return Workspace(self.desk.runs.workspace)

    @property
    def folder(self) -> Path:
        """Give the folder of the run that is at work, or was last."""
        return self.place.run_dir(self._asked.run if self._asked else self.state.run)

    def table(self) -> Cohort | None:
        """Read the slides that are asked for; None where none are, or they are refused."""
        state = self.state
        try:
            if state.takes_list:
                slides = self.desk.slides
                kept = [row for row in slides.labelled() if row.label]
                return Cohort.of(kept, slides.classes or None)
            return Cohort.read(state.table) if state.table else None
        except MhimError as err:
            state.split, state.refused = None, str(err)
            return None

    def look(self) -> None:
        """Show the split that a run would have."""
        self.state.refused, self.state.split = "", None
        table = self.table()
        if table is not None:
            self.state.look(table, self.place, self.desk.state.bundle)

    def classes(self) -> tuple[str, ...]:
        """Give the classes of the slides asked for, else the open model's, else the list's."""
        split, bundle = self.state.split, self.desk.state.bundle
        if split is not None:
            return split.classes
        if bundle is not None:
            return bundle.config.classes
        return tuple(self.desk.slides.classes or ())

    def name_run(self) -> None:
        """Propose a name that no run has."""
        bundle = self.desk.state.bundle
        stem = "run"
        if self.state.way != NEW and bundle is not None:
            stem = f"{bundle.name}-{'cutoff' if self.state.way == CUTOFF else 'tuned'}"
        number = 1
        while self.place.run_dir(f"{stem}-{number}").exists():
            number += 1
        self.state.run = f"{stem}-{number}"

    def config(self) -> TrainConfig:
        """Give the settings a run would have; ConfigError where they cannot be."""
        split, desk = self.state.split, self.desk
        n_slides = 0 if split is None else split.n_slides
        hardware = desk.runs.wanted_device, n_slides, memory_mib()
        return self.state.config(desk.state.bundle, *hardware)

    def command(self) -> str:
        """Give the run as a command line; ConfigError where it cannot be."""
        place = str(self.place.root)
        return self.state.command(self.desk.state.bundle, self.config(), place)

    def cross_validation(self) -> str:
        """Give the command line that judges the same settings on all slides in turn.

        Returns
        -------
        str
            ``napari-mhim train … --cv 5 --repeats 3``, in a folder of its own.

        Raises
        ------
        ConfigError
            If a setting cannot be.
        """
        place, run = str(self.place.root), f"{self.state.run}-cv"
        line = self.state.command(None, self.config(), place, run)
        return f"{line} {CROSS_VALIDATION}"

    def can_start(self) -> str | None:
        """Say why nothing can be started now; None when it can."""
        desk = self.desk.state
        reason = self.state.can_start(desk.bundle is not None, desk.job.is_busy)
        if reason is not None:
            return reason
        run, folder = self.state.run, self.place.run_dir(self.state.run)
        if (folder / "bundle").exists():
            return f"There is a model named {run!r} already: give another name."
        if is_begun(folder):
            return (
                f"Run {run!r} was begun and is not finished: take it up below, under "
                "“Unfinished runs”, or give another name."
            )
        return None

    # --- what is done

    def start(self) -> None:
        """Start what is asked for; what is wrong with it is told."""
        if self.can_start() is not None:
            return
        desk, state = self.desk.state, self.state
        bundle = None if state.way == NEW else desk.bundle
        folder = self.place.run_dir(state.run)
        try:
            table = str(Path(state.table).absolute())
            if state.takes_list:
                found, table = self.table(), str(folder / "asked.csv")
                assert found is not None  # can_start has refused it otherwise
                found.write(table)
            asked = Asked(
                way=state.way,
                run=state.run,
                table=table,
                bundle="" if bundle is None else str(bundle.path),
                config=asdict(self.config()),
                extract=asdict(self._extraction()),
                mix=state.mix if state.way == TUNE else "",
                old_checked=state.old_checked,
                # features made elsewhere have no positions to draw at
                watch="" if state.features else self._watch(),
                features=state.features and str(Path(state.features).absolute()),
            )
            if state.way != CUTOFF:
                write_json(folder / ASKED, asdict(asked))
        except MhimError as err:
            desk.tell(err)
            return
        self._go(asked)

    def pause(self) -> None:
        """End the child for now: memory is free, and what is on disk is resumed from."""
        self._end(Status.PAUSED)

    def stop(self) -> None:
        """Stop the run; what it has come to stays on disk, to be kept or discarded."""
        if self.state.status is Status.PAUSED:
            self.state.status = Status.STOPPED
        else:
            self._end(Status.STOPPED)

    def resume(self) -> None:
        """Go on with an unfinished run where it was."""
        if self._asked is not None and self.state.status.is_unfinished:
            self._go(self._asked)

    def keep(self, which: str) -> None:
        """End an unfinished run with its ``"best"`` or its ``"last"`` weights."""
        if self._asked is not None and self.state.status.is_unfinished:
            self._go(self._asked, which)

    def discard(self) -> None:
        """Remove an unfinished run from the disk."""
        if not self.state.status.is_unfinished:
            return
        try:
            training.discard(self.folder)
        except MhimError as err:
            self.desk.state.tell(err)
            return
        self._asked = None
        self.state.clear()
        self.state.status = Status.IDLE

    def another(self) -> None:
        """Put a finished run aside, so that another can be asked for."""
        if self.state.status is Status.DONE:
            self._asked = None
            self.state.status = Status.IDLE
            self.name_run()
            self.look()

    def unfinished_runs(self) -> tuple[str, ...]:
        """List the runs of the workspace that were begun here and are not finished."""
        found = (self.place.root / "runs").glob(f"*/{ASKED}")
        return tuple(
            sorted(p.parent.name for p in found if not (p.parent / "bundle").exists())
        )

    def take_up(self, run: str) -> None:
        """Show a run that was stopped on another day; it can then be gone on with.

        Parameters
        ----------
        run : str
            One of :meth:`unfinished_runs`.
        """
        if self.state.status.is_at_work:
            return
        folder = self.place.run_dir(run)
        try:
            self._asked = read_asked(folder / ASKED)
        except MhimError as err:
            self.desk.state.tell(err)
            return
        self.state.clear()
        self.state.run, self.state.way = run, self._asked.way
        self._reload(folder)
        self.state.status = Status.STOPPED

    # --- inside

    def _end(self, status: Status) -> None:
        if self.state.status is Status.RUNNING:
            self._ends_as, self.state.status = status, Status.STOPPING
            self.desk.runs.cancel()

    def _go(self, asked: Asked, finish: str = "") -> None:
        self._asked, self._ends_as = asked, Status.STOPPED
        state, place = self.state, str(self.place.root)
        state.clear()
        self._reload(self.place.run_dir(asked.run))
        config = TrainConfig(**asked.config)
        job: tuple[Any, ...]
        if asked.way == CUTOFF:
            out = str(self.place.run_dir(asked.run) / "bundle")
            job = (tuning.adjust_cutoff, asked.bundle, asked.table, out, place)
            job += (config.device, None, asked.features)
        elif asked.way == TUNE:
            job = (tuning.fine_tune, place, asked.table, config, asked.run)
            job += (
                asked.features,
                asked.mix,
                asked.old_checked,
                None,
                asked.watch,
                finish,
            )
        else:
            extract = ExtractConfig(**asked.extract)
            job = (pipeline.train, place, asked.table, config, extract, asked.run)
            job += (asked.features, asked.watch, finish)
        state.status = Status.RUNNING
        if not self.desk.runs.start(f"Starting {asked.run}", *job):
            state.status = Status.STOPPED if asked.way != CUTOFF else Status.IDLE

    def _extraction(self) -> ExtractConfig:
        bundle, device = self.desk.state.bundle, self.desk.runs.wanted_device
        if bundle is not None and self.state.encoder == bundle.config.extract.encoder:
            return bundle.config.extraction(device)
        return ExtractConfig(encoder=self.state.encoder, device=device)

    def _watch(self) -> str:
        desk = self.desk.state
        if desk.slide is None:
            return ""
        # samples bring their features, which are not in the workspace
        return desk.features_path or desk.slide.path

    def _reload(self, folder: Path) -> None:
        """Draw the epochs that a run has behind it."""
        names = {field.name for field in fields(EpochDone)}
        for some in (folder / "baseline", folder):
            for values in RunFolder(some).epochs():
                known = {k: v for k, v in values.items() if k in names}
                known["val"] = {
                    k: float("nan") if v is None else v for k, v in known["val"].items()
                }
                self.state.take(EpochDone(**known))

    def _take(self, event: object) -> None:
        if not self.state.status.is_at_work:
            return
        self.state.take(event)
        if isinstance(event, EpochDone):
            stage = f"{event.stage} of {self.state.run}"
            said = Progress(stage, event.epoch, event.epochs, "epochs")
            self.desk.state.job.take(said, time.monotonic())
        elif isinstance(event, SlideWatched):
            self._draw()
        elif isinstance(event, (FitDone, CutoffDone)):
            self.state.bundle_path = event.bundle_path

    def _draw(self) -> None:
        """Draw the epoch that is chosen over the open slide, if it is the one watched."""
        state, desk = self.state, self.desk
        if not self._is_drawn or not state.watched or desk.state.slide is None:
            return
        if state.shown_epoch >= len(state.watched):
            return
        # by file and not by name: a sample's features can bear another name
        if self._asked is None or self._asked.watch != self._watch():
            return
        result = state.watched[state.shown_epoch].result
        current = desk.slides.current
        if current < 0 or not desk.slides.is_withheld(current):
            desk.state.live = result

    def _over(self) -> None:
        if not self.state.status.is_at_work:
            return
        if self.state.bundle_path:
            self.state.status = Status.DONE
            self.desk.runs.choose_bundle(self.state.bundle_path)
        elif self._asked is not None and (self.folder / ASKED).is_file():
            failed = self.desk.runs.has_failed
            self.state.status = Status.FAILED if failed else self._ends_as
        else:
            self.state.status = Status.IDLE

    def show_live(self, is_on: bool) -> None:
        """Show the watched epochs over the slide, or what the model said of it before."""
        self._is_drawn = is_on
        if is_on:
            self._draw()
        else:
            self.desk.state.live = None
