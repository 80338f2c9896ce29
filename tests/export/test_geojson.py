import json
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
import shapely

from napari_mhim.export import ExportOptions, write
from napari_mhim.export.kinds import geojson
from napari_mhim.export.source import open_source
from napari_mhim.export.tables import patch_table
from napari_mhim.mil.result import SlideResult, hard_instances
from napari_mhim.slide import (
    SlideIdentity,
    open_slide,
    read_regions,
    region,
    write_regions,
)

TYPES = {"annotation", "tile", "detection", "cell"}


def _features(path: Path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))["features"]


def _tiles(path: Path) -> list[dict]:
    return [f for f in _features(path) if f["properties"]["objectType"] == "tile"]


def _check_qupath(content: dict) -> None:
    """What QuPath's reader asks of a file: types, and nothing that it would throw at."""
    assert content["type"] == "FeatureCollection"
    for feature in content["features"]:
        assert feature["type"] == "Feature"
        if "id" in feature:
            UUID(feature["id"])
        assert feature["geometry"]["type"] in {"Polygon", "MultiPolygon"}
        said = feature["properties"]
        assert said["objectType"] in TYPES
        assert isinstance(said.get("isLocked", False), bool)
        assert isinstance(said.get("name", ""), str)
        if label := said.get("classification"):
            assert isinstance(label["name"], str)
            assert all(type(c) is int and 0 <= c < 256 for c in label["color"])
        for name, value in said.get("measurements", {}).items():
            assert isinstance(name, str)
            # its map is of doubles: true and false would not be read
            assert type(value) in (int, float)
            assert np.isfinite(value)
        for value in said.get("metadata", {}).values():
            assert isinstance(value, str)


@pytest.mark.parametrize("name", ["both", "hard", "negative"])
def test_a_sample_is_what_qupath_reads(name: str, sample, tmp_path: Path) -> None:
    path = write("geojson", sample / f"{name}.h5", sample / f"{name}.tiff", tmp_path)
    _check_qupath(json.loads(path.read_text(encoding="utf-8")))
    shapes = [shapely.from_geojson(json.dumps(f["geometry"])) for f in _features(path)]
    assert all(shape.is_valid for shape in shapes)


def test_every_tile_lies_where_its_patch_does(result, slide_path, tmp_path) -> None:
    tiles = _tiles(write("geojson", result, slide_path, tmp_path))
    assert len(tiles) == len(result)
    for tile, (y, x) in zip(tiles, result.grid.corners, strict=True):
        left, top, right, bottom = shapely.from_geojson(
            json.dumps(tile["geometry"])
        ).bounds
        height, width = result.grid.patch_px
        np.testing.assert_allclose(
            (left, top, right, bottom), (x, y, x + width, y + height), atol=0.006
        )


def test_measurements_come_back_to_the_last_bit(result, slide_path, tmp_path) -> None:
    tiles = _tiles(write("geojson", result, slide_path, tmp_path))
    table = patch_table(result)
    for label, column in {
        "Attention": "attention",
        "Attention percentile": "attention_percentile",
        "Evidence: tumour": "evidence_tumour",
        "Contribution: normal": "contribution_normal",
        "Teacher score": "teacher_score",
    }.items():
        found = [tile["properties"]["measurements"][label] for tile in tiles]
        np.testing.assert_array_equal(np.float32(found), table[column])
    for label, column in {
        "Student rank": "student_rank",
        "Teacher rank": "teacher_rank",
        "Hidden by teacher": "hidden_by_teacher",
    }.items():
        found = [tile["properties"]["measurements"][label] for tile in tiles]
        np.testing.assert_array_equal(found, table[column])


def test_hard_patches_have_their_rank_and_reason(result, slide_path, tmp_path) -> None:
    options = ExportOptions(patches="hard", top=5)
    tiles = _tiles(write("geojson", result, slide_path, tmp_path, options))
    hard = hard_instances(result, k=5)
    said = [tile["properties"] for tile in tiles]
    assert [s["measurements"]["Hard rank"] for s in said] == [1, 2, 3, 4, 5]
    assert tuple(s["metadata"]["MHIM hard patch"] for s in said) == hard.reasons


def test_what_is_not_hard_has_no_rank(result, slide_path, tmp_path) -> None:
    tiles = _tiles(write("geojson", result, slide_path, tmp_path))
    measured = [tile["properties"]["measurements"] for tile in tiles]
    assert sum("Hard rank" in m for m in measured) == sum(m["Hard"] for m in measured)


