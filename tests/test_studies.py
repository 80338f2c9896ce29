"""Studies and presets on the command line, from a table of slides or a folder of features."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from napari_mhim import cli, studies
from napari_mhim.cli.fields import axes
from napari_mhim.errors import CohortError, ConfigError, StoreError
from napari_mhim.events import Note
from napari_mhim.features.config import ExtractConfig
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.config import TrainConfig
from napari_mhim.mil.presets import names
from napari_mhim.mil.study.config import StudyConfig
from napari_mhim.mil.study.running import StudyDone

runner = CliRunner()
QUICK = ("--epochs", "1", "--device", "cpu", "--threads", "1")
SMALL = ("--model-option", "hidden=8", "--model-option", "attention_dim=4")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table of 12 slides whose features another program made, and no slide file."""
    generator = np.random.default_rng(0)
    folder = tmp_path / "features"
    folder.mkdir()
    lines = ["slide,label,patient,fold"]
    for i in range(12):
        label = ("normal", "tumour")[i % 2]
        features = generator.normal(i % 2, 1, size=(30, 6)).astype(np.float32)
        np.save(folder / f"case-{i}.npy", features)
        lines.append(f"case-{i},{label},p{i},{i // 2 % 3}")
    path = tmp_path / "cohort.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def train(table: Path, *options: str) -> Any:
    where = ("--workspace", str(table.parent / "workspace"))
    given = ("--features", str(table.parent / "features"))
    return runner.invoke(
        cli.app, ["train", str(table), *where, *given, *QUICK, *SMALL, *options]
    )


def settings_of(table: Path, run: str) -> dict:
    path = table.parent / "workspace" / "runs" / run / "settings.json"
    return json.loads(path.read_text())


