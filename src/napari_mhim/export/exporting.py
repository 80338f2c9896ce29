"""The exports by their names: one, or several as a job."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_mhim import _parts
from napari_mhim.errors import ConfigError
from napari_mhim.events import Note, Progress
from napari_mhim.export.options import ExportOptions
from napari_mhim.export.source import Source, open_source
from napari_mhim.mil.result import SlideResult
from napari_mhim.slide.slide import Slide
from napari_mhim.workspace import safe

KINDS = "napari_mhim.export.kinds"
"""The folder of kinds, one file each."""


@dataclass(frozen=True)
class ExportDone:
    """One file is written."""

    kind: str
    """What it is."""
    path: str
    """Where it is."""

    @property
    def line(self) -> str:
        """Say it."""
        return f"written: {self.path}"


def kind_names() -> tuple[str, ...]:
    """List what a result can leave as, by name."""
    return tuple(_parts.names(KINDS))


def write(
    kind: str,
    result: SlideResult | str | Path,
    slide: Slide | str | Path,
    folder: str | Path,
    options: ExportOptions | None = None,
    without: NDArray[np.float32] | None = None,
) -> Path:
    """Write one file.

    Parameters
    ----------
    kind : str
        One of :func:`kind_names`.
    result : SlideResult or path
        What the model saw, or its file.
    slide : Slide or path
        The slide it saw; one given open stays open.
    folder : path
        Where to write; made if missing.
    options : ExportOptions, optional
        How it leaves.
    without : ndarray, shape (C,), optional
        Class scores without the excluded patches, where somebody worked them out.

    Returns
    -------
    Path
        The file: the slide's name, or the case's where blinded, and the kind's suffix.

    Raises
    ------
    UnknownPartError
        If there is no such kind.
    FeatureMismatchError
        If the result is of another slide.
    StoreError, SlideError, RegionError, BundleError, ConfigError
        If result, slide, regions or model cannot be used (:func:`open_source`).
    WorkspaceError
        If the folder cannot be written or the disk is full; no part of a file stays.
    """
    _parts.load(KINDS, kind)  # an unknown name is refused before anything is opened
    with open_source(result, slide, options or ExportOptions(), without) as source:
        for event in _written(kind, source, Path(folder)):
            if isinstance(event, ExportDone):
                path = Path(event.path)
    return path


def export(
    result: str,
    slide: str,
    folder: str,
    names: Sequence[str],
    options: ExportOptions | None = None,
) -> Iterator[Progress | Note | ExportDone]:
    """Write several files, as a job.

    Parameters
    ----------
    result : str
        Result file.
    slide : str
        Slide file.
    folder : str
        Where to write; made if missing.
    names : sequence of str
        Some of :func:`kind_names`.
    options : ExportOptions, optional
        How they leave.

    Yields
    ------
    Progress, Note or ExportDone
        An ``ExportDone`` for each file, when it is on disk.

    Raises
    ------
    MhimError
        As :func:`write`; files finished before stay.
    """
    if not names:
        raise ConfigError(f"nothing to export; there are: {', '.join(kind_names())}")
    for name in names:
        _parts.load(KINDS, name)
    with open_source(result, slide, options or ExportOptions()) as source:
        yield from (Note(text) for text in source.notes)
        for name in dict.fromkeys(names):
            yield from _written(name, source, Path(folder))


def _written(
    kind: str, source: Source, folder: Path
) -> Iterator[Progress | ExportDone]:
    part = _parts.load(KINDS, kind)
    path = folder / f"{safe(source.result.slide)}{part.SUFFIX}"
    yield from part.write(source, path)
    yield ExportDone(kind, str(path))
