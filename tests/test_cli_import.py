"""``napari-mhim import``: from a checkpoint to a prediction, and what it asks for."""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from napari_mhim import cli
from napari_mhim.cli import import_
from napari_mhim.errors import ConfigError
from napari_mhim.mil.bundle import Bundle

runner = CliRunner()
SHAPES = {
    "patch_to_emb.0.weight": (8, 12),
    "patch_to_emb.0.bias": (8,),
    "predictor.weight": (2, 8),
    "predictor.bias": (2,),
    "online_encoder.attention.attention.0.weight": (4, 8),
    "online_encoder.attention.attention.2.weight": (1, 4),
}


def save(path: Path, in_dim: int = 12) -> str:
    shapes = {**SHAPES, "patch_to_emb.0.weight": (8, in_dim)}
    generator = torch.Generator().manual_seed(0)
    torch.save(
        {k: torch.randn(s, generator=generator) for k, s in shapes.items()}, path
    )
    return str(path)


def run(*arguments: str, typed: str = "") -> Result:
    return runner.invoke(cli.app, ["import", *arguments], input=typed)


def test_an_imported_model_predicts_a_slide(small_run, tmp_path: Path) -> None:
    trained = Bundle.open(small_run.bundle).config
    checkpoint = save(tmp_path / "best.pt", trained.in_dim)
    bundle = tmp_path / "theirs"
    done = run(
        *(checkpoint, "--out", str(bundle), "--activation", "relu"),
        *("--classes", "normal,tumour", "--encoder", "texture"),
        *("--mpp", "1.0", "--patch-px", "64"),
    )
    assert done.exit_code == 0, done.output
    # the same id as the trained model's, so features that are there are used again
    assert Bundle.open(bundle).config.encoder_id == trained.encoder_id
    predicted = runner.invoke(
        cli.app,
        [
            *("predict", small_run.slides[0], "--model", str(bundle)),
            *("--out", str(tmp_path / "out"), "--workspace", small_run.workspace),
            *("--device", "cpu"),
        ],
    )
    assert predicted.exit_code == 0, predicted.output
    assert any((tmp_path / "out").rglob("*.csv"))


def test_without_a_terminal_nothing_is_asked(tmp_path: Path) -> None:
    checkpoint = save(tmp_path / "best.pt")
    done = run(checkpoint, "--out", str(tmp_path / "b"))
    assert isinstance(done.exception, ConfigError)
    assert "does not say everything, and nothing is guessed; give activation" in str(
        done.exception
    )
    assert not (tmp_path / "b").exists()


def test_on_a_terminal_it_asks_for_what_the_file_does_not_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_, "_is_terminal", lambda: True)
    checkpoint = save(tmp_path / "best.pt")
    done = run(
        *(
            checkpoint,
            "--out",
            str(tmp_path / "b"),
            "--mpp",
            "0.5",
            "--patch-px",
            "256",
        ),
        typed="\nnormal, tumour\nmade#id\n",
    )
    assert done.exit_code == 0, done.output
    config = Bundle.open(tmp_path / "b").config
    assert config.model_options["act"] == "relu"  # the default of its layout
    assert config.classes == ("normal", "tumour")
    assert config.encoder_id == "made#id"


def test_what_was_given_is_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_, "_is_terminal", lambda: True)
    done = run(
        *(
            save(tmp_path / "best.pt"),
            "--out",
            str(tmp_path / "b"),
            "--activation",
            "tanh",
        ),
        *("--classes", "normal", "--classes", "tumour", "--encoder", "made#id"),
        *("--mpp", "0.5", "--patch-px", "256", "--licence", "MIT", "--name", "theirs"),
    )
    assert done.exit_code == 0, done.output
    bundle = Bundle.open(tmp_path / "b")
    assert bundle.name == "theirs"
    assert "best.pt: MIT" in bundle.card


def test_an_option_no_layout_leaves_open_is_refused(tmp_path: Path) -> None:
    done = run(
        *(save(tmp_path / "best.pt"), "--out", str(tmp_path / "b")),
        *("--activation", "relu", "--model-option", "hidden=3"),
    )
    assert "leaves no hidden to choose" in str(done.exception)


def test_training_starts_from_a_bundle(small_run, tmp_path: Path) -> None:
    options = {"epochs": "1", "device": "cpu", "threads": "1", "run": "again"}
    done = runner.invoke(
        cli.app,
        [
            *("train", f"{small_run.workspace}/cohort.csv"),
            *("--workspace", small_run.workspace, "--start-from", small_run.baseline),
            *("--mpp", "1.0", "--patch-model-px", "64"),
            *(word for name, value in options.items() for word in (f"--{name}", value)),
        ],
    )
    assert done.exit_code == 0, done.output
    run = Path(small_run.workspace, "runs", "again")
    assert not (run / "baseline").exists()
    assert Bundle.open(run / "bundle").config.trained["start_from"] == "bundle"
