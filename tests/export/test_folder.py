import json
from dataclasses import replace

import numpy as np
import pytest

from napari_mhim.errors import ConfigError, FeatureMismatchError
from napari_mhim.export.folder import summary, write_folder
from napari_mhim.mil.result import SlideResult


def test_the_folder_holds_scores_patches_and_a_picture(
    result_path, slide_path, tmp_path
):
    out = write_folder(str(result_path), str(slide_path), tmp_path / "out")
    assert {p.name for p in out.iterdir()} == {
        "prediction.json",
        "patches.csv",
        "heatmap.png",
    }
    found = json.loads((out / "prediction.json").read_text())
    assert found["probabilities"] == {"normal": 0.25, "tumour": 0.75}
    assert found["above_cutoff"] is True


def test_another_table_is_refused_before_anything_is_written(
    result_path, slide_path, tmp_path
):
    with pytest.raises(ConfigError, match="csv or parquet"):
        write_folder(str(result_path), str(slide_path), tmp_path / "out", "xls")
    assert not (tmp_path / "out").exists()


def test_the_summary_says_research_use_only(result: SlideResult) -> None:
    assert summary(result)["notice"] == "Research use only. Not for diagnosis."


def test_a_result_of_another_slide_is_refused(result_path, sample, tmp_path) -> None:
    with pytest.raises(FeatureMismatchError, match=r"'case-01'.*'both\.tiff'"):
        write_folder(str(result_path), str(sample / "both.tiff"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_summary_gives_both_scores(result: SlideResult) -> None:
    known = replace(
        result,
        excluded=np.arange(len(result)) < 9,
        excluding=np.array([0.9, 0.1], np.float32),
    )
    found = summary(known)
    assert found["probabilities"] == {"normal": 0.25, "tumour": 0.75}
    assert found["probabilities_without_excluded"] == {"normal": 0.9, "tumour": 0.1}
    assert found["excluded_patches"] == 9
    assert summary(result)["probabilities_without_excluded"] is None
