"""Studies: several settings on the same folds, compared on slides none of them saw."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_mhim.mil.study.config import Setting, StudyConfig, settings_of
    from napari_mhim.mil.study.folds import Fold, study_folds
    from napari_mhim.mil.study.running import MemberDone, StudyDone, run_study

__all__ = [
    "Fold",
    "MemberDone",
    "Setting",
    "StudyConfig",
    "StudyDone",
    "run_study",
    "settings_of",
    "study_folds",
]

_HOMES = {
    "Fold": "folds",
    "MemberDone": "running",
    "Setting": "config",
    "StudyConfig": "config",
    "StudyDone": "running",
    "run_study": "running",
    "settings_of": "config",
    "study_folds": "folds",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name in _HOMES:
        module = import_module(f"napari_mhim.mil.study.{_HOMES[name]}")
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
