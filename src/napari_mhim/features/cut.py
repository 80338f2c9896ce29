"""How a slide is cut into patches: its scale, its grid, its tissue; and whether a store is."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from napari_mhim.features.store import FeatureStore
from napari_mhim.slide.slide import Slide
from napari_mhim.slide.tiling import GridConfig, PatchGrid, patch_grid
from napari_mhim.slide.tissue import TissueConfig, tissue_mask
from napari_mhim.slide.tissue_file import as_text, differences, read_tissue


@dataclass(frozen=True, eq=False)
class Cut:
    """One slide and how its patches are to be cut."""

    slide: Slide
    """Open."""
    mpp: tuple[float, float]
    """(y, x) µm per level-0 pixel."""
    config: GridConfig
    """Scale, patch, overlap and least share of tissue."""
    tissue: TissueConfig
    """What counts as tissue."""

    @cached_property
    def _grid(self) -> PatchGrid:
        mask = tissue_mask(self.slide, self.tissue, self.mpp)
        return patch_grid(self.slide.shape, self.mpp, mask, self.config)

    def grid(self) -> PatchGrid:
        """Find the tissue and lay the grid; the second time it is known.

        Returns
        -------
        PatchGrid
            The patches.

        Raises
        ------
        NoTissueError
            If none holds enough tissue.
        """
        return self._grid

    def differs_from(self, store: FeatureStore) -> str:
        """Say why the patches of a store are not these.

        Other settings may well find the same tissue: then the slide is looked at, and
        only other patches count. Features from before settings were noted are taken for
        those of the defaults.

        Parameters
        ----------
        store : FeatureStore
            Of the same slide, encoder and grid.

        Returns
        -------
        str
            One sentence with the way out; "" where they are the same.
        """
        theirs, wanted = store.meta.tissue, as_text(self.tissue)
        if theirs == wanted or (not theirs and self.tissue == TissueConfig()):
            return ""
        if np.array_equal(store.grid.cells, self.grid().cells):
            return ""
        told = differences(theirs, wanted) or "settings that were not noted"
        return (
            f"features {str(store.path)!r} were made with other tissue settings ({told}) "
            "and of other patches; make them anew (--renew), or go back to those settings"
        )


def settings_of(tissue: TissueConfig | Path | None, slide: Slide) -> TissueConfig:
    """Give the tissue settings in force for a slide.

    Parameters
    ----------
    tissue : TissueConfig or Path, optional
        The settings, or the file in which they may be saved with the slide.
    slide : Slide
        The slide.

    Returns
    -------
    TissueConfig
        The defaults where nothing is given or saved.

    Raises
    ------
    ConfigError
        If the file is damaged, or of another slide.
    """
    if isinstance(tissue, Path):
        tissue = read_tissue(tissue, slide.fingerprint)
    return tissue or TissueConfig()
