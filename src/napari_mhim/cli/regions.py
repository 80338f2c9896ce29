"""``napari-mhim regions``."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from napari_mhim.cli.app import app
from napari_mhim.cli.fields import WorkspaceDir, workspace_of
from napari_mhim.cli.screen import console, escaped
from napari_mhim.slide import SlideIdentity, open_slide, read_regions, write_regions
from napari_mhim.workspace import Workspace

_SAID = {
    "exclude": ("excluded", "excluded"),
    "hint": ("hint", "hints"),
    "note": ("note", "notes"),
}


@app.command()
def regions(
    slide: Annotated[Path, typer.Argument(help="The slide they are of.")],
    file: Annotated[Path, typer.Argument(help="GeoJSON, for instance of QuPath's.")],
    workspace: WorkspaceDir = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Forget those the slide had before.")
    ] = False,
) -> None:
    """Take regions drawn elsewhere: a class that ends in * is left out from now on."""
    with open_slide(slide) as opened:
        identity = SlideIdentity.of(opened)
    place = Workspace(Path(workspace_of(workspace))).regions_path(identity.name)
    read = read_regions(file, identity)
    kept = {}
    if place.is_file() and not replace:
        kept = {one.id: one for one in read_regions(place, identity).regions}
    # one that came before is the same region, drawn further
    kept |= {one.id: one for one in read.regions}
    write_regions(place, kept.values(), identity)
    for note in read.notes:
        console.print(escaped(note), highlight=False)
    counts = Counter(one.kind for one in kept.values())
    words = [f"{n} {_SAID[kind][n > 1]}" for kind, n in counts.items()]
    said = ", ".join(words) or "none"
    console.print(escaped(f"{identity.name}: {said}"), highlight=False)
    console.print(escaped(f"written: {place}"), highlight=False, soft_wrap=True)
