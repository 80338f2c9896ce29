import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from napari_mhim.errors import RegionError, WorkspaceError
from napari_mhim.slide import open_slide
from napari_mhim.slide.regions import (
    Region,
    SlideIdentity,
    cells_excluded,
    cells_inside,
    clipped,
    read_regions,
    region,
    write_regions,
)
from napari_mhim.slide.tiling import PatchGrid

SLIDE = SlideIdentity("case-01", "f" * 64, (1000, 1600))


def _box(top: float, left: float, bottom: float, right: float) -> np.ndarray:
    return np.array([[top, left], [top, right], [bottom, right], [bottom, left]], float)


def _grid(rows: int = 10, columns: int = 16) -> PatchGrid:
    return PatchGrid(
        origin=np.array([3.0, 5.0]),
        stride_px=np.array([100.0, 90.0]),
        patch_px=np.array([100.0, 120.0]),
        shape=(rows, columns),
        cells=np.argwhere(np.ones((rows, columns), bool)).astype(np.int32),
        mpp=0.5,
        patch_model_px=100,
    )


def _same(a: Region, b: Region) -> bool:
    plain = [
        (r.kind, r.class_name, r.reason, r.name, r.is_locked, r.id) for r in (a, b)
    ]
    rings = [
        [ring.tolist() for p in r.polygons for ring in (p.outline, *p.holes)]
        for r in (a, b)
    ]
    return plain[0] == plain[1] and rings[0] == rings[1]


def _qupath(*features: dict) -> str:
    return json.dumps({"type": "FeatureCollection", "features": list(features)})


def _feature(coordinates: list, shape: str = "Polygon", **properties: object) -> dict:
    return {
        "type": "Feature",
        "id": "2f1e2c4a-8f0b-4d77-9a6e-0d9c6b2f9a11",
        "geometry": {"type": shape, "coordinates": coordinates},
        "properties": {"objectType": "annotation", **properties},
    }


SQUARE = [[[10, 20], [110, 20], [110, 220], [10, 220], [10, 20]]]


def test_a_region_comes_back_from_its_file(tmp_path: Path) -> None:
    drawn = [
        region(
            _box(10, 20, 400, 500),
            [_box(50, 60, 90, 120)],
            reason="pen",
            name="Stift «1»",
        ),
        region(_box(500, 700.25, 600, 800), kind="hint", class_name="tumour"),
        replace(region(_box(1, 2, 3, 4), kind="note"), is_locked=True),
    ]
    path = tmp_path / "regions" / "case-01.geojson"
    write_regions(path, drawn, SLIDE)
    found = read_regions(path, SLIDE)
    assert not found.notes
    assert all(_same(a, b) for a, b in zip(drawn, found.regions, strict=True))


def test_what_qupath_said_is_written_back(tmp_path: Path) -> None:
    given = _feature(
        SQUARE,
        name="a",
        color=[1, 2, 3],
        isLocked=True,
        classification={"name": "Stroma", "color": [9, 8, 7]},
        metadata={"ANNOTATION_DESCRIPTION": "text"},
        measurements={"Area px^2": 20000.0},
    )
    path = tmp_path / "q.geojson"
    path.write_text(_qupath(given), encoding="utf-8")
    found = read_regions(path, SLIDE).regions
    write_regions(path, found, SLIDE)
    written = json.loads(path.read_text(encoding="utf-8"))["features"][0]
    assert written["id"] == given["id"]
    said = written["properties"]
    assert said.pop("metadata").items() >= given["properties"].pop("metadata").items()
    assert said == given["properties"]


def test_x_and_y_are_turned_round_at_the_door(tmp_path: Path) -> None:
    path = tmp_path / "q.geojson"
    path.write_text(_qupath(_feature(SQUARE)), encoding="utf-8")
    (found,) = read_regions(path, SLIDE).regions
    outline = found.polygons[0].outline
    assert outline.min(axis=0).tolist() == [20, 10]
    assert outline.max(axis=0).tolist() == [220, 110]


