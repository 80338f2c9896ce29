"""Phantoms as slide files."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_mhim.phantom.config import PhantomConfig
from napari_mhim.phantom.pixels import render
from napari_mhim.phantom.truth import PhantomTruth, read_truth, truth_path, write_truth
from napari_mhim.slide.write import write_pyramid


def write_phantom(path: str | Path, config: PhantomConfig) -> PhantomTruth:
    """Write one phantom as a tiled JPEG pyramid, with its truth beside it.

    Parameters
    ----------
    path : path
        The slide's path; its truth goes to ``<stem>.truth.json`` in the same folder.
    config : PhantomConfig
        What it is to hold.

    Returns
    -------
    PhantomTruth
        Where its lesions are.

    Raises
    ------
    WorkspaceError
        If the folder cannot be written or the disk is full.
    """
    path = Path(path)
    phantom = render(config)
    write_pyramid(path, phantom.rgb, config.mpp, magnification=_objective(config))
    # the truth goes last: where it is, the slide beside it is whole
    write_truth(path, phantom.truth, asdict(config))
    return phantom.truth


def is_written(path: Path, config: PhantomConfig) -> bool:
    """Tell whether this very phantom lies at the path already, with its truth."""
    if not (path.is_file() and truth_path(path).is_file()):
        return False
    made_from = read_truth(path).made_from
    # a slide written before a setting was there was made as its default makes it
    before = {**_plain(PhantomConfig()), **made_from} if made_from else {}
    return before == _plain(config)


def _plain(config: PhantomConfig) -> dict[str, Any]:
    """Give the settings as they are read from a file: tuples as lists."""
    values: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    return values


def _objective(config: PhantomConfig) -> float:
    """Give the objective that has about this resolution: 10 µm a pixel at 1 ×."""
    mean = (config.mpp[0] * config.mpp[1]) ** 0.5
    return min((2.5, 5.0, 10.0, 20.0, 40.0), key=lambda power: abs(10 / power - mean))
