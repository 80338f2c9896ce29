"""A result as a table of patches: CSV or Parquet."""

from pathlib import Path
from typing import TYPE_CHECKING

from napari_mhim.errors import ConfigError
from napari_mhim.mil.result import SlideResult, hard_instances
from napari_mhim.workspace import writing

if TYPE_CHECKING:
    import pandas as pd

NOTICE = "Research use only. Not for diagnosis."
"""Stands on every picture and at the head of every table."""
SUFFIXES = (".csv", ".parquet")
"""What a table can be written as."""


def patch_table(result: SlideResult) -> "pd.DataFrame":
    """Lay a result out as one row per patch.

    Parameters
    ----------
    result : SlideResult
        What the model saw, N patches.

    Returns
    -------
    DataFrame, N rows
        ``row, column`` (grid cell), ``y, x, height, width`` (level-0 px), one
        ``attention`` column for each branch, ``evidence_<class>``, ``student_score``,
        ``teacher_score``, ``hidden_by_teacher`` (bool) and ``hard_rank`` (1 = hardest;
        empty where the patch is no hard instance).
    """
    import pandas as pd

    corners = result.grid.corners
    table = pd.DataFrame(
        {
            "row": result.grid.cells[:, 0],
            "column": result.grid.cells[:, 1],
            "y": corners[:, 0],
            "x": corners[:, 1],
            "height": result.grid.patch_px[0],
            "width": result.grid.patch_px[1],
        }
    )
    for branch, weights in zip(result.branches, result.attention, strict=True):
        table[branch] = weights
    for index, name in enumerate(result.classes):
        table[f"evidence_{name}"] = result.evidence[:, index]
    table["student_score"] = result.student_scores
    table["teacher_score"] = result.teacher_scores
    table["hidden_by_teacher"] = result.mask
    table["hard_rank"] = pd.array([pd.NA] * len(table), dtype="Int64")
    hard = hard_instances(result).index
    table.loc[hard, "hard_rank"] = range(1, len(hard) + 1)
    return table


def write_patches(result: SlideResult, path: Path) -> None:
    """Write the table of patches, whole or not at all.

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
    if path.suffix not in SUFFIXES:
        raise ConfigError(
            f"a table of patches is {' or '.join(SUFFIXES)}, got {path.name!r}"
        )
    table = patch_table(result)
    with writing(path) as part:
        if path.suffix == ".parquet":
            table.attrs["notice"] = NOTICE
            table.to_parquet(part)
            return
        with part.open("w", encoding="utf-8", newline="") as file:
            file.write(f"# {NOTICE} {result.slide}, model {result.bundle}\n")
            table.to_csv(file, index=False)
