"""What the Train tab shows: what is asked for, on which slides, how it goes. No Qt, no torch."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, cast

from psygnal import SignalGroupDescriptor

from napari_mhim._options import options
from napari_mhim.errors import MhimError
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.cohort import Cohort
from napari_mhim.mil.config import TrainConfig
from napari_mhim.mil.milestones import EpochDone
from napari_mhim.mil.parent import Checked, fine_tuning, tuned_config
from napari_mhim.mil.presets import RECOMMENDED, preset
from napari_mhim.plugin import words
from napari_mhim.plugin.state.hints import HintsThere, hints_there
from napari_mhim.plugin.state.split import (
    Split,
    refuse_foreign,
    split_of_cutoff,
    split_of_new,
    split_of_tuning,
)
from napari_mhim.training import SlideWatched
from napari_mhim.workspace import Workspace

CUTOFF, TUNE, NEW = "cut-off", "fine-tune", "new"
WAYS = (CUTOFF, TUNE, NEW)
"""What can be done with labelled slides, the cheapest first."""
_SAID_APART = ("start_from", "fine_tune", "tune")
"""Settings that the command line has other words for, or says first."""
CROSS_VALIDATION = "--cv 5 --repeats 3"
"""What makes a command line judge its settings on all slides in turn, baseline included."""
FEW_SLIDES = 50
"""Labelled slides below which one split says more about the split than about the model."""
_KEPT_EPOCHS = 200
"""The overlays of at most so many epochs stay for the slider."""


class Status(Enum):
    """Where a run stands: every button of the tab follows it."""

    IDLE = "idle"
    RUNNING = "running"
    STOPPING = "stopping"
    PAUSED = "paused"
    """No process is at work, and the run is to go on."""
    STOPPED = "stopped"
    """To be gone on with, kept or discarded."""
    FAILED = "failed"
    """As ``STOPPED``, but nobody asked for it."""
    DONE = "done"

    @property
    def is_at_work(self) -> bool:
        """Tell whether a child process is at work."""
        return self in (Status.RUNNING, Status.STOPPING)

    @property
    def is_unfinished(self) -> bool:
        """Tell whether a run on disk waits to be resumed, kept or discarded."""
        return self in (Status.PAUSED, Status.STOPPED, Status.FAILED)


@dataclass
class TrainingState:
    """One run: what is asked for, and what it says."""

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    way: str = NEW
    """One of ``WAYS``."""
    table: str = ""
    """Path of the label table."""
    takes_list: bool = False
    """Whether the slides are those of the Slides tab, rather than a table's."""
    features: str = ""
    """Folder of features made elsewhere, used in place of slides; "" for none."""
    mix: str = ""
    """Path of a table of the model's own slides, "" for none."""
    old_checked: str = "unknown"
    """Whether those were looked through for a new class."""
    preset: str = RECOMMENDED
    """Named settings that a new model starts from."""
    encoder: str = "texture"
    """Encoder of a new model's features."""
    given: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ``TrainConfig`` the user has set; the rest are the way's own."""
    run: str = ""
    """Name of the run."""
    status: Status = Status.IDLE
    """Where it stands."""
    split: Split | None = None
    """What would be trained and validated on; None where it cannot be told."""
    hints: HintsThere = field(default_factory=HintsThere)
    """Regions named with a class that it could learn from."""
    refused: str = ""
    """Why the slides cannot be used, "" where they can."""
    epochs: tuple[EpochDone, ...] = ()
    """What each epoch came to, the baseline's first."""
    watched: tuple[SlideWatched, ...] = ()
    """The open slide after each epoch."""
    shown_epoch: int = -1
    """Place in ``watched`` that is drawn; -1 follows the newest."""
    bundle_path: str = ""
    """Folder of the finished model, "" before."""

    def clear(self) -> None:
        """Forget what a run said, before another."""
        self.epochs, self.watched = (), ()
        self.shown_epoch, self.bundle_path = -1, ""

    def config(
        self,
        bundle: Bundle | None,
        device: str,
        n_slides: int,
        memory_mib: float = 0.0,
    ) -> TrainConfig:
        """Give the settings that a run would have.

        Parameters
        ----------
        bundle : Bundle or None
            The model that is open, which fine-tuning goes on with.
        device : str
            One of ``settings.DEVICES``.
        n_slides : int
            Labelled slides there are.
        memory_mib : float
            Memory of the computer, in MiB; 0 when unknown.

        Returns
        -------
        TrainConfig
            What is given goes over the model's or the preset's settings.

        Raises
        ------
        ConfigError
            If a setting cannot be.
        """
        given = {"device": device, **self.given}
        if self.way == TUNE and bundle is not None:
            return tuned_config(bundle, given)
        start = preset(self.preset, n_slides, memory_mib)
        another = given.get("model", start.model) != start.model
        own: dict[str, Any] = {"model_options": {}} if another else {}
        if given.get("recipe", start.recipe) != start.recipe:
            own["recipe_options"] = {}
        fresh = {"fine_tune": False, "start_from": "", "tune": "all"}
        return replace(start, **{**own, **given, **fresh})

    def look(self, table: Cohort, place: Workspace, bundle: Bundle | None) -> None:
        """Work out the split that a run would have, or why there is none.

        Parameters
        ----------
        table : Cohort
            The slides.
        place : Workspace
            Where the locked test list is.
        bundle : Bundle or None
            The model that is open.
        """
        seed = int(self.given.get("seed", 0))
        self.split, self.refused, self.hints = None, "", HintsThere()
        try:
            if self.way != NEW and bundle is not None and not self.features:
                refuse_foreign(bundle)
            if self.way == NEW or bundle is None:
                self.split = split_of_new(table, place, seed)
            elif self.way == CUTOFF:
                self.split = split_of_cutoff(table, place, bundle)
                return
            else:
                checked = cast(Checked, self.old_checked)
                self.split = split_of_tuning(
                    table, place, bundle, seed, self.mix, checked
                )
            self.hints = hints_there(self.split.table, place)
        except MhimError as err:
            self.refused = str(err)

    def can_start(self, has_bundle: bool, is_busy: bool) -> str | None:
        """Say why nothing can be started now, with the way out; None when it can.

        Parameters
        ----------
        has_bundle : bool
            Whether a model is open.
        is_busy : bool
            Whether a job is at work.

        Returns
        -------
        str or None
            One sentence.
        """
        if self.status.is_at_work or is_busy:
            return "A job is running: wait for it, or cancel it below."
        if self.way != NEW and not has_bundle:
            return "Choose the model to go on with in Analyse first."
        if not self.table and not self.takes_list:
            return "Choose a label table, or open slides in the Slides tab."
        if self.refused:
            return self.refused[:1].upper() + self.refused[1:] + "."
        if not self.run.strip():
            return "Give the run a name."
        if self.status.is_unfinished:
            return "An unfinished run waits below: resume it, keep it or discard it."
        return None

    def take(self, event: object) -> None:
        """Note what the run says."""
        if isinstance(event, EpochDone):
            # a run that goes on may do its last epoch again
            again = (event.stage, event.epoch)
            kept = (done for done in self.epochs if (done.stage, done.epoch) != again)
            self.epochs = (*kept, event)
        elif isinstance(event, SlideWatched):
            self.watched = (*self.watched, event)[-_KEPT_EPOCHS:]

    @property
    def best(self) -> int:
        """Give the place in ``epochs`` of the best one of the last stage, -1 without any."""
        places = [i for i, done in enumerate(self.epochs) if done.is_best]
        stage = self.epochs[-1].stage if self.epochs else ""
        return next((i for i in reversed(places) if self.epochs[i].stage == stage), -1)

    def summary(self) -> str:
        """Say how the run goes, in one line; "" before the first epoch."""
        if not self.epochs:
            return ""
        last, best = self.epochs[-1], self.best
        area = last.val.get("auc", float("nan"))
        parts = [f"{last.stage}: epoch {last.epoch} of at most {last.epochs}"]
        if area == area:
            parts.append(f"validation AUC {area:.2f}")
        if best >= 0:
            parts.append(f"best so far: epoch {self.epochs[best].epoch}")
        parts.append(f"the student saw {last.kept_share:.0%} of the patches")
        parts += self._pace(last)
        left = (last.epochs - last.epoch) * last.seconds
        if self.status is Status.RUNNING:
            parts.append(
                f"at most {words.duration(left)} left" if left else "last epoch"
            )
        return " · ".join(parts) + "."

    def _pace(self, last: EpochDone) -> list[str]:
        """Say how fast it learns, and on how much memory."""
        parts = [f"{last.seconds:.2g} s an epoch"]
        if last.lr:
            parts.append(f"learning rate {last.lr:.2g}")
        if last.memory_mib and self.status is Status.RUNNING:
            gpu = f", GPU {words.memory(last.gpu_mib)}" if last.gpu_mib else ""
            parts.append(f"memory {words.memory(last.memory_mib)}{gpu}")
        return parts

    @property
    def wants_cross_validation(self) -> bool:
        """Tell whether so few slides are asked for that one split cannot judge a new model."""
        n = 0 if self.split is None else self.split.n_slides
        # what is in the Slides tab has no table yet that a command line could take
        return self.way == NEW and bool(self.table) and 0 < n < FEW_SLIDES

    def command(
        self, bundle: Bundle | None, config: TrainConfig, place: str, run: str = ""
    ) -> str:
        """Give the same run as a command line.

        Parameters
        ----------
        bundle : Bundle or None
            The model that is open.
        config : TrainConfig
            Of :meth:`config`.
        place : str
            Folder of the workspace.
        run : str
            Name of the run; the one asked for where not given.

        Returns
        -------
        str
            ``napari-mhim …``, quoted for a shell.
        """
        start = "" if bundle is None else str(bundle.path)
        if self.way == CUTOFF:
            out = str(Workspace(Path(place)).run_dir(self.run) / "bundle")
            said = ["cutoff", start, self.table, "--out", out, "--workspace", place]
            said += ["--device", config.device, *self._features()]
            return shlex.join(["napari-mhim", *said])
        said = ["train", self.table, "--workspace", place, "--run", run or self.run]
        said += self._features()
        base = TrainConfig()
        if self.way == TUNE:
            said += ["--from", start, "--tune", config.tune]
            if self.mix:
                said += ["--mix", self.mix, "--old-checked", self.old_checked]
            gentle = fine_tuning(config.tune)
            base = replace(base, **gentle, model=config.model, recipe=config.recipe)
        elif not self.features:
            said += ["--encoder", self.encoder]
        for option in options(TrainConfig):
            value = getattr(config, option.name)
            if option.is_plain and option.name not in _SAID_APART:
                flag = "--" + option.name.replace("_", "-")
                if value == getattr(base, option.name):
                    continue
                if isinstance(value, bool):
                    said.append(flag if value else f"--no-{flag[2:]}")
                else:
                    said += [flag, str(value)]
        recipe = config.recipe_options
        if self.way == TUNE:  # the rest is the model's own
            recipe = self.given.get("recipe_options", {})
        own = config.model_options if self.way == NEW else {}
        for flag, values in (("--model-option", own), ("--recipe-option", recipe)):
            for name, value in values.items():
                said += [flag, f"{name}={value}"]
        return shlex.join(["napari-mhim", *said])

    def _features(self) -> list[str]:
        return ["--features", self.features] if self.features else []
