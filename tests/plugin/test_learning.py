"""The curves of a run as they are drawn."""

import math

import numpy as np
import pytest
from window_pictures import HAS_DISPLAY

from napari_mhim.mil.milestones import EpochDone

pytestmark = [
    pytest.mark.qt,
    pytest.mark.skipif(not HAS_DISPLAY, reason="no display: use xvfb-run"),
]


def epoch(stage: str, number: int, auc: float, **losses: float) -> EpochDone:
    said = {"total": 1.0, "classification": 1.0 / number, **losses}
    return EpochDone(stage, number, 3, said, {"auc": auc, "loss": 0.5}, False, 0.8, 1.0)


@pytest.fixture
def view(qtbot):
    from napari_mhim.plugin.widgets.learning import LearningCurves

    made = LearningCurves()
    qtbot.addWidget(made)
    return made


def named(plot) -> list[str]:
    return [label.text for _, label in plot.plotItem.legend.items]


def test_each_curve_has_its_values_and_is_named_where_it_has_any(view) -> None:
    run = (epoch("plain", 1, 0.5), epoch("plain", 2, 0.9), epoch("mhim", 1, math.nan))
    view.show_epochs(run, best=1)
    x, y = view.shares.curves["validation AUC"].getData()
    assert x.tolist() == [1, 2, 3]
    assert np.array_equal(y, [0.5, 0.9, math.nan], equal_nan=True)
    assert named(view.losses) == ["classification loss", "validation loss"]
    view.show_epochs((*run, epoch("mhim", 2, 0.9, consistency=0.1)), best=1)
    assert "consistency loss" in named(view.losses)


def test_best_epoch_and_turn_of_stage_are_marked_once(view) -> None:
    run = (epoch("plain", 1, 0.5), epoch("plain", 2, 0.9), epoch("mhim", 1, 0.7))
    for _ in range(2):
        view.show_epochs(run, best=2)
        for plot in (view.losses, view.shares):
            assert [mark.value() for mark in plot.marks] == [2.5, 3]
    view.show_epochs((), best=-1)
    assert view.losses.marks == []
    assert named(view.losses) == []
