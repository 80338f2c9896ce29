"""The few figures of a result that a list of slides shows, read without its arrays."""

import json
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from napari_mhim.errors import StoreError
from napari_mhim.mil._result_file import check_kind
from napari_mhim.mil.cutoff import Cutoff, decide


@dataclass(frozen=True)
class ResultSummary:
    """What a model said of one slide."""

    slide: str
    """Slide's name."""
    fingerprint: str
    """Slide's fingerprint, "" when unknown."""
    bundle_id: str
    """Hash of the model's weights and settings."""
    classes: tuple[str, ...]
    """Names of the classes, in the model's order."""
    target: int
    """Index of the class of interest."""
    probabilities: tuple[float, ...]
    """Score of each class."""
    cutoff: Cutoff | None
    """Cut-off of the class of interest, None where there is none."""
    role: str
    """Role the slide had when the model was trained."""

    @property
    def score(self) -> float:
        """Give the score of the class of interest, in [0, 1]."""
        return self.probabilities[self.target]

    @property
    def call(self) -> str:
        """Give the class the model comes to: by its cut-off, else the most probable."""
        row = np.array([self.probabilities])
        return self.classes[int(decide(row, self.cutoff, self.target)[0])]


def read_summary(path: str | Path) -> ResultSummary:
    """Read a result's figures.

    Parameters
    ----------
    path : str or Path
        File written by ``SlideResult.save``.

    Returns
    -------
    ResultSummary
        Some hundred times quicker than the result.

    Raises
    ------
    StoreError
        If the file is missing, damaged, of another kind, or from a newer version.
    """
    place = Path(path)
    if not place.is_file():
        raise StoreError(f"no result at {str(place)!r}; run the model on the slide")
    try:
        with h5py.File(place, "r") as file:
            check_kind(file, place)
            return _read(file)
    except StoreError:
        raise
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as err:
        raise StoreError(
            f"result file {str(place)!r} is damaged ({err}); run the model again"
        ) from err


def _read(file: h5py.File) -> ResultSummary:
    plain = json.loads(file.attrs["plain"])
    cutoff = plain["cutoff"]
    return ResultSummary(
        slide=str(file.attrs["slide"]),
        fingerprint=str(file.attrs["fingerprint"]),
        bundle_id=str(file.attrs["bundle_id"]),
        classes=tuple(plain["classes"]),
        target=int(plain["target"]),
        probabilities=tuple(float(value) for value in file["probabilities"][()]),
        cutoff=None if cutoff is None else Cutoff(*cutoff),
        role=str(file.attrs["role"]),
    )
