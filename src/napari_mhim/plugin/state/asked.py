"""What a run was asked for, in its folder: it can be gone on with on another day. No Qt."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_mhim.errors import TrainingError


@dataclass(frozen=True)
class Asked:
    """What a run was asked for, as plain values."""

    way: str
    """One of ``WAYS``."""
    run: str
    """Name of the run."""
    table: str
    """Path of the label table."""
    bundle: str
    """Folder of the model it goes on from, "" for a new one."""
    config: dict[str, Any]
    """Fields of ``TrainConfig``."""
    extract: dict[str, Any]
    """Fields of ``ExtractConfig``, for a new model."""
    mix: str = ""
    """Table of the model's own slides."""
    old_checked: str = "unknown"
    """Whether those were looked through for a new class."""
    watch: str = ""
    """Slide, or its features, to look at after each epoch."""
    features: str = ""
    """Folder of features made elsewhere, used in place of slides."""


def read_asked(path: Path) -> Asked:
    """Read what a run was asked for.

    Parameters
    ----------
    path : Path
        ``asked.json`` of a run's folder.

    Returns
    -------
    Asked
        What it says.

    Raises
    ------
    TrainingError
        If it cannot be read.
    """
    try:
        return Asked(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as err:
        raise TrainingError(
            f"run {path.parent.name!r} does not say what it was asked for ({err}); start "
            "another, or go on with it from the command line"
        ) from err