@pytest.mark.parametrize(
    ("label", "kind"),
    [("Ignore*", "exclude"), ("Necrosis*", "exclude"), ("Tumor", "hint"), ("", "note")],
)
def test_qupaths_classes_say_what_a_region_is_for(label, kind, tmp_path: Path) -> None:
    path = tmp_path / "q.geojson"
    path.write_text(_qupath(_feature(SQUARE, classification={"name": label})))
    assert read_regions(path, SLIDE).regions[0].kind == kind


def test_a_derived_class_of_newer_qupath_keeps_its_parts(tmp_path: Path) -> None:
    path = tmp_path / "q.geojson"
    label = {"names": ["Tumor", "Positive"], "color": [1, 2, 3]}
    path.write_text(_qupath(_feature(SQUARE, classification=label)))
    assert read_regions(path, SLIDE).regions[0].class_name == "Tumor: Positive"


def test_files_count_from_the_scanned_bounds(tmp_path: Path) -> None:
    bounded = replace(SLIDE, origin_px=(300.0, 200.0))
    path = tmp_path / "r.geojson"
    write_regions(path, [region(_box(310, 220, 400, 500))], bounded)
    written = json.loads(path.read_text())["features"][0]["geometry"]["coordinates"]
    assert np.min(written[0], axis=0).tolist() == [20, 10]
    # a file of ours says where it counts from, whoever reads it
    for reader in (bounded, SLIDE):
        (found,) = read_regions(path, reader).regions
        assert found.polygons[0].outline.min(axis=0).tolist() == [310, 220]


def test_bounds_are_read_off_the_slide(test_data: Path) -> None:
    path = test_data / "data" / "slides" / "aperio" / "CMU-1-Small-Region.svs"
    with open_slide(path) as slide:
        found = SlideIdentity.of(slide)
    assert found.shape == (2967, 2220)
    assert found.origin_px == (0, 0)


def test_a_lasso_that_crosses_itself_holds_both_loops() -> None:
    bow = region(np.array([[0, 0], [10, 10], [0, 10], [10, 0]], float))
    assert bow.area_px == 50
    turns = np.linspace(0, 4 * np.pi, 400)
    spiral = np.stack([np.sin(turns), np.cos(turns)], axis=1) * (50 + turns)[:, None]
    assert not region(spiral + 200).polygons[0].holes


def test_parts_of_a_multipolygon_that_overlap_become_one(tmp_path: Path) -> None:
    other = [[[60, 20], [160, 20], [160, 220], [60, 220], [60, 20]]]
    path = tmp_path / "q.geojson"
    path.write_text(_qupath(_feature([SQUARE, other], "MultiPolygon")))
    (found,) = read_regions(path, SLIDE).regions
    assert found.area_px == 150 * 200


