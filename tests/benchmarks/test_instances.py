from dataclasses import replace

import numpy as np
import pytest
from instances import Split, holds_nucleus, look, told

from napari_mhim.mil.bags import Bag


def test_a_patch_holds_the_nuclei_between_its_corners(made_result):
    grid = made_result.grid
    y, x = grid.corners[7]
    inside = np.array([[x, y], [x + grid.patch_px[1] - 1, y + grid.patch_px[0] - 1]])
    below = np.array([[x, y + grid.patch_px[0]]])
    assert holds_nucleus(grid, inside)[7] == 1
    assert holds_nucleus(grid, below)[7] == 0


def test_no_nuclei_no_true_patch(made_result):
    assert not holds_nucleus(made_result.grid, np.zeros((0, 2))).any()


def kinds_of(n: int) -> np.ndarray:
    kinds = np.zeros(n, np.int8)
    kinds[:20], kinds[20:50] = 1, 2
    return kinds


def test_a_signal_that_is_the_truth_has_an_area_of_one(made_result):
    kinds = kinds_of(300)
    perfect = (kinds > 0).astype(np.float32) + 0.1
    result = replace(made_result, attention=perfect[None] / perfect.sum())
    found = look(result, kinds)
    assert found["attention, all"] == found["attention, hard"] == 1.0
    assert found["evidence, all"] < 0.7


def test_the_hard_set_is_held_against_the_hard_lesions(made_result):
    kinds = kinds_of(300)
    towards = np.where(kinds == 2, 1.0, -1.0).astype(np.float32)
    result = replace(
        made_result,
        evidence=np.stack([-towards, towards], axis=1),
        remaining=np.array([0.3, 0.7], np.float32),
        mask=np.zeros(300, bool),
    )
    found = look(result, kinds)
    assert found["precision"] == 1.0
    assert found["recall"] == pytest.approx(20 / 30)
    assert found["chance"] == pytest.approx(30 / 300)


def test_what_the_mask_hides_is_counted_by_kind(made_result):
    kinds = kinds_of(300)
    found = look(replace(made_result, mask=kinds == 1), kinds)
    assert found["easy hidden"] == 1.0
    assert found["hard hidden"] == 0.0


def test_a_slide_without_lesions_only_has_rings(made_result):
    assert set(look(made_result, np.zeros(300, np.int8))) == {"rings"}


def test_who_is_told_every_patch_finds_what_the_features_hold():
    rng = np.random.default_rng(0)
    kinds = {f"slide-{i}": (rng.random(50) < 0.3).astype(np.int8) for i in range(6)}
    bags = [
        Bag(name, (kind[:, None] * 3 + rng.normal(size=(50, 4))).astype(np.float32))
        for name, kind in kinds.items()
    ]
    parts = {"train": bags[:3], "val": bags[3:4], "test": bags[4:]}
    assert told(Split("made", 0, parts, kinds)) > 0.95
    noise = {name: rng.permutation(kind) for name, kind in kinds.items()}
    assert told(Split("made", 0, parts, noise)) < 0.8
