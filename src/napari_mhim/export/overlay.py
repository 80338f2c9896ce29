"""What lies over the slide in pictures: a value for each patch, its colours and its scale."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mhim.export import words
from napari_mhim.export.palette import DIVERGING, GREY, RISING, Ramp
from napari_mhim.export.source import Source
from napari_mhim.export.tables import percentiles
from napari_mhim.slide.tiling import PatchGrid

STRENGTH = 0.8
"""What the ramps' own opacity is multiplied by: tissue shows through the strongest colour."""


@dataclass(frozen=True, eq=False)
class Overlay:
    """One value for each of N patches, and how it is drawn."""

    title: str
    """What it is, in a few words."""
    values: NDArray[np.float32]
    """Shape (N,); NaN is not drawn."""
    limits: tuple[float, float]
    """Values of the first and the last colour."""
    ramp: Ramp
    """Its colours."""
    ends: tuple[str, str]
    """What lies at the lower and the upper limit."""
    about: str
    """How to read it."""
    scale: str
    """Where the limits are from: printed beside the colour bar."""

    def colours(self) -> NDArray[np.float64]:
        """Give the colour of each patch, shape (N, 4), rgba in [0, 1], clear where NaN."""
        low, high = self.limits
        colours = self.ramp.at((self.values - low) / (high - low))
        colours[:, 3] *= STRENGTH
        return colours


def overlay(source: Source) -> Overlay | None:
    """Give what the options ask for.

    Parameters
    ----------
    source : Source
        What is exported.

    Returns
    -------
    Overlay or None
        None for "none"; patches in excluded regions are not drawn.
    """
    made = _MAKERS[source.options.overlay](source)
    if made is not None and source.excluded is not None:
        made.values[source.excluded] = np.nan
    return made


def how_to_read(source: Source) -> str:
    """Say what lies over the slide, and what is left out of it."""
    if (drawn := overlay(source)) is None:
        return ""
    text = f"{drawn.title}. {drawn.about}"
    if source.excluded is not None:
        text += " Patches in excluded areas are not coloured."
    return text


def cell_of(
    grid: PatchGrid, shape: tuple[int, int], downsample: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Tell which grid cell the centre of each pixel of a smaller slide lies in.

    A cell is as wide as the step to the next one, and centred on its patch.

    Parameters
    ----------
    grid : PatchGrid
        Where the patches lie.
    shape : tuple of int
        Height and width of the smaller slide.
    downsample : float
        Level-0 pixels per pixel of it.

    Returns
    -------
    tuple of two ndarrays, shape (height,) and (width,), int64
        Row and column of the grid, -1 outside.
    """
    first = grid.origin + (grid.patch_px - grid.stride_px) / 2
    found = []
    for axis in (0, 1):
        centres = (np.arange(shape[axis]) + 0.5) * downsample
        cell = np.floor((centres - first[axis]) / grid.stride_px[axis]).astype(np.int64)
        found.append(np.where((cell >= 0) & (cell < grid.shape[axis]), cell, -1))
    return found[0], found[1]


def _evidence(source: Source) -> Overlay:
    result, index = source.result, source.class_index
    limit = float(result.evidence_limits[index])
    kind = "exact sum" if result.evidence_kind == "exact" else "approximate"
    return Overlay(
        title=f"Evidence: {source.class_name}",
        values=result.contribution[:, index].copy(),
        limits=(-limit, limit),
        ramp=DIVERGING,
        ends=("against", "for"),
        about=words.evidence(source.class_name),
        scale=f"N × attention × evidence, {kind}; limits ±{limit:.3g}, "
        "the same for every slide",
    )


def _attention(source: Source) -> Overlay:
    values = source.result.attention.mean(axis=0) * len(source.result)
    # at least twice the mean: a model that weighs all alike must not look excited
    high = max(2.0, float(np.percentile(values, 99.5)))
    return Overlay(
        title="Attention",
        values=values.astype(np.float32),
        limits=(0.0, high),
        ramp=RISING,
        ends=("no weight", "much weight"),
        about=words.ATTENTION,
        scale=f"times the mean weight; limits 0 to {high:.3g}, of this slide",
    )


def _percentile(source: Source) -> Overlay:
    return Overlay(
        title="Attention percentile",
        values=percentiles(source.result),
        limits=(0.0, 100.0),
        ramp=RISING,
        ends=("least weight", "most weight"),
        about=words.PERCENTILE,
        scale="percentile of weight within this slide, 0 to 100",
    )


def _hidden(source: Source) -> Overlay:
    return Overlay(
        title="Hidden by teacher",
        values=np.where(source.result.mask, 1.0, np.nan).astype(np.float32),
        limits=(0.0, 1.0),
        ramp=GREY,
        ends=("", "hidden"),
        about=words.hidden(source.result),
        scale=f"{int(source.result.mask.sum())} of {len(source.result)} patches",
    )


def _nothing(source: Source) -> None:
    return None


_MAKERS: Mapping[str, Callable[[Source], Overlay | None]] = {
    "evidence": _evidence,
    "attention": _attention,
    "percentile": _percentile,
    "hidden": _hidden,
    "none": _nothing,
}
