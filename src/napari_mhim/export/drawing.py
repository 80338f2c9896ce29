"""A slide with an overlay as a figure: its scale, a scale bar, the rings, the notice."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mhim.export import words
from napari_mhim.export.overlay import Overlay, how_to_read, overlay
from napari_mhim.export.palette import RING
from napari_mhim.export.source import Source
from napari_mhim.mil.result import hard_instances
from napari_mhim.slide.tiling import PatchGrid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

THUMB_PX = 1400
"""Long side of the slide in the picture."""
LONG_INCHES = 7.5
"""Long side of the slide on the page."""
BAR_SHARE = 0.2
"""Longest scale bar, as a share of the slide's width."""
NICE_UM = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
_STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "font.family": "DejaVu Sans",
    "text.parse_math": False,
}
_HALO = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 2.0}


@contextmanager
def figure(source: Source) -> Iterator["Figure"]:
    """Draw a slide with what the options put over it, without a caption.

    Parameters
    ----------
    source : Source
        What is exported. Neither label nor macro image is used.

    Yields
    ------
    Figure
        To be saved while the block lasts.
    """
    # the object interface: pyplot would pick a window system
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height, width = source.result.slide_shape
    inches = LONG_INCHES / max(height, width)
    # a name may hold a dollar sign: it is no formula
    with rc_context(_STYLE):
        found = Figure(
            figsize=(max(width * inches, 3) + 1.6, max(height * inches, 2.5) + 1.5),
            layout="constrained",
        )
        FigureCanvasAgg(found)
        draw_slide(found.add_subplot(), source)
        yield found


def draw_slide(axes: "Axes", source: Source) -> None:
    """Draw thumbnail, overlay, colour bar, regions, rings, scale bar and watermark.

    Parameters
    ----------
    axes : Axes
        In level-0 pixels afterwards.
    source : Source
        What is exported.
    """
    height, width = source.result.slide_shape
    axes.imshow(source.slide.thumbnail(THUMB_PX), extent=(0, width, height, 0))
    if (drawn := overlay(source)) is not None:
        _draw_overlay(axes, drawn, source.result.grid)
    _draw_regions(axes, source)
    _draw_rings(axes, source)
    _draw_scale_bar(axes, source)
    _draw_watermark(axes, width, height)
    axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    axes.spines[:].set_color("0.7")


def caption(drawn: "Figure", source: Source) -> None:
    """Write the score above a figure, and how to read it and whose it is below.

    Parameters
    ----------
    drawn : Figure
        Of :func:`figure`.
    source : Source
        What is exported.
    """
    result, axes = source.result, drawn.axes[0]
    name = result.classes[result.target]
    role = words.ROLES[result.role].partition(":")[0].rstrip(".").lower()
    side = words.side(result, result.score)
    parts = [f"score {result.score:.2f}", *([side] if side else []), role]
    axes.set_title(f"{words.capital(name)}: {', '.join(parts)}", loc="left", y=1.04)
    lines = f"{result.slide} – {words.SCORE}"
    if result.cutoff is not None and result.score < result.cutoff.value:
        lines += f" {words.below(name)}"
    if source.without is not None:
        score = float(source.without[result.target])
        lines += f" Without the excluded areas: {score:.2f}."
    axes.text(*(0, 1.01, lines), transform=axes.transAxes, fontsize=7.5, color="0.25")
    # "training slide" alone does not say what that does to the score
    warning = words.ROLES[result.role] if result.role in ("train", "val") else ""
    below = [warning, how_to_read(source), words.banner(result)]
    drawn.supxlabel("\n".join(line for line in below if line), fontsize=8)


def _draw_overlay(axes: "Axes", drawn: Overlay, grid: PatchGrid) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    colours = np.zeros((*grid.shape, 4))
    colours[grid.cells[:, 0], grid.cells[:, 1]] = drawn.colours()
    # a cell is drawn as wide as its step, centred on its patch
    first = grid.origin + (grid.patch_px - grid.stride_px) / 2
    last = first + np.asarray(grid.shape) * grid.stride_px
    axes.imshow(
        colours,
        extent=(first[1], last[1], last[0], first[0]),
        interpolation="nearest",
    )
    shown = drawn.ramp.at(np.linspace(0, 1, 256))
    shown[:, 3] = np.minimum(shown[:, 3] + 0.1, 1)
    bar = axes.get_figure().colorbar(  # type: ignore[union-attr]
        ScalarMappable(Normalize(*drawn.limits), ListedColormap(shown)),
        ax=axes,
        shrink=0.75,
        aspect=28,
        pad=0.015,
    )
    low, high = drawn.ends
    if not low:
        bar.set_ticks([])  # there is one colour alone
    bar.ax.set_title(high, fontsize=8)
    bar.ax.set_xlabel(low, fontsize=8)
    bar.set_label(f"{drawn.title}\n{drawn.scale}", fontsize=8)


