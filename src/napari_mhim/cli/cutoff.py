"""``napari-mhim cutoff``."""

from pathlib import Path
from typing import Annotated

import typer

from napari_mhim import tuning
from napari_mhim.cli.app import app
from napari_mhim.cli.fields import Features, WorkspaceDir, workspace_of
from napari_mhim.cli.screen import show


@app.command()
def cutoff(
    bundle: Annotated[Path, typer.Argument(help="Folder of the model.")],
    cohort: Annotated[Path, typer.Argument(help="Label table: slide, label, …")],
    out: Annotated[Path, typer.Option(help="Folder of the model that is written.")],
    workspace: WorkspaceDir = None,
    features: Features = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    mpp: Annotated[
        float | None, typer.Option(help="µm per pixel of slides without their own.")
    ] = None,
) -> None:
    """Choose a model's cut-off anew, for instance for a new scanner; trains nothing."""
    folder = str(features) if features else ""
    place = workspace_of(workspace)
    show(
        tuning.adjust_cutoff(
            str(bundle), str(cohort), str(out), place, device, mpp, folder
        )
    )
