"""The slide with an overlay, its scale, a scale bar in µm and the notice, as PNG."""

from collections.abc import Iterator
from pathlib import Path

from napari_mhim.events import Progress
from napari_mhim.export.drawing import caption, figure
from napari_mhim.export.source import Source
from napari_mhim.workspace import writing

SUFFIX = ".png"
ABOUT = "The slide with the overlay, its colour scale and a scale bar, as PNG."
DPI = 130


def write(source: Source, path: Path) -> Iterator[Progress]:
    """Write the picture; yields once."""
    with figure(source) as drawn, writing(path) as part:
        caption(drawn, source)
        drawn.savefig(
            part,
            format="png",
            dpi=DPI,
            # the layout leaves no room for what stands above a tall slide
            bbox_inches="tight",
            # no more than the program's name
            metadata={"Software": "napari-mhim"},
        )
    yield Progress(f"picture of {source.result.slide}", 1, 1, "files")
