"""Where a run stands: paused, resumed, stopped, failed; without a window or a child."""

import math
import shlex
from pathlib import Path

import pytest
from psygnal import Signal
from typer.testing import CliRunner

from napari_mhim import cli, studies
from napari_mhim.errors import JobError
from napari_mhim.mil.milestones import EpochDone, FitDone
from napari_mhim.plugin import jobs, sample_data
from napari_mhim.plugin import training_words as said
from napari_mhim.plugin.desk import Desk
from napari_mhim.plugin.jobs import JobState
from napari_mhim.plugin.runs import Runs
from napari_mhim.plugin.state.desk import DeskState
from napari_mhim.plugin.state.training import (
    CROSS_VALIDATION,
    CUTOFF,
    NEW,
    Status,
)
from napari_mhim.plugin.trainings import Trainings
from napari_mhim.plugin.widgets.train import TrainTab
from napari_mhim.plugin.worklist import Worklist

ROWS = "slide,label\n" + "".join(f"s{i},{'ab'[i % 2]}\n" for i in range(24))


class Child:
    """A job that does what the test says."""

    state_changed = Signal(JobState)

    def __init__(self, function, *args, on_event, on_error) -> None:
        self.call = (function, *args)
        self.say, self.on_error = on_event, on_error
        self.state = JobState.RUNNING

    def cancel(self) -> None:
        self.become(JobState.STOPPING)

    def become(self, state: JobState) -> None:
        self.state = state
        self.state_changed.emit(state)

    def fail(self) -> None:
        self.on_error(JobError("the job failed: out of luck"))
        self.become(JobState.FAILED)


@pytest.fixture
def children(monkeypatch) -> list[Child]:
    started: list[Child] = []

    def start(*args, **kwargs) -> Child:
        started.append(Child(*args, **kwargs))
        return started[-1]

    monkeypatch.setattr(jobs, "start", start)
    return started


@pytest.fixture
def trainings(tmp_path: Path, children) -> Trainings:
    runs = Runs(DeskState(), tmp_path, "cpu")
    made = Trainings(Desk(runs.state, None, runs, None))
    (tmp_path / "t.csv").write_text(ROWS)
    made.state.table = str(tmp_path / "t.csv")
    made.look()
    return made


def started(trainings: Trainings) -> Trainings:
    assert trainings.can_start() is None
    trainings.start()
    assert trainings.state.status is Status.RUNNING
    return trainings


def test_a_paused_run_resumes_with_what_it_was_asked_for(trainings, children) -> None:
    state = started(trainings).state
    trainings.pause()
    assert state.status is Status.STOPPING
    children[0].become(JobState.CANCELLED)
    assert state.status is Status.PAUSED
    assert "unfinished run waits" in trainings.can_start()
    trainings.resume()
    assert state.status is Status.RUNNING
    assert children[1].call == children[0].call


def test_a_paused_run_can_be_stopped_and_discarded(trainings, children) -> None:
    state = started(trainings).state
    trainings.pause()
    children[0].become(JobState.CANCELLED)
    trainings.stop()
    assert (state.status, len(children)) == (Status.STOPPED, 1)
    folder = trainings.folder
    assert folder.is_dir()
    trainings.discard()
    assert (state.status, folder.exists()) == (Status.IDLE, False)


def test_cancelled_below_is_stopped(trainings, children) -> None:
    started(trainings)
    trainings.desk.runs.cancel()
    children[0].become(JobState.CANCELLED)
    assert trainings.state.status is Status.STOPPED


def test_a_failure_is_told_and_can_be_resumed(trainings, children) -> None:
    state = started(trainings).state
    children[0].fail()
    assert state.status is Status.FAILED
    assert "out of luck" in trainings.desk.state.problem
    trainings.resume()
    assert (state.status, len(children)) == (Status.RUNNING, 2)
    # what failed once and is paused then has not failed
    trainings.pause()
    children[1].become(JobState.CANCELLED)
    assert state.status is Status.PAUSED


def test_a_child_that_cannot_be_started_is_a_failure(trainings, monkeypatch) -> None:
    def refuse(*args, **kwargs) -> None:
        raise JobError("no process could be started")

    monkeypatch.setattr(jobs, "start", refuse)
    trainings.start()
    assert trainings.state.status is Status.FAILED
    assert "No process" in trainings.desk.state.problem