def test_what_is_written_is_valid_for_shapely(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    lassos = [region(rng.random((30, 2)) * 900) for _ in range(5)]
    path = tmp_path / "r.geojson"
    write_regions(path, lassos, SLIDE)
    for feature in json.loads(path.read_text())["features"]:
        assert shapely.from_geojson(json.dumps(feature["geometry"])).is_valid


@given(st.integers(0, 10_000))
def test_patches_inside_are_those_whose_centre_is(seed: int) -> None:
    rng = np.random.default_rng(seed)
    grid = _grid()
    outline = rng.random((5, 2)) * [1000, 1600]
    hole = outline.mean(axis=0) + _box(-80, -80, 80, 80)
    drawn = region(outline, [hole]) if _holds(outline, hole) else region(outline)
    inside = cells_inside(drawn, grid)
    for row, is_inside in zip(grid.cells, inside, strict=True):
        y, x = grid.origin + row * grid.stride_px + grid.patch_px / 2
        parts = [_crossings(p.outline, y, x) % 2 for p in drawn.polygons]
        cut = [_crossings(h, y, x) % 2 for p in drawn.polygons for h in p.holes]
        assert is_inside == (any(parts) and not any(cut))


def _holds(outline: np.ndarray, hole: np.ndarray) -> bool:
    return shapely.make_valid(shapely.Polygon(outline)).contains_properly(
        shapely.Polygon(hole)
    )


def _crossings(ring: np.ndarray, y: float, x: float) -> int:
    """Edges that a ray to the right meets, by the book."""
    count = 0
    for (y0, x0), (y1, x1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        if (y0 > y) != (y1 > y) and x < x0 + (y - y0) * (x1 - x0) / (y1 - y0):
            count += 1
    return count


def test_only_exclusions_leave_patches_out() -> None:
    grid = _grid()
    boxes = [_box(0, 0, 200, 200), _box(500, 0, 700, 200)]
    drawn = [region(boxes[0]), region(boxes[1], kind="hint", class_name="tumour")]
    found = cells_excluded(drawn, grid)
    assert found.any()
    np.testing.assert_array_equal(found, cells_inside(drawn[0], grid))


def test_a_patch_on_a_shared_edge_is_in_a_region() -> None:
    grid = _grid()
    edge = float(grid.origin[0] + grid.patch_px[0] / 2)
    above, below = region(_box(0, 0, edge, 1600)), region(_box(edge, 0, 1000, 1600))
    assert (cells_inside(above, grid) | cells_inside(below, grid)).sum() == len(grid)


def test_a_region_past_the_edge_is_cut_and_said(tmp_path: Path) -> None:
    path = tmp_path / "q.geojson"
    ring = [[[1500, 900], [1700, 900], [1700, 1100], [1500, 1100], [1500, 900]]]
    path.write_text(_qupath(_feature(ring, name="edge")))
    found = read_regions(path, SLIDE)
    assert found.regions[0].area_px == 100 * 100
    assert found.notes == (
        "Region 'edge' reaches past the slide and was cut at its edge.",
    )


def test_a_region_inside_is_left_as_it_is() -> None:
    drawn = region(_box(0, 0, 1000, 1600))
    assert clipped(drawn, SLIDE.shape) is drawn


def test_a_region_beside_the_slide_is_left_out_and_said(tmp_path: Path) -> None:
    path = tmp_path / "q.geojson"
    outside = [[[5000, 0], [5010, 0], [5010, 10], [5000, 0]]]
    path.write_text(_qupath(_feature(SQUARE), _feature(outside, name="far")))
    found = read_regions(path, SLIDE)
    assert len(found.regions) == 1
    assert found.notes == ("Region 'far' lies outside the slide and was left out.",)


def test_regions_all_outside_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "q.geojson"
    path.write_text(_qupath(_feature([[[5000, 0], [5010, 0], [5010, 10], [5000, 0]]])))
    with pytest.raises(RegionError, match=r"none of the 1 regions.*'case-01'"):
        read_regions(path, SLIDE)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"name": "other", "fingerprint": "0" * 64},
            "slide 'case-01' .* not of 'other'",
        ),
        ({"fingerprint": "0" * 64}, "of another slide"),
        ({"shape": (999, 1600)}, "1600 × 999 px"),
        ({"name": "other", "fingerprint": ""}, "slide 'case-01'"),
    ],
)
def test_regions_of_another_slide_are_refused(change, said, tmp_path: Path) -> None:
    path = tmp_path / "r.geojson"
    write_regions(path, [region(_box(1, 2, 30, 40))], SLIDE)
    with pytest.raises(RegionError, match=said):
        read_regions(path, replace(SLIDE, **change))


def test_a_renamed_slide_keeps_its_regions(tmp_path: Path) -> None:
    path = tmp_path / "r.geojson"
    write_regions(path, [region(_box(1, 2, 30, 40))], SLIDE)
    assert read_regions(path, replace(SLIDE, name="renamed")).regions


def test_a_region_without_an_id_gets_the_same_one_again(tmp_path: Path) -> None:
    path = tmp_path / "q.geojson"
    path.write_text(_qupath({**_feature(SQUARE), "id": "1"}))
    first, second = (read_regions(path, SLIDE).regions[0] for _ in range(2))
    assert first.id == second.id


