"""``napari-mhim evaluate``."""

from pathlib import Path
from typing import Annotated

import typer

from napari_mhim import assessment
from napari_mhim.cli.app import app
from napari_mhim.cli.fields import Features, WorkspaceDir, workspace_of
from napari_mhim.cli.screen import console, escaped, show


@app.command()
def evaluate(
    bundle: Annotated[Path, typer.Argument(help="Folder of the model.")],
    cohort: Annotated[Path, typer.Argument(help="Label table: slide, label, …")],
    role: Annotated[
        str,
        typer.Option(help="test (never seen by the model), val, train or all."),
    ] = "test",
    workspace: WorkspaceDir = None,
    features: Features = None,
    out: Annotated[Path | None, typer.Option(help="Folder of what is written.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    mpp: Annotated[
        float | None, typer.Option(help="µm per pixel of slides without their own.")
    ] = None,
) -> None:
    """Judge a model by labelled slides: figures with intervals, tables, pictures."""
    place = workspace_of(workspace)
    folder = str(out) if out else ""
    done = show(
        assessment.evaluate(
            str(bundle),
            str(cohort),
            place,
            role,
            folder,
            device,
            mpp,
            str(features) if features else "",
        )
    )
    for event in done:
        if isinstance(event, assessment.EvaluateDone):
            console.print(escaped(event.text), highlight=False, soft_wrap=True)
            console.print(f"written: {escaped(event.folder)}", highlight=False)
