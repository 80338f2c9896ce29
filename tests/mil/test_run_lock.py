"""A run's folder is one process's at a time, and nobody's once that process is dead."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from made_bags import make_bags, small_config

from napari_mhim.errors import TrainingError, WorkspaceError
from napari_mhim.mil.milestones import EpochDone
from napari_mhim.mil.run_lock import FILE, held, refuse_held
from napari_mhim.mil.train import fit
from napari_mhim.training import discard

HOLD = (
    "import sys; from pathlib import Path; from napari_mhim.mil.run_lock import held\n"
    "with held(Path(sys.argv[1])):\n"
    "    print('held', flush=True); sys.stdin.read()\n"
)


@pytest.fixture
def other(tmp_path: Path):
    """Another process at work in the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline().strip() == b"held"
    yield process
    process.kill()
    process.communicate()


def test_another_process_is_locked_out_and_told_by_whom(other, tmp_path: Path) -> None:
    wanted = f"run {tmp_path.name!r} is being trained by process {other.pid} on"
    for attempt in (lambda: held(tmp_path).__enter__(), lambda: refuse_held(tmp_path)):
        with pytest.raises(TrainingError, match=wanted):
            attempt()


def test_training_is_refused_and_nothing_is_written(other, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    bags = make_bags(8)
    with pytest.raises(TrainingError, match="give another name"):
        next(fit(bags[:4], bags[4:], ("a", "b"), small_config(), tmp_path))
    assert sorted(tmp_path.iterdir()) == before == [tmp_path / FILE]


@pytest.mark.skipif(os.name != "posix", reason="signals of another system")
def test_a_killed_process_locks_nobody_out(other, tmp_path: Path) -> None:
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    assert str(other.pid) in (tmp_path / FILE).read_text()
    refuse_held(tmp_path)
    with held(tmp_path):
        pass


def test_a_process_that_ends_locks_nobody_out(other, tmp_path: Path) -> None:
    other.communicate()
    refuse_held(tmp_path)
    assert (tmp_path / FILE).read_text() == ""


def test_asking_makes_no_folder(tmp_path: Path) -> None:
    refuse_held(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_two_runs_of_one_process_are_told_apart(tmp_path: Path) -> None:
    bags = make_bags(8)
    arguments = (bags[:4], bags[4:], ("a", "b"), small_config(), tmp_path)
    first = fit(*arguments)
    while not isinstance(next(first), EpochDone):
        pass
    with pytest.raises(TrainingError, match=f"process {os.getpid()}"):
        next(fit(*arguments))
    # who no longer asks for events holds nothing
    first.close()
    assert next(fit(*arguments)) is not None


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError), held(tmp_path / "file" / "run"):
        pass


def test_a_run_at_work_is_not_discarded(other, tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text("{}")
    with pytest.raises(TrainingError, match="is being trained"):
        discard(tmp_path)
    assert (tmp_path / "settings.json").is_file()
