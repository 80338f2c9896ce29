"""Features that another program made, as bags to train on: a folder with a file a slide.

A file is named for its slide: ``<slide>.h5`` of this program, of TRIDENT or of CLAM
(dataset ``features``), ``<slide>.npy``, or ``<slide>.pt`` (one tensor). What was not made
here comes without positions: enough to train and to test, not to draw on a slide.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from napari_mhim.errors import CohortError, StoreError
from napari_mhim.mil.bags import Bag, is_finite, read_bag
from napari_mhim.mil.cohort import CohortRow

SUFFIXES = (".h5", ".npy", ".pt")
"""Kinds of files, the first found is taken."""


def read_folder(
    folder: Path, rows: Iterable[CohortRow], classes: tuple[str, ...]
) -> dict[str, Bag]:
    """Read the features of slides from a folder.

    Parameters
    ----------
    folder : Path
        With a file for each slide; others in it are not regarded.
    rows : iterable of CohortRow
        The slides.
    classes : tuple of str
        Class names in the model's order.

    Returns
    -------
    dict of str to Bag
        Slide's name to its features, with label and patient.

    Raises
    ------
    CohortError
        If slides have no file there: how many, and the first.
    StoreError
        If a file cannot be read, is no table of numbers, or holds NaN.
    """
    kept = list(rows)
    files = {row.slide: _file(folder, row.slide) for row in kept}
    if missing := [name for name, file in files.items() if file is None]:
        named = ", ".join(missing[:3]) + (" and more" if len(missing) > 3 else "")
        raise CohortError(
            f"{len(missing)} of {len(kept)} slides have no features in {str(folder)!r} "
            f"({named}); a file is named for its slide and ends in {', '.join(SUFFIXES)}"
        )
    return {
        row.slide: read_file(file, row, classes)
        for row in kept
        if (file := files[row.slide]) is not None
    }


def read_file(path: Path, row: CohortRow, classes: tuple[str, ...]) -> Bag:
    """Read one slide's features; parameters and errors as :func:`read_folder`."""
    if path.suffix == ".h5" and _is_ours(path):
        return read_bag(path, row, classes)
    features, encoder = _READERS[path.suffix](path)
    if features.ndim == 3 and len(features) == 1:
        features = features[0]  # (1, N, D) -> (N, D): a batch of one slide
    if features.ndim != 2 or not features.size:
        raise StoreError(
            f"features {str(path)!r} must be (patches, numbers) with at least one patch, "
            f"got {features.shape}"
        )
    features = np.ascontiguousarray(features, np.float32)
    if not is_finite(features):
        raise StoreError(
            f"features {str(path)!r} hold NaN or infinite numbers; make them again, or "
            "leave the slide out"
        )
    return Bag(
        name=row.slide,
        features=features,
        label=classes.index(row.label) if row.label in classes else None,
        patient=row.patient,
        encoder_id=encoder,
        path=row.path,
    )


def _file(folder: Path, slide: str) -> Path | None:
    paths = (folder / f"{slide}{suffix}" for suffix in SUFFIXES)
    return next((path for path in paths if path.is_file()), None)


def _is_ours(path: Path) -> bool:
    try:
        with h5py.File(path, "r", locking=False) as file:
            return "mhim_version" in file.attrs
    except OSError as err:
        raise StoreError(_unreadable(path, err)) from err


_Read = tuple[NDArray[Any], str]
"""Features, and the encoder that made them, "" where the file does not say."""


def _read_h5(path: Path) -> _Read:
    try:
        with h5py.File(path, "r", locking=False) as file:
            data = file["features"]
            said = data.attrs.get("encoder", file.attrs.get("encoder", ""))
            encoder = said.decode() if isinstance(said, bytes) else str(said)
            return np.asarray(data[:], np.float32), encoder
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as err:
        raise StoreError(_unreadable(path, err)) from err


def _read_npy(path: Path) -> _Read:
    try:
        return np.asarray(np.load(path, allow_pickle=False), np.float32), ""
    except (OSError, ValueError, TypeError, EOFError) as err:
        raise StoreError(_unreadable(path, err)) from err


def _read_pt(path: Path) -> _Read:
    from pickle import UnpicklingError

    import torch

    try:
        # tensors only: anything else in a pickle could run code
        tensor = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, UnpicklingError) as err:
        raise StoreError(_unreadable(path, err)) from err
    if not isinstance(tensor, torch.Tensor):
        raise StoreError(
            f"features {str(path)!r} must hold one tensor, got {type(tensor).__name__}"
        )
    return tensor.float().numpy(), ""


_READERS = {".h5": _read_h5, ".npy": _read_npy, ".pt": _read_pt}


def _unreadable(path: Path, err: Exception) -> str:
    first = (str(err).splitlines() or [type(err).__name__])[0]
    return (
        f"features {str(path)!r} cannot be read ({first}); make them again, or leave the "
        "slide out"
    )
