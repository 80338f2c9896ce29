"""Opening and panning a slide, by this plugin and by napari-wsi; a part of ``desk.py``."""

import statistics
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np


def slides(slide: Path, napari_wsi: str) -> Iterator[dict[str, Any]]:
    """Open and pan a slide by this plugin and by napari-wsi, in turn."""
    from desk import open_viewer, timed
    from napari.layers import Layer

    readers: dict[str, Callable[..., object]] = {"ours": _open_ours}
    if napari_wsi:
        sys.path.append(napari_wsi)
    try:
        from napari_wsi.reader import wsi_reader_openslide
    except ImportError as err:
        yield {"what": "napari-wsi", "skipped": f"cannot be imported: {err}"}
    else:
        readers["napari-wsi"] = lambda viewer, path: [
            viewer.add_layer(Layer.create(*layer))
            for layer in wsi_reader_openslide(str(path))(str(path))
        ]
    viewer = open_viewer()
    rounds: dict[str, list[tuple[float, float, float]]] = {name: [] for name in readers}
    for _ in range(3):
        for name, read in readers.items():
            viewer.layers.clear()
            opened = timed(partial(read, viewer, slide), rounds=1)
            rounds[name].append((opened, *_pan(viewer)))
    for name, found in rounds.items():
        opened, step, worst = np.median(found, axis=0).tolist()
        yield {"what": name, "open": opened, "pan": step, "slowest pan": worst}
    viewer.close()


def _open_ours(viewer: Any, path: Path) -> None:
    from napari_mhim.plugin.open_slides import close_with_layers
    from napari_mhim.plugin.overlays import slide_layer
    from napari_mhim.slide import open_slide

    close_with_layers(viewer.layers)
    data, kwargs, _ = slide_layer(open_slide(path))
    viewer.add_image(data, **kwargs)


def _pan(viewer: Any) -> tuple[float, float]:
    from desk import timed

    camera = viewer.scene.camera
    extent = np.asarray(viewer.layers.extent.world)[:, -2:]
    low, high = extent
    camera.zoom = 1.0 / np.asarray(viewer.layers[0].scale)[-1]
    steps = []
    for share in np.linspace(0.1, 0.9, 16):
        at = low + (high - low) * (share, 1 - share)
        move = (0.0, float(at[0]), float(at[1]))
        steps.append(timed(partial(setattr, camera, "center", move), rounds=1))
    return statistics.median(steps), max(steps)
