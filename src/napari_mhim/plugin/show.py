"""The first screen: a slide, what a model saw on it, and the dock beside it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_mhim.mil.result import SlideResult
from napari_mhim.phantom.truth import read_truth
from napari_mhim.plugin.open_slides import close_with_layers
from napari_mhim.plugin.overlays import OURS, LayerTuple, result_layers, slide_layer
from napari_mhim.slide import open_slide

if TYPE_CHECKING:
    from napari_mhim.plugin.widgets.dock import MhimDock

PLUGIN, WIDGET = "napari-mhim", "MHIM"
"""Names of the plugin and of its dock in the manifest."""


def layers(
    slide_path: str | Path,
    result_path: str | Path,
    truth_path: str | Path | None = None,
    baseline_result_path: str | Path | None = None,
    bundle_path: str | Path | None = None,
) -> list[LayerTuple]:
    """Give the layers of a slide and its result, bottom to top.

    Parameters
    ----------
    slide_path : path
        The slide.
    result_path : path
        What the model saw on it.
    truth_path : path, optional
        Truth of a made slide.
    baseline_result_path : path, optional
        What a model trained without hiding saw on it.
    bundle_path : path, optional
        Folder of the model, for the dock's *Run*.

    Returns
    -------
    list of LayerTuple
        The evidence layer's metadata carries results and truth to the dock.

    Raises
    ------
    SlideError, StoreError
        If a file cannot be read; the slide is closed then.
    """
    result = SlideResult.load(Path(result_path))
    truth = None if truth_path is None else read_truth(truth_path)
    baseline = (
        None
        if baseline_result_path is None
        else SlideResult.load(Path(baseline_result_path))
    )
    slide = open_slide(slide_path)
    mpp = slide.mpp or result.slide_mpp
    found = [
        slide_layer(slide, mpp),
        *result_layers(result, result.target, mpp, truth),
    ]
    for _, kwargs, _ in found[1:]:
        kwargs["metadata"][OURS].update(
            truth=truth, baseline=baseline, bundle_path=str(bundle_path or "")
        )
    return found


def open_result(
    viewer: Any,
    slide_path: str | Path,
    result_path: str | Path,
    truth_path: str | Path | None = None,
    baseline_result_path: str | Path | None = None,
    bundle_path: str | Path | None = None,
) -> "MhimDock":
    """Show a slide and its result, with the dock at its Review tab.

    Parameters
    ----------
    viewer : napari.Viewer
        Where to show it; what it shows already of ours is taken away.
    slide_path, result_path, truth_path, baseline_result_path, bundle_path : path
        As for :func:`layers`.

    Returns
    -------
    MhimDock
        The dock.

    Raises
    ------
    SlideError, StoreError
        If a file cannot be read.
    """
    close_with_layers(viewer.layers)
    dock = open_dock(viewer)
    dock.show_layers(
        layers(
            slide_path, result_path, truth_path, baseline_result_path, bundle_path
        )
    )
    return dock


def open_dock(viewer: Any) -> "MhimDock":
    """Open the dock, or find the one that is open.

    Parameters
    ----------
    viewer : napari.Viewer
        A viewer with a window.

    Returns
    -------
    MhimDock
        The dock's widget.
    """
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
    dock: MhimDock = widget
    return dock
