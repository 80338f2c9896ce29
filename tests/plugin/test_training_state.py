"""What the Train tab knows: settings, split, why it cannot start, how a run goes."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from napari_mhim import cli, pipeline, tuning
from napari_mhim.errors import ConfigError
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.cohort import Cohort, CohortRow
from napari_mhim.mil.config import TrainConfig
from napari_mhim.mil.milestones import EpochDone
from napari_mhim.plugin import sample_data
from napari_mhim.plugin import training_words as said
from napari_mhim.plugin.state.training import CUTOFF, NEW, TUNE, Status, TrainingState
from napari_mhim.workspace import Workspace


@pytest.fixture
def bundle() -> Bundle:
    return Bundle.open(sample_data.folder() / "bundle")


def table(n: int = 12, **changes: str) -> Cohort:
    rows = [
        CohortRow(
            f"new-{i}", label=("normal", "tumour")[i % 2], patient=f"p{i // 2 * 2}"
        )
        for i in range(n)
    ]
    rows = [replace(row, patient=f"{row.label}-{row.patient}") for row in rows]
    return Cohort.of([replace(row, **changes) for row in rows])


def epoch(number: int, auc: float, best: bool, stage: str = "mhim") -> EpochDone:
    losses = {"total": 1.0, "classification": 0.8}
    return EpochDone(
        stage, number, 5, losses, {"auc": auc, "loss": 1.0}, best, 0.9, 2.0
    )


def test_fine_tuning_fills_the_form_from_the_model(bundle: Bundle) -> None:
    state = TrainingState(way=TUNE, given={"tune": "head"})
    config = state.config(bundle, "cpu", 12)
    assert (config.model, config.recipe) == (bundle.config.model, bundle.config.recipe)
    assert config.start_from == str(bundle.path)
    assert (config.tune, config.epochs) == ("head", 30)


def test_a_new_model_takes_the_preset_and_what_is_given_goes_over_it() -> None:
    state = TrainingState(given={"epochs": 7, "model": "mean"}, preset="abmil-c16")
    config = state.config(None, "cpu", 12)
    assert (config.model, config.epochs, config.fine_tune) == ("mean", 7, False)
    assert config.model_options == {}  # the preset's are another model's


def test_a_setting_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="epochs must be"):
        TrainingState(given={"epochs": 0}).config(None, "cpu", 12)


def test_the_split_is_by_patient_and_counted(tmp_path: Path, bundle: Bundle) -> None:
    state = TrainingState()
    state.look(table(24), Workspace(tmp_path), None)
    assert state.refused == ""
    assert set(state.split.counts) == {"train", "val", "test"}
    assert sum(n for pairs in state.split.counts.values() for n, _ in pairs) == 24
    assert state.split.drawn
    text = said.split_table(state.split)
    assert "Drawn by patient" in text
    assert "too few to tell" in text


def test_fine_tuning_holds_no_slide_out_unasked(tmp_path: Path, bundle: Bundle) -> None:
    state = TrainingState(way=TUNE)
    state.look(table(24), Workspace(tmp_path), bundle)
    assert set(state.split.counts) == {"train", "val"}


def test_locked_slides_are_shown_as_held_out(tmp_path: Path, bundle: Bundle) -> None:
    place = Workspace(tmp_path)
    place.locked_path.write_text("new-0\nnew-1\n")
    state = TrainingState(way=TUNE)
    state.look(table(24), place, bundle)
    assert state.split.counts["test"] == ((1, 1), (1, 1))


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        (table(12, label="tumour"), "two classes"),
        (table(2), "patient"),
    ],
)
def test_slides_that_cannot_be_trained_on_are_refused_in_words(
    tmp_path: Path, rows: Cohort, wanted: str
) -> None:
    state = TrainingState(table="t.csv", run="r")
    state.look(rows, Workspace(tmp_path), None)
    assert wanted in state.refused
    assert wanted in state.can_start(True, False)


def test_the_models_own_slides_are_no_new_ones(tmp_path: Path, bundle: Bundle) -> None:
    own = Cohort.of([CohortRow("case-03", label="tumour")], bundle.config.classes)
    assert bundle.config.role_of("case-03") != "not in the cohort"
    state = TrainingState(way=TUNE)
    state.look(own, Workspace(tmp_path), bundle)
    assert "already" in state.refused


@pytest.mark.parametrize(
    ("changes", "has_bundle", "is_busy", "reason"),
    [
        ({}, True, True, "A job is running"),
        ({"status": Status.RUNNING}, True, False, "A job is running"),
        ({"way": TUNE}, False, False, "Choose the model"),
        ({"way": CUTOFF}, False, False, "Choose the model"),
        ({"table": ""}, True, False, "Choose a label table"),
        ({"run": " "}, True, False, "Give the run a name"),
        ({"status": Status.STOPPED}, True, False, "An unfinished run waits"),
        ({}, False, False, None),
        ({"table": "", "takes_list": True}, False, False, None),
    ],
)
def test_it_says_why_it_cannot_start(
    changes: dict, has_bundle: bool, is_busy: bool, reason: str | None
) -> None:
    state = TrainingState(**{"table": "t.csv", "run": "r", "way": NEW, **changes})
    found = state.can_start(has_bundle, is_busy)
    assert found is None if reason is None else found.startswith(reason)


def test_the_best_epoch_is_that_of_the_last_stage() -> None:
    state = TrainingState(status=Status.RUNNING)
    for done in (
        epoch(1, 0.9, True, "baseline"),
        epoch(1, 0.6, True),
        epoch(2, 0.7, True),
        epoch(3, 0.5, False),
    ):
        state.take(done)
    assert state.best == 2
    assert "best so far: epoch 2" in state.summary()
    assert "at most 4 s left" in state.summary()


def test_an_epoch_done_again_is_not_drawn_twice() -> None:
    state = TrainingState()
    for done in (epoch(1, 0.5, True), epoch(2, 0.4, False), epoch(2, 0.6, True)):
        state.take(done)
    assert [done.val["auc"] for done in state.epochs] == [0.5, 0.6]


def heard(monkeypatch, module: object, name: str) -> list[tuple]:
    calls: list[tuple] = []

    def listen(*arguments: object) -> list[object]:
        calls.append(arguments)
        return []

    monkeypatch.setattr(module, name, listen)
    return calls


def ran(command: str) -> None:
    program, *arguments = shlex.split(command)
    assert program == "napari-mhim"
    done = CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output


def test_the_command_of_a_new_model_runs_with_the_same_settings(
    monkeypatch, tmp_path: Path
) -> None:
    calls = heard(monkeypatch, pipeline, "train")
    given = {"epochs": 7, "lr": 1e-3, "recipe_options": {"momentum": 0.5}, "amp": True}
    state = TrainingState(table="a b.csv", run="r 1", given=given)
    config = state.config(None, "cpu", 12)
    ran(state.command(None, config, str(tmp_path)))
    place, cohort, asked, extract, run, _ = calls[0]
    assert (place, cohort, run) == (str(tmp_path), "a b.csv", "r 1")
    assert asked == config
    assert extract.encoder == "texture"


def test_the_command_of_fine_tuning_does_too(
    monkeypatch, tmp_path: Path, bundle: Bundle
) -> None:
    calls = heard(monkeypatch, tuning, "fine_tune")
    state = TrainingState(
        **{"way": TUNE, "table": "t.csv", "run": "r", "mix": "old.csv"},
        given={"tune": "head", "epochs": 3, "recipe_options": {"momentum": 0.5}},
    )
    config = state.config(bundle, "cpu", 12)
    ran(state.command(bundle, config, str(tmp_path)))
    _, cohort, asked, run, _, mix, checked, _ = calls[0]
    assert (cohort, run, mix, checked) == ("t.csv", "r", "old.csv", "unknown")
    assert asked == config


def test_the_command_of_a_cutoff_does_too(
    monkeypatch, tmp_path: Path, bundle: Bundle
) -> None:
    calls = heard(monkeypatch, tuning, "adjust_cutoff")
    state = TrainingState(way=CUTOFF, table="t.csv", run="r")
    ran(state.command(bundle, TrainConfig(device="cpu"), str(tmp_path)))
    out = str(tmp_path / "runs" / "r" / "bundle")
    assert calls[0][:4] == (str(bundle.path), "t.csv", out, str(tmp_path))
