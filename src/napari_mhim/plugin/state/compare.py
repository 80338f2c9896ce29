"""Two results of one slide: what there is to compare with, and why something cannot be."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from psygnal import SignalGroupDescriptor

from napari_mhim.errors import FeatureMismatchError, StoreError
from napari_mhim.mil.result import SlideResult
from napari_mhim.mil.result_summary import read_summary
from napari_mhim.slide.tiling import PatchGrid
from napari_mhim.workspace import Workspace, safe


@dataclass(frozen=True)
class Other:
    """A result that could be compared with."""

    name: str
    """Its model's name."""
    score: float
    """Score of its class of interest, in [0, 1]."""
    path: str
    """Its file, "" for the baseline that came with the slide."""


@dataclass
class CompareState:
    """Which other result was chosen; reads nothing itself."""

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    others: tuple[Other, ...] = ()
    """What there is to compare with."""
    chosen: Other | None = None
    """What is compared with, None before one was chosen."""
    problem: str = ""
    """Why the other result cannot be compared, "" when it can."""

    def find(
        self, result: SlideResult | None, baseline: SlideResult | None, place: Workspace
    ) -> None:
        """Look for other results of a slide.

        Parameters
        ----------
        result : SlideResult or None
            What is on screen.
        baseline : SlideResult or None
            What came with it.
        place : Workspace
            Where results are kept.
        """
        self.chosen, self.problem = None, ""
        if result is None:
            self.others = ()
            return
        found = results_of(place, result)
        if baseline is not None:
            found = (Other(baseline.bundle, baseline.score, ""), *found)
        self.others = found


def results_of(place: Workspace, result: SlideResult) -> tuple[Other, ...]:
    """List the results of the same slide by other models, by the model's name.

    Parameters
    ----------
    place : Workspace
        Where results are kept, a folder for each model.
    result : SlideResult
        What is on screen; its own model is left out.

    Returns
    -------
    tuple of Other
        A file that cannot be read, or is of another slide of that name, is left out.
    """
    found = []
    for path in sorted((place.root / "results").glob("*/*.h5")):
        if path.stem != safe(result.slide):
            continue
        try:
            one = read_summary(path)
        except StoreError:
            continue
        is_same_slide = one.fingerprint == result.fingerprint
        if is_same_slide and one.bundle_id != result.bundle_id:
            found.append(Other(path.parent.name, one.score, str(path)))
    return tuple(found)


def read_other(path: str | Path, result: SlideResult) -> SlideResult:
    """Read a result to compare with.

    Parameters
    ----------
    path : str or Path
        Its file.
    result : SlideResult
        What it is compared with.

    Returns
    -------
    SlideResult
        Of the same slide, patches and class of interest.

    Raises
    ------
    StoreError
        If the file cannot be read.
    FeatureMismatchError
        If the two cannot be compared patch by patch.
    """
    other = SlideResult.load(Path(path))
    check_comparable(result, other)
    return other


def check_comparable(result: SlideResult, other: SlideResult) -> None:
    """Refuse what cannot be compared patch by patch.

    Parameters
    ----------
    result, other : SlideResult
        What two models saw.

    Raises
    ------
    FeatureMismatchError
        If slide, patches or class of interest differ; both sides are named.
    """
    if (result.fingerprint, result.slide_shape) != (
        other.fingerprint,
        other.slide_shape,
    ):
        raise FeatureMismatchError(
            f"this result is of slide {result.slide!r}, the other of another file "
            f"({other.slide!r}); choose a result of the same slide"
        )
    if not _same_patches(result.grid, other.grid):
        raise FeatureMismatchError(
            f"{result.bundle!r} looked at {_patches(result.grid)}, {other.bundle!r} at "
            f"{_patches(other.grid)}: they cannot be compared patch by patch; choose a "
            "model with the same patches"
        )
    names = [one.classes[one.target] for one in (result, other)]
    if names[0] != names[1]:
        raise FeatureMismatchError(
            f"{result.bundle!r} scores {names[0]!r}, {other.bundle!r} {names[1]!r}; "
            "choose a model of the same class"
        )


def _same_patches(one: PatchGrid, other: PatchGrid) -> bool:
    return (
        one.shape == other.shape
        and np.allclose(one.origin, other.origin)
        and np.allclose(one.stride_px, other.stride_px)
        and np.allclose(one.patch_px, other.patch_px)
        and np.array_equal(one.cells, other.cells)
    )


def _patches(grid: PatchGrid) -> str:
    side = " × ".join(f"{value:.0f}" for value in grid.patch_px[::-1])
    return f"{len(grid)} patches of {side} px"
