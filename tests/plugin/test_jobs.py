"""Jobs with real child processes."""

import os
import subprocess
import sys
import time
from collections.abc import Callable

import job_generators
import numpy as np
import pytest

from napari_mhim.errors import JobError, NoTissueError
from napari_mhim.events import Note, Progress
from napari_mhim.plugin import jobs
from napari_mhim.plugin.jobs import Job, JobState


class Heard:
    """What a job said, in order."""

    def __init__(self) -> None:
        self.events: list = []
        self.errors: list[Exception] = []
        self.n_done = 0
        self.states: list[JobState] = []

    def start(self, function: Callable, *args, **kwargs) -> Job:
        job = jobs.start(
            function,
            *args,
            on_event=self.events.append,
            on_error=self.errors.append,
            on_done=self._count,
            **kwargs,
        )
        job.state_changed.connect(self.states.append)
        return job

    def _count(self) -> None:
        self.n_done += 1


@pytest.fixture
def heard(qapp) -> Heard:
    return Heard()


def until_over(qtbot, job: Job) -> None:
    qtbot.waitUntil(lambda: job.state.is_over, timeout=60_000)


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().split()[2] != "Z"
    except OSError:
        return False


def test_events_arrive_whole_and_in_order(qtbot, heard: Heard) -> None:
    job = heard.start(job_generators.count, 500, unit="tiles")
    until_over(qtbot, job)
    assert heard.events == [
        Progress("counting", n + 1, 500, "tiles") for n in range(500)
    ]
    assert heard.n_done == 1
    assert heard.errors == []
    assert heard.states == [JobState.DONE]


def test_runs_in_another_process_without_qt_napari_or_torch(
    qtbot, heard: Heard
) -> None:
    job = heard.start(job_generators.where)
    until_over(qtbot, job)
    modules, pid = (event.text for event in heard.events)
    assert int(pid) != os.getpid()
    tops = {name.partition(".")[0] for name in modules.split()}
    assert not tops & {"qtpy", "PyQt6", "PySide6", "napari", "torch"}


def test_arrays_travel(qtbot, heard: Heard) -> None:
    until_over(qtbot, heard.start(job_generators.pictures))
    (picture,) = heard.events
    expected = np.arange(300_000, dtype=np.float32).reshape(300, 1000)
    np.testing.assert_array_equal(picture.pixels, expected)


def test_prints_do_not_disturb_the_messages(qtbot, heard: Heard) -> None:
    until_over(qtbot, heard.start(job_generators.chatter))
    assert heard.events == [Note("after the chatter")]
    assert heard.errors == []


def test_a_runtime_error_is_not_lost(qtbot, heard: Heard) -> None:
    job = heard.start(job_generators.runtime_error)
    until_over(qtbot, job)
    (error,) = heard.errors
    assert isinstance(error, JobError)
    assert "device-side assert triggered" in str(error)
    assert "job_generators.py" in error.__notes__[0]
    assert heard.events == [Note("so far so good")]
    assert (job.state, heard.n_done) == (JobState.FAILED, 0)


def test_an_error_of_ours_keeps_kind_and_sentence(qtbot, heard: Heard) -> None:
    until_over(qtbot, heard.start(job_generators.our_error))
    (error,) = heard.errors
    assert isinstance(error, NoTissueError)
    assert str(error) == "no tissue was found on 'a.svs'"
    assert "Traceback" in error.__notes__[0]


def test_out_of_memory_says_what_to_do(qtbot, heard: Heard) -> None:
    until_over(qtbot, heard.start(job_generators.out_of_memory))
    assert "memory ran out" in str(heard.errors[0])


@pytest.mark.skipif(os.name != "posix", reason="signals are for POSIX")
def test_a_killed_child_is_reported_with_its_exit_code(qtbot, heard: Heard) -> None:
    job = heard.start(job_generators.killed)
    until_over(qtbot, job)
    (error,) = heard.errors
    assert "exit code -9" in str(error)
    assert "start it again" in str(error)
    assert (job.state, heard.n_done) == (JobState.FAILED, 0)


def test_a_crash_is_reported_with_its_last_words(qtbot, heard: Heard) -> None:
    until_over(qtbot, heard.start(job_generators.crashed))
    (error,) = heard.errors
    assert "exit code 3" in str(error)
    assert "driver: cannot go on" in error.__notes__[0]


@pytest.mark.parametrize("generator", [job_generators.endless, job_generators.deaf])
def test_cancel_answers(qtbot, heard: Heard, generator: Callable) -> None:
    job = heard.start(generator)
    qtbot.waitUntil(lambda: len(heard.events) > 0, timeout=60_000)
    pid = int(heard.events[0].text)
    job.cancel()
    n_events, asked = len(heard.events), time.monotonic()
    assert job.state is JobState.STOPPING
    until_over(qtbot, job)
    assert time.monotonic() - asked < 2 * jobs.GRACE_SECONDS
    assert heard.states == [JobState.STOPPING, JobState.CANCELLED]
    assert len(heard.events) == n_events
    assert (heard.errors, heard.n_done) == ([], 0)
    assert not is_alive(pid)


def test_cancelling_twice_or_after_the_end_changes_nothing(qtbot, heard: Heard) -> None:
    job = heard.start(job_generators.count, 1)
    until_over(qtbot, job)
    job.cancel()
    assert job.state is JobState.DONE


def test_what_cannot_travel_is_refused_at_the_door(qapp) -> None:
    with pytest.raises(JobError, match="importable names and plain values"):
        jobs.start(lambda: iter(()))


def test_an_event_that_cannot_travel_is_an_error(qtbot, heard: Heard) -> None:
    until_over(qtbot, heard.start(job_generators.unsendable))
    (error,) = heard.errors
    assert isinstance(error, JobError)


def test_a_job_that_nobody_holds_goes_on(qtbot) -> None:
    import gc

    events: list = []
    jobs.start(job_generators.count, 3, on_event=events.append)
    gc.collect()
    qtbot.waitUntil(lambda: len(events) == 3, timeout=60_000)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_child_dies_with_its_window(tmp_path, qtbot) -> None:
    note = tmp_path / "pid"
    program = f"""
import sys; sys.path[:] = {sys.path!r}
from qtpy.QtCore import QCoreApplication
import job_generators
from napari_mhim.plugin import jobs
app = QCoreApplication([])
jobs.start(job_generators.silent_until_told, {str(note)!r})
app.exec()
"""
    window = subprocess.Popen([sys.executable, "-c", program])
    qtbot.waitUntil(lambda: note.is_file() and bool(note.read_text()), timeout=60_000)
    pid = int(note.read_text())
    assert is_alive(pid)
    window.kill()
    window.wait()
    qtbot.waitUntil(lambda: not is_alive(pid), timeout=10_000)


def test_an_unguarded_script_is_not_run_again_by_its_job(tmp_path, qtbot) -> None:
    script = tmp_path / "unguarded.py"
    ran = tmp_path / "ran"
    script.write_text(f"""
import sys; sys.path[:] = {sys.path!r}
with open({str(ran)!r}, "a") as file:
    file.write("x")
from qtpy.QtCore import QCoreApplication
import job_generators
from napari_mhim.plugin import jobs
app = QCoreApplication([])
jobs.start(job_generators.count, 3, on_done=app.quit)
app.exec()
""")
    subprocess.run([sys.executable, str(script)], check=True, timeout=60)
    assert ran.read_text() == "x"
