import math
from dataclasses import replace

import numpy as np
import pytest

from napari_mhim.demo.figures import (
    STATISTICS,
    Judged,
    draw,
    figures,
    judge,
    rank_auc,
    report,
    slide_auc,
)
from napari_mhim.phantom import PhantomTruth

NAN = float("nan")
CLEAN = Judged(0.2, 0, 0, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, 3.0)
HARD = Judged(0.4, 0, 6, 0.6, 0.7, 0.6, 0.7, 0.5, 0.4, NAN, 0.1, NAN)
BOTH = Judged(0.9, 9, 6, 0.9, 0.9, 0.6, 0.8, 0.3, 0.4, 1.0, 0.2, NAN)


def _square(y: float, x: float, side: float) -> np.ndarray:
    return np.array([[y, x], [y, x + side], [y + side, x + side], [y + side, x]])


def test_rank_auc_counts_pairs_in_order_and_ties_half() -> None:
    found = rank_auc(np.array([3.0, 1.0]), np.array([1.0, 0.0, 5.0]))
    assert found == pytest.approx((2 + 1.5) / 6)
    assert math.isnan(rank_auc(np.array([]), np.array([1.0])))


def test_slides_are_ranked_by_what_they_hold() -> None:
    worse = replace(CLEAN, score=0.5)
    slides = [CLEAN, worse, HARD, BOTH]
    assert slide_auc(slides) == pytest.approx(0.75)
    assert slide_auc(slides, hard_only=True) == pytest.approx(0.5)


def test_a_draw_holds_as_many_of_each_kind() -> None:
    slides = [CLEAN] * 5 + [HARD] * 2 + [BOTH] * 3
    drawn = draw(slides, np.random.default_rng(0))
    assert np.bincount([slides[i].group for i in drawn]).tolist() == [5, 2, 3]
    assert len(set(drawn.tolist())) < len(slides)


def test_every_figure_lies_in_its_interval() -> None:
    rng = np.random.default_rng(1)
    slides = [
        replace(slide, score=float(rng.random()))
        for slide in [CLEAN] * 6 + [HARD] * 3 + [BOTH] * 5
    ]
    for name, found in figures(slides).items():
        assert found.low <= found.value <= found.high, name


def test_a_figure_nobody_can_give_says_so() -> None:
    found = figures([CLEAN, CLEAN])
    assert found["slide AUC"].reason
    table = report({"MHIM": found})
    assert "there is no such slide" in table
    assert all(name in table for name in STATISTICS)


def test_judging_holds_patches_against_the_truth(made_result) -> None:
    result = made_result
    # hard where the first three patches are, by their own corners
    size = float(result.grid.patch_px.min())
    outlines = [_square(*corner, size) for corner in result.grid.corners[:3]]
    truth = PhantomTruth(result.slide_shape, (0.5, 0.25), {"hard": outlines})
    kinds = truth.patch_labels(result.grid)
    assert set(np.flatnonzero(kinds == 2)) >= {0, 1, 2}
    evidence = result.evidence.copy()
    evidence[:, 1] = np.where(kinds == 2, 5.0, -1.0)
    seen = replace(result, evidence=evidence, mask=np.zeros(len(result), bool))
    found = judge(seen, truth)
    assert (found.n_easy, found.n_hard) == (0, int((kinds == 2).sum()))
    assert found.evidence_auc == found.hard_evidence_auc == 1.0
    assert found.precision == found.recall == 1.0
    assert found.hard_hidden == 0.0
    assert math.isnan(found.easy_hidden)


def test_a_slide_whose_lesions_get_no_ring_has_missed_them(made_result) -> None:
    result = made_result
    outline = _square(*result.grid.corners[0], float(result.grid.patch_px.min()))
    truth = PhantomTruth(result.slide_shape, (0.5, 0.25), {"hard": [outline]})
    silent = replace(result, evidence=-np.abs(result.evidence))
    found = judge(silent, truth)
    assert math.isnan(found.precision)
    assert found.recall == 0.0
