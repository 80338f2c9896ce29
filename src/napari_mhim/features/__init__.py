"""Vectors: encode patches and keep the result."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_mhim.features.config import ExtractConfig
    from napari_mhim.features.encoder import Encoder, build_encoder, encoder_names
    from napari_mhim.features.extract import ExtractDone, extract
    from napari_mhim.features.store import FeatureStore, StoreMeta, StoreWriter

__all__ = [
    "Encoder",
    "ExtractConfig",
    "ExtractDone",
    "FeatureStore",
    "StoreMeta",
    "StoreWriter",
    "build_encoder",
    "encoder_names",
    "extract",
]

# importing the folder alone must cost nothing
_HOMES = {
    "Encoder": "encoder",
    "ExtractConfig": "config",
    "ExtractDone": "extract",
    "FeatureStore": "store",
    "StoreMeta": "store",
    "StoreWriter": "store",
    "build_encoder": "encoder",
    "encoder_names": "encoder",
    "extract": "extract",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name in _HOMES:
        return getattr(import_module(f"napari_mhim.features.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
