"""``napari-mhim train``."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from napari_mhim import pipeline
from napari_mhim.cli.app import app
from napari_mhim.cli.fields import (
    FEATURE_OPTIONS,
    Pairs,
    WorkspaceDir,
    pairs,
    takes,
    workspace_of,
)
from napari_mhim.cli.screen import show
from napari_mhim.features.config import ExtractConfig
from napari_mhim.mil.config import TrainConfig


@app.command()
@takes(ExtractConfig, "features", only=FEATURE_OPTIONS)
@takes(TrainConfig, "config")
def train(
    cohort: Annotated[Path, typer.Argument(help="Label table: slide, label, …")],
    config: TrainConfig,
    features: ExtractConfig,
    workspace: WorkspaceDir = None,
    run: Annotated[str, typer.Option(help="Name of the run's folder.")] = "run",
    model_option: Pairs = None,
    recipe_option: Pairs = None,
) -> None:
    """Train a model on a label table; a stopped run of the same name goes on."""
    config = replace(
        config,
        model_options=pairs(model_option),
        recipe_options=pairs(recipe_option),
    )
    features = replace(features, device=config.device)
    show(pipeline.train(workspace_of(workspace), str(cohort), config, features, run))
