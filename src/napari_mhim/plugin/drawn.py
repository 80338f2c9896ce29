"""Regions of the open slide as the workspace has them; no Qt.

Exclusions and hints lie in one file and are drawn in different parts of the window, so
each part reads the file again before it writes what is its own.
"""

from collections.abc import Iterable
from pathlib import Path

from napari_mhim.errors import MhimError
from napari_mhim.plugin.desk import Desk
from napari_mhim.slide.regions import (
    Region,
    SlideIdentity,
    clipped,
    read_regions,
    write_regions,
)
from napari_mhim.workspace import Workspace


class Drawn:
    """Regions of some kinds on the open slide.

    Parameters
    ----------
    desk : Desk
        What the dock works with; what cannot be read or written is told there.
    kinds : str
        Of ``slide.regions.KINDS``.
    """

    def __init__(self, desk: Desk, *kinds: str) -> None:
        self._desk, self._kinds = desk, kinds

    @property
    def path(self) -> Path | None:
        """Give the file of the open slide's regions, None without a slide."""
        slide = self._desk.state.slide
        if slide is None:
            return None
        return Workspace(self._desk.runs.workspace).regions_path(slide.name)

    def read(self) -> tuple[Region, ...]:
        """Give the slide's regions of these kinds, in the file's order."""
        try:
            found = self._all()
        except MhimError as err:
            self._desk.state.tell(err)
            return ()
        return tuple(one for one in found if one.kind in self._kinds)

    def write(self, regions: Iterable[Region]) -> bool:
        """Write the slide's regions of these kinds; others stay as the file has them.

        Parameters
        ----------
        regions : iterable of Region
            Of these kinds; what lies outside the slide is cut off.

        Returns
        -------
        bool
            Whether it was written.
        """
        slide, path = self._desk.canvas.slide(), self.path
        if slide is None or path is None:
            return False
        cut = [clipped(one, slide.shape) for one in regions]
        inside = [one for one in cut if one is not None]
        try:
            others = [one for one in self._all() if one.kind not in self._kinds]
            write_regions(path, (*inside, *others), SlideIdentity.of(slide))
        except MhimError as err:
            self._desk.state.tell(err)
            return False
        self._desk.state.regions += 1
        return True

    def _all(self) -> tuple[Region, ...]:
        slide, path = self._desk.canvas.slide(), self.path
        if slide is None or path is None or not path.is_file():
            return ()
        return read_regions(path, SlideIdentity.of(slide)).regions
