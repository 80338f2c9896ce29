"""The curve: its area is the AUC, its ends are the corners."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_scores import binary, random_set

from napari_mhim.mil.evaluate import auc
from napari_mhim.mil.roc import roc


@given(st.integers(0, 100_000))
def test_its_area_is_the_auc(seed: int) -> None:
    labels, probabilities = random_set(seed)
    curve = roc(labels, probabilities)
    area = np.trapezoid(curve.sensitivity, curve.false_positive)
    assert area == pytest.approx(auc(labels, probabilities))
    ends = [(curve.false_positive[i], curve.sensitivity[i]) for i in (0, -1)]
    assert ends == [(0, 0), (1, 1)]
    assert (np.diff(curve.cutoffs) < 0).all()


@pytest.mark.parametrize("labels", [[], [0, 0], [1, 1]])
def test_one_class_has_no_curve(labels: list[int]) -> None:
    assert roc(*binary(labels, [0.3, 0.6][: len(labels)])) is None
