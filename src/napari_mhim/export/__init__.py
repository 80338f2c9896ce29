"""What leaves: tables, heatmaps and pictures of a result."""

from importlib import import_module
from typing import Any

_PUBLIC = {
    "write_folder": "napari_mhim.export.folder",
    "write_heatmap": "napari_mhim.export.heatmap",
    "write_patches": "napari_mhim.export.tables",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
