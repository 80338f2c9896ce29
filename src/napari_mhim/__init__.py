"""Whole-slide images in napari: see, train and fine-tune MHIM multiple-instance models."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# public name -> where it lives; imported on first use, since torch takes seconds
_PUBLIC = {
    "Bundle": "napari_mhim.mil.bundle",
    "FeatureStore": "napari_mhim.features.store",
    "MhimError": "napari_mhim.errors",
    "SlideResult": "napari_mhim.mil.result",
    "open_slide": "napari_mhim.slide",
}

__all__ = [*sorted(_PUBLIC), "__version__"]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
