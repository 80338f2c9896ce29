"""Layers as tuples, without a window."""

import made
import numpy as np
import pytest
from napari.layers import Layer

from napari_mhim.mil.result import hard_instances
from napari_mhim.plugin import overlays
from napari_mhim.plugin.outlines import dashes
from napari_mhim.plugin.overlays import MAX_RINGS, OURS
from napari_mhim.plugin.register import grid_transform
from napari_mhim.slide.tiling import PatchGrid

TUMOUR = 1


def some_grid(draw: np.random.Generator) -> PatchGrid:
    patch = draw.uniform(3, 40, 2)
    rows, cols = draw.integers(1, 9, 2)
    cells = np.argwhere(np.ones((rows, cols), bool)).astype(np.int32)
    return PatchGrid(
        origin=draw.uniform(0, 50, 2),
        stride_px=patch,
        patch_px=patch,
        shape=(int(rows), int(cols)),
        cells=cells,
        mpp=0.5,
        patch_model_px=32,
    )


@pytest.mark.parametrize("seed", range(20))
def test_first_and_last_pixel_of_a_patch_fall_in_its_own_cell(seed: int) -> None:
    draw = np.random.default_rng(seed)
    grid, mpp = some_grid(draw), tuple(draw.uniform(0.1, 2, 2))
    place = grid_transform(grid, mpp)
    # a level-0 pixel is in a patch when its centre lies between the patch's edges,
    # which are half a pixel before its first pixel's centre
    first = np.ceil(grid.corners - 0.5 + 1e-9)
    last = np.ceil(grid.corners + grid.patch_px - 0.5 - 1e-9) - 1
    for pixel in (first, last):
        world = pixel * mpp
        cell = np.round((world - place.translate) / place.scale)
        np.testing.assert_array_equal(cell, grid.cells)


def test_napari_agrees_on_where_a_patch_lies() -> None:
    data, kwargs, kind = overlays.attention_layer(made.result(), made.MPP)
    layer = Layer.create(data, kwargs, kind)
    grid = made.grid()
    middles = (grid.corners + (grid.patch_px - 1) / 2) * made.MPP
    for cell, middle in zip(grid.cells, middles, strict=True):
        np.testing.assert_allclose(layer.world_to_data(middle), cell, atol=1e-6)


def test_overlapping_patches_keep_their_middles() -> None:
    grid = made.grid()
    half = PatchGrid(
        **{**grid.__dict__, "stride_px": grid.patch_px / 2, "cells": grid.cells}
    )
    place = grid_transform(half, (1.0, 1.0))
    at = half.cells * place.scale + np.array(place.translate)
    np.testing.assert_allclose(at, half.corners + (half.patch_px - 1) / 2)


def test_without_mpp_the_world_is_pixels() -> None:
    place = grid_transform(made.grid(), None)
    np.testing.assert_allclose(place.scale, made.grid().stride_px)
    assert place.units == ("pixel", "pixel")


@pytest.mark.parametrize("mpp", [made.MPP, None])
def test_every_layer_has_units_and_fits_napari(mpp: tuple | None) -> None:
    unit = "micrometer" if mpp else "pixel"
    for data, kwargs, kind in overlays.result_layers(
        made.result(), TUMOUR, mpp, made.truth()
    ):
        layer = Layer.create(data, dict(kwargs), kind)
        assert [str(one) for one in layer.units] == [unit, unit]


def test_layers_are_named_and_ordered_as_written() -> None:
    found = overlays.result_layers(made.result(), TUMOUR, made.MPP, made.truth())
    assert [(kwargs["name"], kwargs["visible"]) for _, kwargs, _ in found] == [
        ("Evidence: tumour", True),
        ("Attention", False),
        ("Hidden by teacher", False),
        ("Truth (demo only)", False),
        ("Hard patches", True),
    ]


def test_truth_is_left_out_of_real_slides() -> None:
    found = overlays.result_layers(made.result(), TUMOUR, made.MPP)
    parts = [kwargs["metadata"][OURS]["part"] for _, kwargs, _ in found]
    assert overlays.TRUTH not in parts


