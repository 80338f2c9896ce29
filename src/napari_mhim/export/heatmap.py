"""A result as one picture: the slide, the evidence over it, its scale and a scale bar."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_mhim.export.tables import NOTICE
from napari_mhim.mil.result import SlideResult, hard_instances
from napari_mhim.workspace import writing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORMAP = "PuOr_r"
"""Diverging, readable without red–green vision: orange speaks for the class, purple against."""
OPACITY = 0.8
BAR_SHARE = 0.25
"""Longest scale bar, as a share of the picture's width."""
NICE_UM = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)


def write_heatmap(
    result: SlideResult, thumbnail: NDArray[np.uint8], path: Path
) -> None:
    """Draw evidence and hard instances over a slide, as PNG.

    The colour limits are the bundle's, the same for every slide, so a slide on which
    little speaks for the class looks pale. Neither label nor macro image is used.

    Parameters
    ----------
    result : SlideResult
        What the model saw.
    thumbnail : ndarray, shape (height, width, 3), uint8
        The whole slide, small.
    path : Path
        File to write.

    Raises
    ------
    WorkspaceError
        If the folder cannot be written or the disk is full.
    """
    # the object interface: pyplot would pick a window system
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height, width = result.slide_shape
    figure = Figure(figsize=(8, 8 * height / width + 0.9), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(thumbnail, extent=(0, width, height, 0))
    _draw_evidence(result, axes)
    _draw_rings(result, axes)
    _draw_scale_bar(result, axes)
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(height, 0))
    name = result.classes[result.target]
    axes.set_title(f"{result.slide}: {name} {result.score:.2f} (model score, 0 to 1)")
    axes.text(0.5, -0.01, NOTICE, transform=axes.transAxes, ha="center", va="top")
    FigureCanvasAgg(figure)
    with writing(path) as part:
        figure.savefig(part, format="png")


def _draw_evidence(result: SlideResult, axes: "Axes") -> None:
    grid = result.grid
    limit = float(result.evidence_limits[result.target])
    image = grid.raster(result.contribution[:, result.target])
    # a cell is drawn as wide as its step, centred on its patch
    first = grid.origin + (grid.patch_px - grid.stride_px) / 2
    last = first + np.asarray(grid.shape) * grid.stride_px
    drawn = axes.imshow(
        image,
        extent=(first[1], last[1], last[0], first[0]),
        cmap=COLORMAP,
        vmin=-limit,
        vmax=limit,
        # what says nothing is not drawn: a veil over the tissue would be read as something
        alpha=OPACITY * np.nan_to_num(np.abs(image) / limit).clip(0, 1) ** 0.5,
        interpolation="nearest",
    )
    figure = axes.figure
    bar = figure.colorbar(drawn, ax=axes, shrink=0.6, pad=0.01)
    kind = "exact sum" if result.evidence_kind == "exact" else "approximate"
    bar.set_label(
        f"against ← {result.classes[result.target]} → for\n"
        f"N · attention × evidence, {kind}, limits the same for every slide"
    )


def _draw_rings(result: SlideResult, axes: "Axes") -> None:
    hard = hard_instances(result).index
    if not len(hard):
        return
    centres = result.grid.corners[hard] + result.grid.patch_px / 2
    axes.plot(
        centres[:, 1],
        centres[:, 0],
        "o",
        markersize=9,
        markerfacecolor="none",
        markeredgecolor="black",
        label=f"hard patches ({len(hard)})",
    )
    axes.legend(loc="upper right", fontsize="small")


def _draw_scale_bar(result: SlideResult, axes: "Axes") -> None:
    height, width = result.slide_shape
    if result.slide_mpp is None:
        return
    mpp_x = result.slide_mpp[1]
    fitting = [um for um in NICE_UM if um / mpp_x <= BAR_SHARE * width]
    if not fitting:
        return
    um = fitting[-1]
    start, y = 0.02 * width, 0.97 * height
    axes.plot([start, start + um / mpp_x], [y, y], color="black", linewidth=4)
    axes.text(start, y - 0.012 * height, f"{um} µm", va="bottom", fontsize="small")