@pytest.mark.parametrize(
    ("patches", "wanted"),
    [
        ("hidden", lambda r: set(np.flatnonzero(r.mask))),
        ("top", lambda r: set(np.argsort(-r.attention[0])[:7])),
        ("hard", lambda r: set(hard_instances(r, k=7).index)),
    ],
)
def test_only_the_patches_asked_for(
    patches, wanted, result, slide_path, tmp_path
) -> None:
    options = ExportOptions(patches=patches, top=7)
    path = write("geojson", result, slide_path, tmp_path, options)
    weights = {w: i for i, w in enumerate(result.attention[0])}
    found = {
        weights[np.float32(tile["properties"]["measurements"]["Attention"])]
        for tile in _tiles(path)
    }
    assert found == wanted(result)


def test_a_tile_is_classified_by_the_sign_of_its_evidence(
    result, slide_path, tmp_path
) -> None:
    evidence = result.evidence.copy()
    evidence[0] = 0
    path = write("geojson", replace(result, evidence=evidence), slide_path, tmp_path)
    for tile, value in zip(_tiles(path), evidence[:, 1], strict=True):
        label = tile["properties"].get("classification", {}).get("name")
        side = {1: "Evidence for tumour", -1: "Evidence against tumour", 0: None}
        assert label == side[int(np.sign(value))]


def test_a_tile_past_the_edge_ends_at_it(result, slide_path, tmp_path) -> None:
    grid = replace(result.grid, origin=np.array([30.0, 40.0]))
    path = write("geojson", replace(result, grid=grid), slide_path, tmp_path)
    corners = np.concatenate(
        [tile["geometry"]["coordinates"][0] for tile in _tiles(path)]
    )
    assert corners[:, 0].max() <= 1800
    assert corners[:, 1].max() <= 1040


def test_regions_go_along_and_come_back(result, slide_path, tmp_path) -> None:
    with open_slide(slide_path) as slide:
        identity = SlideIdentity.of(slide)
    box = np.array([[10, 20], [10, 400], [300, 400], [300, 20.5]])
    drawn = [
        region(box, reason="fold", name="a"),
        region(box + 300, kind="hint", class_name="tumour"),
    ]
    regions = tmp_path / "r.geojson"
    write_regions(regions, drawn, identity)
    options = ExportOptions(regions=str(regions))
    path = write("geojson", result, slide_path, tmp_path / "out", options)
    _check_qupath(json.loads(path.read_text(encoding="utf-8")))
    back = read_regions(path, identity)
    assert [(r.id, r.kind, r.reason, r.class_name, r.name) for r in back.regions] == [
        (r.id, r.kind, r.reason, r.class_name, r.name) for r in drawn
    ]
    for a, b in zip(back.regions, drawn, strict=True):
        np.testing.assert_array_equal(a.polygons[0].outline, b.polygons[0].outline)
    excluded = [t["properties"]["measurements"]["Excluded"] for t in _tiles(path)]
    centres = result.grid.corners + result.grid.patch_px / 2
    inside = (centres >= [10, 20]).all(axis=1) & (centres <= [300, 400]).all(axis=1)
    np.testing.assert_array_equal(excluded, inside)


def test_tiles_count_from_the_scanned_bounds(result, slide_path, tmp_path) -> None:
    plain = write("geojson", result, slide_path, tmp_path / "plain")
    shifted = tmp_path / "shifted.geojson"
    with open_source(result, slide_path, ExportOptions()) as source:
        bounded = replace(source.identity, origin_px=(100.0, 30.0))
        list(geojson.write(replace(source, identity=bounded), shifted))
    for here, there in zip(_tiles(plain), _tiles(shifted), strict=True):
        step = np.subtract(
            here["geometry"]["coordinates"], there["geometry"]["coordinates"]
        )
        np.testing.assert_allclose(step, np.broadcast_to([30, 100], step.shape))


def test_names_cannot_break_the_file(
    result: SlideResult, slide_path: Path, tmp_path: Path
) -> None:
    odd = replace(result, classes=("no", 'tu"mour\\\n</script>é'), slide='a"b')
    path = write("geojson", odd, slide_path, tmp_path)
    measured = _tiles(path)[0]["properties"]["measurements"]
    assert 'Evidence: tu"mour\\\n</script>é' in measured


def test_a_real_slide_has_tiles_of_its_patches(real, tmp_path: Path) -> None:
    result, path = real
    found = _tiles(write("geojson", result, path, tmp_path))
    assert len(found) == len(result)


def test_the_file_says_what_the_scores_are(result, slide_path, tmp_path) -> None:
    path = write("geojson", result, slide_path, tmp_path)
    ours = json.loads(path.read_text(encoding="utf-8"))["napari_mhim"]
    assert ours["notice"] == "Research use only. Not for diagnosis."
    assert ours["scores"] == {"normal": 0.25, "tumour": 0.75}
    assert ours["model_id"] == result.bundle_id
    assert ours["fingerprint"] == result.fingerprint
