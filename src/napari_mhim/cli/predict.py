"""``napari-mhim predict``."""

from pathlib import Path
from typing import Annotated

import typer

from napari_mhim import pipeline
from napari_mhim.cli.app import app
from napari_mhim.cli.fields import (
    Renew,
    Slides,
    WorkspaceDir,
    asked,
    takes,
    workspace_of,
)
from napari_mhim.cli.screen import console, escaped, fail_if_any, show
from napari_mhim.slide.files import slide_files
from napari_mhim.slide.tissue import TissueConfig


@app.command()
@takes(TissueConfig, "tissue")
def predict(
    slides: Slides,
    tissue: TissueConfig,
    model: Annotated[Path, typer.Option(help="Folder of the bundle.")],
    out: Annotated[Path, typer.Option(help="Folder of what is written.")],
    workspace: WorkspaceDir = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    mpp: Annotated[
        float | None, typer.Option(help="µm per pixel of slides without their own.")
    ] = None,
    renew: Renew = False,
    table: Annotated[str, typer.Option(help="csv or parquet.")] = "csv",
) -> None:
    """Run a bundle on slides: probabilities, a table of patches, a heatmap."""
    from napari_mhim.export.folder import write_folder

    found = slide_files(slides)
    place = workspace_of(workspace)
    events = pipeline.predict_slides(
        found, str(model), place, device, mpp, asked(tissue), renew
    )
    done = show(events)
    for event in done:
        if isinstance(event, pipeline.PredictDone):
            folder = out if len(found) == 1 else out / Path(event.slide).stem
            written = write_folder(event.result_path, event.slide, folder, table)
            console.print(f"written: {escaped(str(written))}", highlight=False)
    fail_if_any(done, len(found))