def test_cross_validation_ends_with_a_table(table: Path) -> None:
    done = train(table, "--cv", "3")
    assert done.exit_code == 0, done.output
    for word in ("baseline", "mhim", "pooled AUC", "difference", "study.md"):
        assert word in done.output
    folder = table.parent / "workspace" / "runs" / "study"
    lines = (folder / "splits.csv").read_text().splitlines()[1:]
    tested = {tuple(x.split(",")[1:3]) for x in lines if x.endswith(",test")}
    assert tested == {(str(i // 2 % 3), f"case-{i}") for i in range(12)}


def test_a_study_goes_on_and_another_is_refused(table: Path) -> None:
    assert train(table, "--cv", "3").exit_code == 0
    again = train(table, "--cv", "3")
    assert again.exit_code == 0
    other = train(table, "--cv", "3", "--lr", "0.5")
    assert isinstance(other.exception, ConfigError)
    assert "begun with lr of 'baseline' = 0.0002, asked is 0.5" in str(other.exception)


def test_a_grid_is_read_from_the_command_line(table: Path) -> None:
    done = train(
        table,
        *("--cv", "3", "--recipe", "plain", "--grid", "lr=.001,0.002"),
        *("--grid", "model.gated=true,false", "--run", "grid"),
    )
    assert done.exit_code == 0, done.output
    found = [s["config"] for s in settings_of(table, "grid")["settings"]]
    points = [(c["lr"], c["model_options"]["gated"]) for c in found]
    assert points == [(0.001, True), (0.001, False), (0.002, True), (0.002, False)]


def test_repeats_and_parts_are_flags(table: Path) -> None:
    done = train(table, "--repeats", "2", "--ablate")
    assert done.exit_code == 0, done.output
    found = settings_of(table, "study")
    assert found["study"]["repeats"] == 2
    assert [s["name"] for s in found["settings"]][:2] == ["baseline", "full"]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["lr"], "a grid is name=v1,v2, got 'lr'"),
        (["lr=1,,2"], "a grid is name=v1,v2, got 'lr=1,,2'"),
        (["lr=1", "lr=2"], "the grid names 'lr' twice"),
    ],
)
def test_a_grid_that_cannot_be_read_is_refused(given: list[str], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        axes(given)


def test_values_of_a_grid_are_numbers_where_they_can_be() -> None:
    assert axes(["a=.01,0.2,1", "b=true,auto"]) == {
        "a": [0.01, 0.2, 1],
        "b": [True, "auto"],
    }


def test_features_are_enough_for_a_single_run(table: Path) -> None:
    done = train(table, "--recipe", "plain")
    assert done.exit_code == 0, done.output
    run = table.parent / "workspace" / "runs" / "run"
    assert Bundle.open(run / "bundle").config.in_dim == 6
    assert not (table.parent / "workspace" / "features").exists()


def test_a_single_run_says_what_it_came_to_and_where_it_is(table: Path) -> None:
    done = train(table, "--recipe", "plain", "--balance", "loss")
    said = " ".join(done.output.split())
    assert "Validation AUC" in said
    assert "by which the epoch was chosen" in said
    assert str(Path("runs", "run", "bundle")) in said
    assert settings_of(table, "run")["balance"] == "loss"


@pytest.mark.parametrize(
    "given",
    [
        ("--model-option", "hidden=big"),
        ("--recipe-option", "smallest_masked=few"),
        ("--balance", "never"),
        ("--lr", "inf"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_and_nothing_is_written(
    table: Path, given: tuple[str, str]
) -> None:
    done = train(table, *given)
    assert isinstance(done.exception, ConfigError)
    assert not (table.parent / "workspace" / "runs").exists()


def test_slides_without_features_are_named(table: Path) -> None:
    (table.parent / "features" / "case-3.npy").unlink()
    done = train(table, "--cv", "3")
    assert isinstance(done.exception, CohortError)
    assert "1 of 12 slides have no features" in str(done.exception)
    assert "case-3" in str(done.exception)


def test_features_with_nan_are_named(table: Path) -> None:
    path = table.parent / "features" / "case-3.npy"
    np.save(path, np.full((3, 6), np.nan))
    done = train(table, "--cv", "3")
    assert isinstance(done.exception, StoreError)
    assert "case-3" in str(done.exception)


def test_what_is_said_goes_over_the_preset(table: Path) -> None:
    done = train(
        table,
        *("--preset", "abmil-tcga", "--lr", "0.01", "--run", "preset"),
        *("--recipe-option", "mask_ratio_low=0.1"),
    )
    assert done.exit_code == 0, done.output
    found = settings_of(table, "preset")
    assert (found["lr"], found["epochs"]) == (0.01, 1)  # said
    assert (found["patience"], found["balance"]) == (20, "none")  # the preset's
    options = found["recipe_options"]
    assert (options["mask_ratio_low"], options["mask_ratio_random"]) == (0.1, 0.7)
    assert found["model_options"]["hidden"] == 8
    assert found["model_options"]["dropout"] == 0.25


def test_another_recipe_leaves_the_presets_options(table: Path) -> None:
    done = train(table, "--preset", "abmil-c16", "--recipe", "plain", "--run", "x")
    assert done.exit_code == 0, done.output
    found = settings_of(table, "x")
    assert (found["recipe"], found["recipe_options"]) == ("plain", {})
    assert found["patience"] == 30


def test_a_preset_for_hundreds_of_slides_warns_a_small_cohort(table: Path) -> None:
    done = train(table, "--preset", "abmil-c16", "--recipe", "plain")
    assert "made for some 265 training slides" in " ".join(done.output.split())


def test_presets_are_listed_with_their_source() -> None:
    shown = runner.invoke(cli.app, ["presets"], env={"COLUMNS": "300"}).output
    for name in names():
        assert name in shown
    assert "ICCV 2023" in shown
    assert "IJCV 2025" in shown


def test_a_class_with_fewer_patients_than_folds_is_refused_before_any_work(
    table: Path,
) -> None:
    lines = [line.rpartition(",")[0] for line in table.read_text().splitlines()]
    table.write_text("\n".join(lines) + "\n")
    done = train(table, "--cv", "7")
    assert isinstance(done.exception, CohortError)
    assert "'normal' has 6 patients, 7 folds need 7" in str(done.exception)
    assert not (table.parent / "workspace").exists()


def test_a_study_starts_from_slides_and_says_that_roles_do_not_count(small_run) -> None:
    events = list(
        studies.study(
            small_run.workspace,
            str(Path(small_run.workspace) / "cohort.csv"),
            TrainConfig(epochs=1, recipe="plain", device="cpu", threads=1),
            StudyConfig(cv=2),
            ExtractConfig(mpp=1.0, patch_model_px=64, device="cpu"),
        )
    )
    assert isinstance(events[-1], StudyDone)
    assert events[-1].rows[0].n_folds == 2
    notes = [event.text for event in events if isinstance(event, Note)]
    assert "roles in the table are not regarded" in notes[0]


def test_nothing_to_compare_is_no_study(table: Path) -> None:
    job = studies.study(
        str(table.parent), str(table), TrainConfig(), StudyConfig(), ExtractConfig()
    )
    with pytest.raises(ConfigError, match="repeats or varies something"):
        list(job)
