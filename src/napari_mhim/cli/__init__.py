"""``napari-mhim``: everything the window does, without a window. A file is a command."""

from napari_mhim.cli import (
    cutoff,
    demo,
    doctor,
    evaluate,
    export,
    extract,
    import_,
    predict,
    regions,
    train,
)
from napari_mhim.cli.app import app, main

__all__ = [
    "app",
    "cutoff",
    "demo",
    "doctor",
    "evaluate",
    "export",
    "extract",
    "import_",
    "main",
    "predict",
    "regions",
    "train",
]
