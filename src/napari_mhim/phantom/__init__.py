"""Made slides: H&E-like tissue with lesions known to the pixel."""

from napari_mhim.phantom.cohort import CohortConfig, cohort_plan, write_cohort
from napari_mhim.phantom.config import PhantomConfig
from napari_mhim.phantom.render import Phantom, render
from napari_mhim.phantom.truth import KINDS, PhantomTruth, read_truth, truth_path
from napari_mhim.phantom.write import write_phantom

__all__ = [
    "KINDS",
    "CohortConfig",
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
