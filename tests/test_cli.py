import inspect
import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from napari_mhim import cli, doctor
from napari_mhim._options import options
from napari_mhim.cli import fields, screen
from napari_mhim.errors import ConfigError
from napari_mhim.events import Progress
from napari_mhim.features.config import ExtractConfig
from napari_mhim.mil.config import TrainConfig
from napari_mhim.mil.milestones import EpochDone

runner = CliRunner()


def _command(name: str) -> dict[str, inspect.Parameter]:
    info = next(
        c
        for c in cli.app.registered_commands
        if (c.name or c.callback.__name__) == name
    )
    return dict(inspect.signature(info.callback).parameters)


@pytest.mark.parametrize(
    ("command", "config"), [("extract", ExtractConfig), ("train", TrainConfig)]
)
def test_a_command_offers_every_plain_setting(command: str, config: type) -> None:
    offered = _command(command)
    for option in options(config):
        if option.is_plain:
            assert offered[option.name].default == option.default


def test_help_lists_the_commands() -> None:
    shown = runner.invoke(cli.app, ["--help"]).output
    for name in ("demo", "doctor", "extract", "train", "predict"):
        assert name in shown


def test_settings_are_json_where_they_can_be() -> None:
    found = fields.pairs(["mask_ratio_high=0.2", "act=gelu", "gated=true"])
    assert found == {"mask_ratio_high": 0.2, "act": "gelu", "gated": True}


def test_a_setting_without_a_value_is_refused() -> None:
    with pytest.raises(ConfigError, match="name=value, got 'gated'"):
        fields.pairs(["gated"])


def test_an_error_is_one_sentence_and_no_traceback(
    tmp_path: Path, monkeypatch, capsys
) -> None:
    missing = str(tmp_path / "none[1].svs")
    monkeypatch.setattr("sys.argv", ["napari-mhim", "extract", missing])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 1
    said = " ".join(capsys.readouterr().err.split())
    assert said.startswith("Error: no file or folder")
    assert "Traceback" not in said


def test_show_keeps_results_and_drops_progress() -> None:
    def job():
        yield Progress("work", 1, 2)
        yield "made"

    assert screen.show(job()) == ["made"]


def test_show_says_how_far_training_is(monkeypatch) -> None:
    told: list[dict] = []
    update = screen.Bars.update

    def spied(self, task, **said) -> None:
        told.append(said)
        update(self, task, **said)

    monkeypatch.setattr(screen.Bars, "update", spied)
    losses, val = {"total": 0.5}, {"auc": 0.75, "loss": 0.4}
    done = EpochDone("mhim", 3, 20, losses, val, True, 0.8, 1.0)
    unknown = replace(done, epoch=4, val={"auc": float("nan"), "loss": 0.4})
    assert screen.show(iter([done, unknown])) == [done, unknown]
    first, second = told
    assert (first["completed"], first["total"], first["unit"]) == (3, 20, "epochs")
    assert first["description"] == "mhim: loss 0.500, validation AUC 0.750"
    assert second["description"] == "mhim: loss 0.500"


def test_doctor_gives_json_and_fails_when_a_check_fails(monkeypatch) -> None:
    found = [
        doctor.Check("PASS", "python", "fine"),
        doctor.Check("FAIL", "torch", "broken", "mend it"),
    ]
    monkeypatch.setattr(doctor, "run_checks", lambda: iter(found))
    done = runner.invoke(cli.app, ["doctor", "--json"])
    assert done.exit_code == 1
    assert json.loads(done.output)[1]["fix"] == "mend it"