def _draw_regions(axes: "Axes", source: Source) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    for number, one in enumerate(source.regions, start=1):
        rings = [r for p in one.polygons for r in (p.outline, *p.holes)]
        # all rings in one path: holes stay empty
        outline = Path.make_compound_path(
            *(Path(np.vstack([r, r[:1]])[:, ::-1], closed=True) for r in rings)
        )
        is_out = one.kind == "exclude"
        axes.add_patch(
            PathPatch(
                outline,
                fill=False,
                linestyle="--" if is_out else "-",
                hatch="////" if is_out else None,
                edgecolor=(0.2, 0.2, 0.2, 0.8),
                linewidth=1.2,
            )
        )
        y, x = rings[0].min(axis=0)
        label = f"{'excluded' if is_out else one.kind} {number}"
        axes.text(x, y, label, fontsize=7.5, va="bottom", bbox=_HALO, clip_on=True)


def _draw_rings(axes: "Axes", source: Source) -> None:
    from matplotlib.patheffects import Normal, Stroke

    result, options = source.result, source.options
    hard = hard_instances(result, source.class_index, options.top).index
    if not len(hard):
        label = words.no_rings(source.class_name)
    else:
        centres = result.grid.corners[hard] + result.grid.patch_px / 2
        axes.plot(
            *centres[:, ::-1].T,
            "o",
            markersize=12,
            markerfacecolor="none",
            markeredgecolor=RING,
            markeredgewidth=1.2,
            clip_on=False,
        )
        halo = [Stroke(linewidth=1.6, foreground="white"), Normal()]
        for number, (y, x) in enumerate(centres, start=1):
            axes.text(
                *(x, y, str(number)),
                fontsize=6.5,
                fontweight="bold",
                ha="center",
                va="center_baseline",
                path_effects=halo,
            )
        label = f"○ hard patches, 1 = weighed most ({len(hard)})"
    axes.text(
        *(0.99, 0.99, label),
        transform=axes.transAxes,
        ha="right",
        va="top",
        fontsize=8,
        bbox=_HALO,
    )


def _draw_scale_bar(axes: "Axes", source: Source) -> None:
    height, width = source.result.slide_shape
    if source.result.slide_mpp is None:
        text = "No µm: this slide does not say its micrometres per pixel."
        axes.text(0.02 * width, 0.97 * height, text, fontsize=8, bbox=_HALO)
        return
    mpp_x = source.result.slide_mpp[1]
    fitting = [um for um in NICE_UM if um / mpp_x <= BAR_SHARE * width]
    if not fitting:
        return
    um = fitting[-1]
    left, y = 0.02 * width, 0.965 * height
    right = left + um / mpp_x
    for colour, thick in (("white", 6), ("black", 3)):
        axes.plot([left, right], [y, y], color=colour, linewidth=thick)
    text = f"{um} µm" if um < 1000 else f"{um // 1000} mm"
    middle = (left + right) / 2
    axes.text(
        *(middle, y - 0.015 * height, text),
        ha="center",
        va="bottom",
        fontsize=8,
        bbox=_HALO,
    )


def _draw_watermark(axes: "Axes", width: int, height: int) -> None:
    axes.text(
        *(0.99, 0.015, words.NOTICE),
        transform=axes.transAxes,
        ha="right",
        va="bottom",
        fontsize=8,
        fontweight="bold",
        bbox=_HALO,
    )
    axes.text(
        *(0.5, 0.5, "RESEARCH USE ONLY"),
        transform=axes.transAxes,
        ha="center",
        va="center",
        rotation=float(np.degrees(np.arctan2(height, width))),
        fontsize=30,
        fontweight="bold",
        color="0.2",
        alpha=0.09,
    )