def test_maps_are_nan_outside_the_tissue_and_float32() -> None:
    result = made.result()
    outside = np.ones(result.grid.shape, bool)
    outside[tuple(result.grid.cells.T)] = False
    for make in (overlays.attention_layer, overlays.hidden_layer):
        image, _, _ = make(result, made.MPP)
        assert image.dtype == np.float32
        assert np.isnan(image[outside]).all()
    image, _, _ = overlays.evidence_layer(result, TUMOUR, made.MPP)
    np.testing.assert_array_equal(np.isnan(image), outside)


def test_evidence_is_about_zero_with_the_bundles_limits() -> None:
    result = made.result(evidence_limits=np.array([7.0, 2.5], np.float32))
    image, kwargs, _ = overlays.evidence_layer(result, TUMOUR, made.MPP)
    assert kwargs["contrast_limits"] == (-2.5, 2.5)
    values = image[tuple(result.grid.cells.T)]
    np.testing.assert_allclose(values, result.contribution[:, TUMOUR])


def test_colours_do_not_depend_on_the_slide() -> None:
    strong, weak = made.result(True), made.result(False)
    _, first, _ = overlays.evidence_layer(strong, TUMOUR, made.MPP)
    _, second, _ = overlays.evidence_layer(weak, TUMOUR, made.MPP)
    assert first["contrast_limits"] == second["contrast_limits"]


def test_hidden_marks_exactly_the_mask() -> None:
    result = made.result()
    image, _, _ = overlays.hidden_layer(result, made.MPP)
    np.testing.assert_array_equal(image[tuple(result.grid.cells.T)] == 1, result.mask)


def test_attention_of_an_indifferent_model_stays_dark() -> None:
    n = len(made.grid())
    result = made.result(attention=np.full((1, n), 1 / n, np.float32))
    image, kwargs, _ = overlays.attention_layer(result, made.MPP)
    assert np.nanmax(image) == pytest.approx(1)
    assert kwargs["contrast_limits"] == (0, 2)


@pytest.mark.parametrize("seed", range(5))
def test_rings_are_few_unhidden_and_speak_for_the_class(seed: int) -> None:
    draw = np.random.default_rng(seed)
    n = len(made.grid())
    push = draw.normal(0, 1, n).astype(np.float32)
    mask = draw.random(n) < 0.3
    result = made.result(evidence=np.stack([-push, push], 1), mask=mask)
    points, _, _ = overlays.hard_layer(result, TUMOUR, made.MPP)
    centres = result.grid.corners + (result.grid.patch_px - 1) / 2
    allowed = {tuple(one) for one in centres[~mask & (push > 0)]}
    assert 0 < len(points) <= MAX_RINGS
    assert {tuple(one) for one in points} <= allowed


def test_a_slide_without_support_has_no_rings() -> None:
    data, kwargs, kind = overlays.hard_layer(made.result(False), TUMOUR, made.MPP)
    assert data.shape == (0, 2)
    assert len(Layer.create(data, kwargs, kind).data) == 0


def test_rings_tell_their_reason() -> None:
    result = made.result()
    _, kwargs, _ = overlays.hard_layer(result, TUMOUR, made.MPP)
    reasons = hard_instances(result, TUMOUR, k=MAX_RINGS).reasons
    assert list(kwargs["features"]["reason"]) == list(reasons)


def test_truth_draws_easy_solid_and_hard_dashed() -> None:
    paths, kwargs, _ = overlays.truth_layer(made.truth(), made.MPP, "case")
    kinds = list(kwargs["features"]["kind"])
    assert kinds.count("easy") == 1
    assert kinds.count("hard") > 5
    easy = made.truth().polygons["easy"][0] - 0.5
    np.testing.assert_allclose(paths[0], np.vstack([easy, easy[:1]]))


def test_dashes_cover_half_of_the_outline_and_lie_on_it() -> None:
    square = np.array([[0.0, 0], [0, 8], [8, 8], [8, 0]])
    parts = dashes(square, n=10)
    length = sum(np.hypot(*np.diff(part, axis=0).T).sum() for part in parts)
    assert length == pytest.approx(16)
    points = np.vstack(parts)
    on_edge = np.isclose(points, 0) | np.isclose(points, 8)
    assert on_edge.any(axis=1).all()


def test_an_outline_of_one_point_has_no_dashes() -> None:
    assert dashes(np.zeros((4, 2))) == []
