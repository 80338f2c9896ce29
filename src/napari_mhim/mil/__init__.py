"""Models: train, predict and evaluate bags of feature vectors."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_mhim.mil.bags import Bag, read_bag
    from napari_mhim.mil.bundle import Bundle
    from napari_mhim.mil.cohort import Cohort
    from napari_mhim.mil.config import TrainConfig
    from napari_mhim.mil.evaluate import Metrics
    from napari_mhim.mil.importing import ImportConfig, import_checkpoint
    from napari_mhim.mil.predict import Predictor
    from napari_mhim.mil.result import SlideResult, hard_instances
    from napari_mhim.mil.splits import k_folds, split_roles
    from napari_mhim.mil.train import fit

__all__ = [
    "Bag",
    "Bundle",
    "Cohort",
    "ImportConfig",
    "Metrics",
    "Predictor",
    "SlideResult",
    "TrainConfig",
    "fit",
    "hard_instances",
    "import_checkpoint",
    "k_folds",
    "read_bag",
    "split_roles",
]

# name -> module: some import torch, which takes seconds; the functions `predict` and
# `evaluate` are not here, since their modules have the same names
_HOMES = {
    "Bag": "bags",
    "Bundle": "bundle",
    "Cohort": "cohort",
    "ImportConfig": "importing",
    "Metrics": "evaluate",
    "Predictor": "predict",
    "SlideResult": "result",
    "TrainConfig": "config",
    "fit": "train",
    "hard_instances": "result",
    "import_checkpoint": "importing",
    "k_folds": "splits",
    "read_bag": "bags",
    "split_roles": "splits",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name in _HOMES:
        module = import_module(f"napari_mhim.mil.{_HOMES[name]}")
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