def test_tiles_and_points_are_no_regions(tmp_path: Path) -> None:
    path = tmp_path / "q.geojson"
    point = _feature([1, 2], "Point")
    tile = _feature(SQUARE, objectType="tile")
    path.write_text(_qupath(tile, tile, point, _feature(SQUARE)))
    found = read_regions(path, SLIDE)
    assert len(found.regions) == 1
    assert found.notes == (
        "2 of 'q.geojson' left out: they are tiles, not annotations.",
        "1 of 'q.geojson' left out: they are of shape Point, which holds no area.",
    )


def test_regions_inside_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "q.geojson"
    inner = _feature([[[20, 30], [40, 30], [40, 50], [20, 30]]], name="inner")
    path.write_text(_qupath(_feature(SQUARE, childObjects=[inner])))
    found = read_regions(path, SLIDE).regions
    assert [one.name for one in found] == ["", "inner"]
    assert "childObjects" not in found[0].other


@pytest.mark.parametrize(
    ("given", "n"),
    [({"id": "PathAnnotationObject"}, 1), ({"id": "PathDetectionObject"}, 0)],
)
def test_older_files_name_the_type_by_id(given: dict, n: int, tmp_path: Path) -> None:
    path = tmp_path / "q.geojson"
    feature = {**_feature(SQUARE), **given}
    del feature["properties"]["objectType"]
    path.write_text(_qupath(feature))
    assert len(read_regions(path, SLIDE).regions) == n


@pytest.mark.parametrize(
    "coordinates",
    [
        [[[1, 2], [3, 4], [1, 2]]],
        [[[0, 0], [1, 1], [2, 2], [0, 0]]],
        [[["a", 2]]],
        [[]],
        None,
        [[[1e999, 0], [1, 1], [2, 0], [1e999, 0]]],
    ],
)
def test_a_feature_without_area_is_left_out(coordinates, tmp_path: Path) -> None:
    path = tmp_path / "q.geojson"
    path.write_text(_qupath(_feature(coordinates), _feature(SQUARE)))
    found = read_regions(path, SLIDE)
    assert len(found.regions) == 1
    assert found.notes == ("1 of 'q.geojson' left out: they enclose nothing.",)


@pytest.mark.parametrize("form", ["list", "single"])
def test_qupaths_other_forms_are_read(form: str, tmp_path: Path) -> None:
    path = tmp_path / "q.geojson"
    one = _feature(SQUARE)
    path.write_text(json.dumps([one] if form == "list" else one))
    assert len(read_regions(path, SLIDE).regions) == 1


@pytest.mark.parametrize("text", ["", "{", '{"type": "Polygon"}', "3", "\0"])
def test_a_file_that_is_no_geojson_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.geojson"
    path.write_text(text)
    with pytest.raises(RegionError, match=r"'bad\.geojson'"):
        read_regions(path, SLIDE)


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.geojson"
    write_regions(path, [region(_box(1, 2, 30, 40))], SLIDE)
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(RegionError, match="update napari-mhim"):
        read_regions(path, SLIDE)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(RegionError, match="there is no file"):
        read_regions(tmp_path / "none.geojson", SLIDE)


def test_a_region_drawn_beside_the_slide_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "r.geojson"
    with pytest.raises(RegionError, match="'exclude' lies outside slide 'case-01'"):
        write_regions(path, [region(_box(2000, 0, 2100, 100))], SLIDE)
    assert not path.exists()


def test_a_folder_that_cannot_be_written_keeps_the_old_file(tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.write_text("")
    with pytest.raises(WorkspaceError, match="cannot be written"):
        write_regions(taken / "r.geojson", [], SLIDE)


@pytest.mark.parametrize(
    "outline",
    [np.zeros((2, 2)), np.zeros((5, 2)), np.zeros((4, 3)), np.full((4, 2), np.nan)],
)
def test_an_outline_that_is_none_is_refused(outline: np.ndarray) -> None:
    with pytest.raises(RegionError, match="region"):
        region(outline)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(RegionError, match="exclude, hint, note, not 'keep'"):
        region(_box(0, 0, 9, 9), kind="keep")
