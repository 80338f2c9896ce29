"""What a run kept of the slide it watched, epoch by epoch; read without torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from napari_mhim.errors import WorkspaceError
from napari_mhim.workspace import writing

_SLIDE, _HAS_TEACHER = "slide", "has_teacher"
_DAMAGED = (OSError, ValueError, KeyError, EOFError, BadZipFile)


@dataclass(frozen=True)
class KeptEpoch:
    """One epoch of a run that looked at a slide."""

    epoch: int
    """Epochs done, from 1."""
    path: Path
    """File of its arrays."""


@dataclass(frozen=True, eq=False)
class TeacherThen:
    """What the teacher said of the slide after an epoch."""

    scores: NDArray[np.float32]
    """Teacher's score of each patch, heads reduced, shape (N,)."""
    probabilities: NDArray[np.float32]
    """What the student made of the slide then, shape (C,); not calibrated."""


def keep(path: Path, arrays: Mapping[str, Any], slide: str, has_teacher: bool) -> None:
    """Write an epoch's arrays, whole or not at all.

    Parameters
    ----------
    path : Path
        ``scores/epoch-0001.npz`` of the run's folder.
    arrays : mapping of str to ndarray
        What was seen.
    slide : str
        Name of the slide.
    has_teacher : bool
        Whether a teacher scored it.

    Raises
    ------
    WorkspaceError
        If it cannot be written.
    """
    more = {_SLIDE: np.array(slide), _HAS_TEACHER: np.array(has_teacher)}
    with writing(path) as part, part.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays, **more)


def kept_epochs(bundle: Path, slide: str, n: int) -> tuple[KeptEpoch, ...]:
    """List the epochs whose teacher a model's run has kept for one slide.

    Parameters
    ----------
    bundle : Path
        Folder of the model; its run's folder is the one it lies in.
    slide : str
        Name of the slide.
    n : int
        How many patches it has.

    Returns
    -------
    tuple of KeptEpoch
        In their order; none where the run watched another slide or none, had no teacher,
        or is not there.
    """
    found = []
    for path in sorted((bundle.parent / "scores").glob("epoch-*.npz")):
        number = path.stem.removeprefix("epoch-")
        if number.isdecimal():
            found.append(KeptEpoch(int(number), path))
    # one run watches one slide: the first says for all
    if not found or not _is_of(found[0].path, slide, n):
        return ()
    return tuple(found)


def read(kept: KeptEpoch) -> TeacherThen:
    """Read what the teacher said after one epoch.

    Parameters
    ----------
    kept : KeptEpoch
        One of :func:`kept_epochs`.

    Returns
    -------
    TeacherThen
        Arrays.

    Raises
    ------
    WorkspaceError
        If the file is gone or damaged.
    """
    try:
        with np.load(kept.path, allow_pickle=False) as arrays:
            return TeacherThen(
                arrays["teacher_scores"].astype(np.float32),
                arrays["probabilities"].astype(np.float32),
            )
    except _DAMAGED as err:
        raise WorkspaceError(
            f"what the teacher said after epoch {kept.epoch} cannot be read from "
            f"{str(kept.path)!r} ({err}); the other epochs can still be chosen"
        ) from err


def _is_of(path: Path, slide: str, n: int) -> bool:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return (
                str(arrays[_SLIDE]) == slide
                and bool(arrays[_HAS_TEACHER])
                and arrays["teacher_scores"].shape == (n,)
            )
    except _DAMAGED:
        return False  # also a run of before slides were named in it
