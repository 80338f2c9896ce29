"""Made slides: H&E-like tissue with lesions known to the pixel."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_mhim.phantom.cohort import (
        DEMO,
        CohortConfig,
        CohortSlide,
        DemoCohort,
        cohort_plan,
        write_cohort,
    )
    from napari_mhim.phantom.config import PhantomConfig
    from napari_mhim.phantom.pixels import Phantom, render
    from napari_mhim.phantom.truth import KINDS, PhantomTruth, read_truth, truth_path
    from napari_mhim.phantom.write import write_phantom

__all__ = [
    "DEMO",
    "KINDS",
    "CohortConfig",
    "CohortSlide",
    "DemoCohort",
    "Phantom",
    "PhantomConfig",
    "PhantomTruth",
    "cohort_plan",
    "read_truth",
    "render",
    "truth_path",
    "write_cohort",
    "write_phantom",
]

_HOMES = {
    "DEMO": "cohort",
    "KINDS": "truth",
    "CohortConfig": "cohort",
    "CohortSlide": "cohort",
    "DemoCohort": "cohort",
    "Phantom": "pixels",
    "PhantomConfig": "config",
    "PhantomTruth": "truth",
    "cohort_plan": "cohort",
    "read_truth": "truth",
    "render": "pixels",
    "truth_path": "truth",
    "write_cohort": "cohort",
    "write_phantom": "write",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"napari_mhim.phantom.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
