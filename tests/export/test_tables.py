import errno
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from napari_mhim.errors import ConfigError, WorkspaceError
from napari_mhim.export.tables import NOTICE, patch_table, percentiles, write_patches
from napari_mhim.mil.result import SlideResult, hard_instances


def _read(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, comment="#")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_reads_back_equal(result: SlideResult, tmp_path: Path, suffix: str):
    path = tmp_path / f"patches{suffix}"
    write_patches(result, path)
    found = _read(path)
    assert len(found) == len(result)
    np.testing.assert_allclose(found["attention"], result.attention[0], rtol=1e-5)
    np.testing.assert_allclose(found[["y", "x"]], result.grid.corners)
    assert (found["hidden_by_teacher"] == result.mask).all()


def test_hard_rank_follows_the_hard_instances(result: SlideResult) -> None:
    table = patch_table(result)
    ranked = table["hard_rank"].dropna().sort_values().index
    np.testing.assert_array_equal(ranked, hard_instances(result).index)


def test_a_csv_begins_with_the_notice(result: SlideResult, tmp_path: Path) -> None:
    path = tmp_path / "patches.csv"
    write_patches(result, path)
    assert path.read_text().startswith(f"# {NOTICE}")


def test_a_name_with_a_hash_is_read_back(result: SlideResult, tmp_path: Path) -> None:
    odd = replace(result, classes=("grade #1", "grade #2"), slide="a\nb")
    path = tmp_path / "patches.csv"
    write_patches(odd, path)
    assert len(_read(path)) == len(result)
    assert "evidence_grade #2" in _read(path)


def test_percentiles_are_places_within_the_slide(result: SlideResult) -> None:
    found = percentiles(result)
    order = np.argsort(result.attention[0])
    assert (np.diff(found[order]) > 0).all()
    assert found.mean() == pytest.approx(50)


def test_patches_of_one_weight_share_the_middle(result: SlideResult) -> None:
    even = replace(result, attention=np.full_like(result.attention, 0.1))
    np.testing.assert_allclose(percentiles(even), 50)


def test_ranks_begin_at_the_largest_score(result: SlideResult) -> None:
    table = patch_table(result)
    assert table["teacher_rank"][result.teacher_scores.argmax()] == 1
    assert sorted(table["student_rank"]) == list(range(1, len(result) + 1))


def test_another_suffix_is_refused(result: SlideResult, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.csv or \.parquet, got 'patches\.xls'"):
        write_patches(result, tmp_path / "patches.xls")


def test_a_full_disk_leaves_nothing(result, tmp_path: Path, monkeypatch) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(WorkspaceError, match="full"):
        write_patches(result, tmp_path / "out" / "patches.csv")
    assert list((tmp_path / "out").iterdir()) == []