def test_a_finished_run_is_done(trainings, children) -> None:
    started(trainings)
    children[0].say(FitDone(str(sample_data.folder() / "bundle")))
    children[0].become(JobState.DONE)
    assert trainings.state.status is Status.DONE
    assert trainings.desk.state.bundle is not None


def test_nothing_is_started_twice(trainings, children) -> None:
    started(trainings)
    assert "A job is running" in trainings.can_start()
    trainings.start()
    assert len(children) == 1


def test_an_unfinished_run_is_not_begun_again(trainings, children) -> None:
    started(trainings)
    trainings.pause()
    children[0].become(JobState.CANCELLED)
    asked = (trainings.folder / "asked.json").read_bytes()
    again = Trainings(trainings.desk)
    again.state.table, again.state.run = trainings.state.table, trainings.state.run
    again.state.given = {"epochs": 3}
    again.look()
    assert "was begun and is not finished" in again.can_start()
    again.start()
    assert len(children) == 1
    assert (trainings.folder / "asked.json").read_bytes() == asked
    assert again.unfinished_runs() == (trainings.state.run,)


def test_rate_learning_rate_and_memory_are_said_while_it_runs(
    trainings, children
) -> None:
    started(trainings)
    losses, val = {"total": 1.0}, {"auc": math.nan, "loss": 1.0}
    child, more = children[0], (2e-4, 1536.0, 700.0)
    child.say(EpochDone("mhim", 1, 5, losses, val, True, 0.9, 12.3, *more))
    text = trainings.state.summary()
    assert "12 s an epoch · learning rate 0.0002" in text
    assert "memory 1.5 GiB, GPU 700 MiB" in text
    assert "at most 49 s left" in text
    trainings.pause()
    child.become(JobState.CANCELLED)
    assert "memory" not in trainings.state.summary()


def test_few_slides_are_to_be_cross_validated_and_the_command_does(
    trainings, monkeypatch
) -> None:
    state = trainings.state
    assert state.wants_cross_validation
    assert "24 slides are few" in said.few_slides(state.split.n_slides)
    assert CROSS_VALIDATION in said.few_slides(state.split.n_slides)
    state.given = {"epochs": 7}
    heard = []
    monkeypatch.setattr(studies, "study", lambda *args: heard.append(args) or iter(()))
    program, *arguments = shlex.split(trainings.cross_validation())
    done = CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
    assert (program, done.exit_code) == ("napari-mhim", 0)
    _, table, config, study, _, run, _ = heard[0]
    assert (table, run) == (state.table, f"{state.run}-cv")
    assert (study.cv, study.repeats, config.epochs) == (5, 3, 7)
    assert config == trainings.config()


@pytest.mark.parametrize(("way", "n"), [(NEW, 60), (CUTOFF, 24)])
def test_many_slides_or_no_training_need_no_such_advice(trainings, way, n) -> None:
    rows = "slide,label\n" + "".join(f"s{i},{'ab'[i % 2]}\n" for i in range(n))
    Path(trainings.state.table).write_text(rows)
    trainings.state.way = way
    trainings.look()
    assert not trainings.state.wants_cross_validation


BUTTONS = ("pause", "resume", "stop", "discard", "keep_best", "keep_last", "another")


@pytest.mark.qt
@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        (Status.IDLE, ""),
        (Status.RUNNING, "pause stop"),
        (Status.STOPPING, "pause stop"),
        (Status.PAUSED, "resume stop"),
        (Status.STOPPED, "resume discard"),
        (Status.FAILED, "resume discard"),
        (Status.DONE, "another"),
    ],
)
def test_buttons_follow_the_status(qtbot, trainings, status, wanted: str) -> None:
    tab = TrainTab(trainings, Worklist(trainings.desk))
    qtbot.addWidget(tab)
    trainings.state.status = status
    shown = [name for name in BUTTONS if getattr(tab, name).isVisibleTo(tab)]
    assert shown == [name for name in BUTTONS if name in wanted.split()]
    assert tab.pause.isEnabled() == (status is not Status.STOPPING)
