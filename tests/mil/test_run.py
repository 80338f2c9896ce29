"""The run's folder: what it keeps, and that another run is not mixed into it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from made_bags import CLASSES, small_config

from napari_mhim.errors import ConfigError, TrainingError, WorkspaceError
from napari_mhim.mil.cohort import Cohort, CohortRow
from napari_mhim.mil.run import RunFolder, environment

COHORT = Cohort.of(
    [
        CohortRow("a", label="normal", role="train"),
        CohortRow("b", label="tumour", role="train"),
        CohortRow("c", label="tumour", role="test"),
    ],
    CLASSES,
)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "runs" / "one")
    folder.begin(small_config(threads=2), COHORT)
    return folder


def test_settings_splits_and_versions_are_on_disk(run: RunFolder) -> None:
    settings = json.loads((run.path / "settings.json").read_text())
    assert settings["recipe_options"] == {"mask_ratio_high": 0.1}
    assert settings["classes"] == list(CLASSES)
    assert Cohort.read(run.path / "splits.csv", CLASSES) == COHORT
    assert json.loads((run.path / "environment.json").read_text()) == environment()


def test_threads_of_a_run_are_chosen_once(run: RunFolder) -> None:
    assert run.begin(small_config(threads=1), COHORT).threads == 2


def test_other_settings_are_refused(run: RunFolder) -> None:
    with pytest.raises(ConfigError, match=r"begun with epochs = 3, asked is 9"):
        run.begin(small_config(epochs=9), COHORT)


@pytest.mark.parametrize("change", [{"label": "normal"}, {"role": "val"}])
def test_other_slides_are_refused(run: RunFolder, change: dict[str, str]) -> None:
    rows = [*COHORT.rows[:2], replace(COHORT.rows[2], **change)]
    with pytest.raises(TrainingError, match="begun on other slides"):
        run.begin(small_config(), Cohort.of(rows, CLASSES))


def test_damaged_settings_are_refused(run: RunFolder) -> None:
    (run.path / "settings.json").write_text("{")
    with pytest.raises(TrainingError, match="no settings that can be read"):
        run.begin(small_config(), COHORT)


def test_the_log_is_cut_back_to_the_checkpoint(run: RunFolder) -> None:
    run.log("epoch", {"epoch": 1})
    size = run.log_size()
    run.log("epoch", {"epoch": 2})
    run.rewind_log(size)
    assert run.events_path.read_text() == '{"event": "epoch", "epoch": 1}\n'
    run.rewind_log(size + 100)
    assert run.log_size() == size


def test_versions_name_what_computes() -> None:
    assert {"napari-mhim", "python", "torch", "numpy"} <= set(environment())


def test_what_a_killed_process_left_is_swept(run: RunFolder) -> None:
    (run.path / "scores").mkdir()
    (run.path / "scores" / ".epoch-0001.npz.77.part").write_bytes(b"half")
    (run.path / ".bundle.77.part").mkdir()
    (run.path / ".bundle.77.part" / "config.json").write_text("{}")
    kept = {path.name for path in run.path.iterdir()} - {".bundle.77.part"}
    run.begin(small_config(), COHORT)
    assert {path.name for path in run.path.iterdir()} == kept
    assert not list((run.path / "scores").iterdir())


def _finished(folder: RunFolder) -> RunFolder:
    for name in ("checkpoint.pt", "best.pt", "bundle/model.safetensors"):
        (folder.path / name).parent.mkdir(exist_ok=True)
        (folder.path / name).write_text(name)
    folder.log("epoch", {"epoch": 1})
    return folder


def _refuse_links(*_: object) -> None:
    raise OSError("another disk")


@pytest.mark.parametrize("has_links", [True, False])
def test_a_finished_run_becomes_a_baseline_and_stays_as_it_is(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    if not has_links:
        monkeypatch.setattr("os.link", _refuse_links)
    finished, taker = _finished(run), RunFolder(tmp_path / "runs" / "two")
    taker.path.mkdir()
    taker.adopt(finished)
    baseline = RunFolder(taker.path / "baseline")
    for file in finished.path.rglob("*"):
        copy = baseline.path / file.relative_to(finished.path)
        assert (
            copy.is_dir() if file.is_dir() else copy.read_bytes() == file.read_bytes()
        )
    before = finished.events_path.read_text()
    baseline.log("epoch", {"epoch": 2})
    assert finished.events_path.read_text() == before


def test_a_baseline_taken_over_is_not_taken_again(
    run: RunFolder, tmp_path: Path
) -> None:
    finished, taker = _finished(run), RunFolder(tmp_path / "runs" / "two")
    taker.path.mkdir()
    taker.adopt(finished)
    (taker.path / "baseline" / "mark").touch()
    taker.adopt(finished)
    assert (taker.path / "baseline" / "mark").exists()


def test_a_baseline_that_cannot_be_taken_over_is_told(
    run: RunFolder, tmp_path: Path
) -> None:
    taker = RunFolder(tmp_path / "file" / "two")
    (tmp_path / "file").touch()
    with pytest.raises(WorkspaceError, match="two"):
        taker.adopt(_finished(run))
