"""The first screen: a slide, what a model saw on it, and the dock beside it.

``python -m napari_mhim.plugin.show SLIDE RESULT`` opens it in a window of its own.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_mhim.errors import MhimError
from napari_mhim.export.source import check_slide
from napari_mhim.mil.result import SlideResult
from napari_mhim.phantom.truth import read_truth
from napari_mhim.phantom.truth import truth_path as truth_beside
from napari_mhim.plugin.open_slides import close_with_layers, open_slide
from napari_mhim.plugin.overlays import OURS, LayerTuple, result_layers, slide_layer
from napari_mhim.plugin.viewing import wait_until_sharp

if TYPE_CHECKING:
    from napari_mhim.plugin.widgets.dock import MhimDock

PLUGIN, WIDGET = "napari-mhim", "MHIM"
"""Names of the plugin and of its dock in the manifest."""
_LAID_OUT_MS = 400


def layers(
    slide_path: str | Path,
    result_path: str | Path,
    truth_path: str | Path | None = None,
    baseline_result_path: str | Path | None = None,
    bundle_path: str | Path | None = None,
    features_path: str | Path | None = None,
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
    features_path : path, optional
        The slide's features, for questions to the model.

    Returns
    -------
    list of LayerTuple
        The evidence layer's metadata carries results and truth to the dock.

    Raises
    ------
    SlideError, StoreError
        If a file cannot be read; the slide is closed then.
    FeatureMismatchError
        If a result is of another slide.
    """
    result = SlideResult.load(Path(result_path))
    truth = None if truth_path is None else read_truth(truth_path)
    baseline = (
        None
        if baseline_result_path is None
        else SlideResult.load(Path(baseline_result_path))
    )
    slide = open_slide(slide_path)
    try:
        for one in (result, baseline):
            if one is not None:
                check_slide(one, slide)
    except MhimError:
        slide.close()
        raise
    mpp = slide.mpp or result.slide_mpp
    found = [
        slide_layer(slide, mpp),
        *result_layers(result, result.target, mpp, truth),
    ]
    for _, kwargs, _ in found[1:]:
        kwargs["metadata"][OURS].update(
            truth=truth,
            baseline=baseline,
            bundle_path=str(bundle_path or ""),
            features_path=str(features_path or ""),
            result_path=str(result_path),
        )
    return found


def open_result(
    viewer: Any,
    slide_path: str | Path,
    result_path: str | Path,
    truth_path: str | Path | None = None,
    baseline_result_path: str | Path | None = None,
    bundle_path: str | Path | None = None,
    features_path: str | Path | None = None,
) -> "MhimDock":
    """Show a slide and its result, with the dock at its Review tab.

    Parameters
    ----------
    viewer : napari.Viewer
        Where to show it; what it shows already of ours is taken away.
    slide_path, result_path, truth_path, baseline_result_path : path
        As for :func:`layers`.
    bundle_path, features_path : path
        Likewise.

    Returns
    -------
    MhimDock
        The dock.

    Raises
    ------
    SlideError, StoreError
        If a file cannot be read.
    FeatureMismatchError
        If a result is of another slide; what is on screen stays then.
    """
    close_with_layers(viewer.layers)
    dock = open_dock(viewer)
    dock.show_layers(
        layers(
            slide_path,
            result_path,
            truth_path,
            baseline_result_path,
            bundle_path,
            features_path,
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


def screenshots(viewer: Any, dock: "MhimDock", folder: Path) -> list[Path]:
    """Take pictures of the first screen and of each step of the tour.

    Parameters
    ----------
    viewer : napari.Viewer
        A viewer with a window.
    dock : MhimDock
        Its dock, with a result.
    folder : Path
        Where the pictures go; made on demand.

    Returns
    -------
    list of Path
        One PNG for the first screen, one for each step there is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _wait(lambda: bool(dock.state.device or dock.state.problem), seconds=60)
    dock.canvas.look_at_all()
    found = [_picture(viewer, folder / "screen-0-first.png")]
    for number, step in enumerate(dock.review.tour.steps, start=1):
        if not step.isHidden():
            step.click()
            found.append(_picture(viewer, folder / f"screen-{number}-tour.png"))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Open a slide and its result in a window, or take pictures of it.

    Parameters
    ----------
    arguments : sequence of str, optional
        Command line; the process's own where not given.
    """
    parser = argparse.ArgumentParser(prog="python -m napari_mhim.plugin.show")
    parser.add_argument("slide", help="the slide's file")
    parser.add_argument("result", help="what a model saw on it (.h5)")
    parser.add_argument("--baseline", help="result of a model trained without hiding")
    parser.add_argument("--bundle", help="folder of the model, for another run")
    parser.add_argument("--features", help="the slide's features, to ask the model")
    parser.add_argument("--truth", help="truth of a made slide; else the one beside it")
    parser.add_argument(
        "--screenshot", metavar="FOLDER", help="take pictures and close again"
    )
    asked = parser.parse_args(arguments)
    beside = truth_beside(asked.slide)
    truth = asked.truth or (beside if beside.is_file() else None)
    import napari

    viewer = napari.Viewer(title="napari · MHIM")
    if asked.screenshot:
        viewer.window.resize(1600, 1000)
    dock = open_result(
        viewer,
        asked.slide,
        asked.result,
        truth,
        asked.baseline,
        asked.bundle,
        asked.features,
    )
    if asked.screenshot:
        screenshots(viewer, dock, Path(asked.screenshot))
        viewer.close()
    else:
        from qtpy.QtCore import QTimer

        # the window gives the canvas its size only once it is shown
        QTimer.singleShot(_LAID_OUT_MS, dock.canvas.look_at_all)
        napari.run()


def _picture(viewer: Any, path: Path) -> Path:
    # the canvas and the wrapped texts need a few rounds until they have their size
    _wait(lambda: False, seconds=0.5)
    wait_until_sharp(viewer)
    viewer.screenshot(str(path), canvas_only=False, flash=False)
    return path


def _wait(is_there: Any, seconds: float) -> None:
    from qtpy.QtWidgets import QApplication

    until = time.monotonic() + seconds
    while not is_there() and time.monotonic() < until:
        QApplication.processEvents()
        time.sleep(0.02)


if __name__ == "__main__":
    main()
