import json
from pathlib import Path

import numpy as np
import pytest

from napari_mhim.errors import ConfigError
from napari_mhim.export.folder import summary, write_folder
from napari_mhim.mil.result import SlideResult
from napari_mhim.slide.write import write_pyramid


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    path = tmp_path / "case-01.tif"
    pixels = np.full((1040, 1800, 3), 230, np.uint8)
    write_pyramid(path, pixels, mpp=(0.5, 0.25))
    return path


def test_the_folder_holds_scores_patches_and_a_picture(result, slide, tmp_path):
    stored = tmp_path / "result.h5"
    result.save(stored)
    out = write_folder(str(stored), str(slide), tmp_path / "out")
    assert {p.name for p in out.iterdir()} == {
        "prediction.json",
        "patches.csv",
        "heatmap.png",
    }
    found = json.loads((out / "prediction.json").read_text())
    assert found["probabilities"] == {"normal": 0.25, "tumour": 0.75}
    assert found["above_cutoff"] is True


def test_another_table_is_refused_before_anything_is_written(result, slide, tmp_path):
    stored = tmp_path / "result.h5"
    result.save(stored)
    with pytest.raises(ConfigError, match="csv or parquet"):
        write_folder(str(stored), str(slide), tmp_path / "out", "xls")
    assert not (tmp_path / "out").exists()


def test_the_summary_says_research_use_only(result: SlideResult) -> None:
    assert summary(result)["notice"] == "Research use only. Not for diagnosis."
