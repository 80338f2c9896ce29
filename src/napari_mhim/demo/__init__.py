"""The demo: made slides, a baseline and MHIM trained on them, and what came out."""

from importlib import import_module
from typing import Any

_PUBLIC = {
    "DemoDone": "napari_mhim.demo.stages",
    "StageDone": "napari_mhim.demo.stages",
    "run": "napari_mhim.demo.stages",
    "window_command": "napari_mhim.demo.stages",
    "figures": "napari_mhim.demo.figures",
    "report": "napari_mhim.demo.figures",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
