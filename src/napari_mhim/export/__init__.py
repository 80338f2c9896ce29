"""What leaves: tables, GeoJSON, heatmaps, pictures and reports of a result."""

from importlib import import_module
from typing import Any

_PUBLIC = {
    "ExportDone": "napari_mhim.export.exporting",
    "ExportOptions": "napari_mhim.export.options",
    "command_line": "napari_mhim.export.command",
    "export": "napari_mhim.export.exporting",
    "kind_names": "napari_mhim.export.exporting",
    "write": "napari_mhim.export.exporting",
    "write_folder": "napari_mhim.export.folder",
    "write_patches": "napari_mhim.export.tables",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
