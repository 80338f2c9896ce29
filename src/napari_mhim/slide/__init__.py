"""Pixels: open slides lazily, find tissue, lay the patch grid, read patches."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_mhim.slide.opening import fingerprint, open_slide
    from napari_mhim.slide.patches import PatchBatch, read_patches
    from napari_mhim.slide.regions import (
        Region,
        SlideIdentity,
        cells_excluded,
        cells_inside,
        read_regions,
        region,
        write_regions,
    )
    from napari_mhim.slide.slide import Slide, TileSource
    from napari_mhim.slide.tiling import GridConfig, PatchGrid, grid_mpp, patch_grid
    from napari_mhim.slide.tissue import TissueConfig, TissueMask, tissue_mask
    from napari_mhim.slide.write import write_pyramid

__all__ = [
    "GridConfig",
    "PatchBatch",
    "PatchGrid",
    "Region",
    "Slide",
    "SlideIdentity",
    "TileSource",
    "TissueConfig",
    "TissueMask",
    "cells_excluded",
    "cells_inside",
    "fingerprint",
    "grid_mpp",
    "open_slide",
    "patch_grid",
    "read_patches",
    "read_regions",
    "region",
    "tissue_mask",
    "write_pyramid",
    "write_regions",
]

_HOMES = {
    "GridConfig": "tiling",
    "PatchBatch": "patches",
    "PatchGrid": "tiling",
    "Region": "regions",
    "Slide": "slide",
    "SlideIdentity": "regions",
    "TileSource": "slide",
    "TissueConfig": "tissue",
    "TissueMask": "tissue",
    "cells_excluded": "regions",
    "cells_inside": "regions",
    "fingerprint": "opening",
    "grid_mpp": "tiling",
    "open_slide": "opening",
    "patch_grid": "tiling",
    "read_patches": "patches",
    "read_regions": "regions",
    "region": "regions",
    "tissue_mask": "tissue",
    "write_pyramid": "write",
    "write_regions": "regions",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"napari_mhim.slide.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
