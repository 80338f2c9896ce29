"""What a run will cost, counted before it starts; runs in a child process."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from napari_mhim.features.cut import Cut, settings_of
from napari_mhim.slide import GridConfig, grid_mpp, open_slide


@dataclass(frozen=True)
class PatchCount:
    """How many patches a model will look at."""

    n: int
    """Patches with enough tissue."""


def count_patches(
    slide: str, config: GridConfig, slide_mpp: float | None, tissue: Path | None = None
) -> Iterator[PatchCount]:
    """Find a slide's tissue and count its patches.

    Parameters
    ----------
    slide : str
        Path of the slide.
    config : GridConfig
        The model's grid.
    slide_mpp : float, optional
        Micrometres per pixel, for a slide that does not say its own.
    tissue : Path, optional
        Where tissue settings may be saved with the slide.

    Yields
    ------
    PatchCount
        Once.

    Raises
    ------
    SlideError, UnknownMppError, NoTissueError
        If the slide cannot be used.
    """
    with open_slide(slide) as opened:
        mpp = grid_mpp(opened, slide_mpp)
        grid = Cut(opened, mpp, config, settings_of(tissue, opened)).grid()
    yield PatchCount(len(grid))
