"""A result as a table of patches: CSV or Parquet."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_mhim.errors import ConfigError

# NOTICE is known by this name elsewhere
from napari_mhim.export.words import NOTICE as NOTICE
from napari_mhim.mil.result import SlideResult, hard_instances, ranks
from napari_mhim.workspace import writing

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".parquet")
"""What a table can be written as."""


def percentiles(result: SlideResult) -> NDArray[np.float32]:
    """Give each patch's place among the slide's by its attention.

    Parameters
    ----------
    result : SlideResult
        What the model saw; branches are averaged.

    Returns
    -------
    ndarray, shape (N,), float32
        Above 0 and below 100; patches of equal weight share the middle of their places.
    """
    from scipy.stats import rankdata

    places = rankdata(result.attention.mean(axis=0), method="average")
    return np.asarray((places - 0.5) / len(places) * 100, np.float32)


def patch_table(
    result: SlideResult,
    class_index: int | None = None,
    k: int = 20,
    excluded: NDArray[np.bool_] | None = None,
) -> "pd.DataFrame":
    """Lay a result out as one row per patch.

    Parameters
    ----------
    result : SlideResult
        What the model saw, N patches.
    class_index : int, optional
        Class that hard patches speak for; the class of interest where not given.
    k : int
        How many patches are hard at most.
    excluded : ndarray, shape (N,), bool, optional
        True for patches in a region that is left out; those the result knows of where
        not given.

    Returns
    -------
    DataFrame, N rows
        ``row, column`` (grid cell), ``y, x, height, width`` (level-0 px), one
        ``attention`` column for each branch, ``attention_percentile`` (0 to 100, within
        the slide), ``evidence_<class>`` (push of the patch alone),
        ``contribution_<class>`` (N × attention × evidence), ``student_score``,
        ``student_rank``, ``teacher_score``, ``teacher_rank`` (1 = largest),
        ``hidden_by_teacher`` (bool), ``hard_rank`` (1 = hardest; empty where the patch is
        no hard instance) and, where any is, ``excluded`` (bool).
    """
    import pandas as pd

    corners = result.grid.corners
    columns = {
        "row": result.grid.cells[:, 0],
        "column": result.grid.cells[:, 1],
        "y": corners[:, 0],
        "x": corners[:, 1],
        "height": np.full(len(result), result.grid.patch_px[0]),
        "width": np.full(len(result), result.grid.patch_px[1]),
        **dict(zip(result.branches, result.attention, strict=True)),
        "attention_percentile": percentiles(result),
    }
    pushes = result.contribution
    for index, name in enumerate(result.classes):
        columns[f"evidence_{name}"] = result.evidence[:, index]
        columns[f"contribution_{name}"] = pushes[:, index]
    hard = hard_instances(result, class_index, k).index
    places = np.zeros(len(result), np.int64)
    places[hard] = np.arange(1, len(hard) + 1)
    columns |= {
        "student_score": result.student_scores,
        "student_rank": ranks(result.student_scores),
        "teacher_score": result.teacher_scores,
        "teacher_rank": ranks(result.teacher_scores),
        "hidden_by_teacher": result.mask,
        "hard_rank": pd.arrays.IntegerArray(places, places == 0),
    }
    excluded = result.excluded if excluded is None else excluded
    if excluded is not None:
        columns["excluded"] = excluded
    return pd.DataFrame(columns)


def write_patches(result: SlideResult, path: Path) -> None:
    """Write the table of all patches, whole or not at all.

    Parameters
    ----------
    result : SlideResult
        What the model saw.
    path : Path
        File ending in ``.csv`` (its first line, after ``#``, is the notice) or
        ``.parquet`` (the notice is in the file's metadata).

    Raises
    ------
    ConfigError
        If the suffix is neither.
    WorkspaceError
        If the folder cannot be written or the disk is full.
    """
    write_table(patch_table(result), result, path)


def write_table(table: "pd.DataFrame", result: SlideResult, path: Path) -> None:
    """Write a table of patches with the notice at its head, whole or not at all.

    Parameters
    ----------
    table : DataFrame
        Rows of :func:`patch_table`.
    result : SlideResult
        Whose patches they are: slide and model are named at the head.
    path : Path
        As for :func:`write_patches`.

    Raises
    ------
    ConfigError, WorkspaceError
        As :func:`write_patches`.
    """
    if path.suffix not in SUFFIXES:
        raise ConfigError(
            f"a table of patches is {' or '.join(SUFFIXES)}, got {path.name!r}"
        )
    # a name must not end the line that the notice stands on
    head = " ".join(f"{NOTICE} {result.slide}, model {result.bundle}".split())
    with writing(path) as part:
        if path.suffix == ".parquet":
            table.attrs["notice"] = head
            table.to_parquet(part)
            return
        with part.open("w", encoding="utf-8", newline="") as file:
            file.write(f"# {head}\n")
            # quoted names: pandas would take a # in one for another comment
            table.to_csv(file, index=False, quoting=csv.QUOTE_NONNUMERIC)
