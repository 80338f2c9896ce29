"""``napari-mhim export``."""

from pathlib import Path
from typing import Annotated

import typer

from napari_mhim.cli.app import app
from napari_mhim.cli.fields import takes
from napari_mhim.cli.screen import show
from napari_mhim.export.exporting import export as export_as
from napari_mhim.export.exporting import kind_names
from napari_mhim.export.options import ExportOptions


@app.command()
@takes(ExportOptions, "options")
def export(
    options: ExportOptions,
    result: Annotated[Path, typer.Argument(help="Result file of the slide.")],
    slide: Annotated[Path, typer.Option(help="The slide it is of.")],
    names: Annotated[
        str,
        typer.Option("--as", help=f"Kinds, with commas: {', '.join(kind_names())}."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of what is written.")],
) -> None:
    """Write a result as tables, QuPath GeoJSON, OME-TIFF, picture or report."""
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    show(export_as(str(result), str(slide), str(out), chosen, options))
