"""Vectors: encode patches and keep the result."""

from importlib import import_module
from typing import Any

# public name -> where it lives; imported on first use, since torch takes seconds
_PUBLIC = {
    "Encoder": "napari_mhim.features.encoder",
    "ExtractConfig": "napari_mhim.features.config",
    "ExtractDone": "napari_mhim.features.extract",
    "FeatureStore": "napari_mhim.features.store",
    "StoreMeta": "napari_mhim.features.store",
    "StoreWriter": "napari_mhim.features.store",
    "build_encoder": "napari_mhim.features.encoder",
    "encoder_names": "napari_mhim.features.encoder",
    "extract": "napari_mhim.features.extract",
}

__all__ = [*sorted(_PUBLIC)]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
