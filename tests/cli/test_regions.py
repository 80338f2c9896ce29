import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from napari_mhim import cli
from napari_mhim.errors import RegionError
from napari_mhim.slide import SlideIdentity, open_slide, read_regions
from napari_mhim.slide.write import write_pyramid
from napari_mhim.workspace import Workspace

runner = CliRunner()


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    path = tmp_path / "case-01.tif"
    write_pyramid(path, np.full((300, 500, 3), 230, np.uint8), mpp=(0.5, 0.5))
    return path


def _feature(left: int, name: str, label: str) -> dict:
    ring = [[left, 10], [left + 90, 10], [left + 90, 90], [left, 90], [left, 10]]
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {
            "objectType": "annotation",
            "name": name,
            "classification": {"name": label},
        },
    }


def _file(path: Path, *features: dict) -> Path:
    content = {"type": "FeatureCollection", "features": list(features)}
    path.write_text(json.dumps(content))
    return path


def _run(slide: Path, file: Path, place: Path, *more: str):
    line = ["regions", str(slide), str(file), "--workspace", str(place), *more]
    return runner.invoke(cli.app, line)


def _kept(slide: Path, place: Path) -> dict[str, str]:
    with open_slide(slide) as opened:
        identity = SlideIdentity.of(opened)
    path = Workspace(place).regions_path("case-01")
    return {one.name: one.kind for one in read_regions(path, identity).regions}


def test_regions_of_qupath_are_taken_and_counted(slide, tmp_path) -> None:
    file = _file(
        tmp_path / "q.geojson",
        _feature(10, "a", "Ignore*"),
        _feature(200, "b", "Tumor"),
    )
    done = _run(slide, file, tmp_path / "ws")
    assert done.exit_code == 0, done.output
    assert "case-01: 1 excluded, 1 hint\n" in done.output
    assert _kept(slide, tmp_path / "ws") == {"a": "exclude", "b": "hint"}


def test_regions_are_added_once(slide, tmp_path) -> None:
    first = _file(tmp_path / "1.geojson", _feature(10, "a", "Ignore*"))
    second = _file(tmp_path / "2.geojson", _feature(200, "b", "Ignore*"))
    for file in (first, second, first):
        _run(slide, file, tmp_path / "ws")
    assert _kept(slide, tmp_path / "ws") == {"a": "exclude", "b": "exclude"}


def test_replace_forgets_those_before(slide, tmp_path) -> None:
    first = _file(tmp_path / "1.geojson", _feature(10, "a", "Ignore*"))
    second = _file(tmp_path / "2.geojson", _feature(200, "b", "Ignore*"))
    _run(slide, first, tmp_path / "ws")
    _run(slide, second, tmp_path / "ws", "--replace")
    assert _kept(slide, tmp_path / "ws") == {"b": "exclude"}


def test_what_is_cut_is_said(slide, tmp_path) -> None:
    file = _file(tmp_path / "q.geojson", _feature(450, "edge", "Ignore*"))
    done = _run(slide, file, tmp_path / "ws")
    assert "'edge' reaches past the slide" in " ".join(done.output.split())


def test_regions_of_another_slide_change_nothing(slide, tmp_path) -> None:
    ours = _file(tmp_path / "1.geojson", _feature(10, "a", "Ignore*"))
    _run(slide, ours, tmp_path / "ws")
    far = _file(tmp_path / "2.geojson", _feature(9000, "b", "Ignore*"))
    done = _run(slide, far, tmp_path / "ws")
    assert isinstance(done.exception, RegionError)
    assert _kept(slide, tmp_path / "ws") == {"a": "exclude"}
