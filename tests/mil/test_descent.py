"""Where a model comes from, and parent against child on the same slides."""

import numpy as np
import pytest

from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.cohort import Cohort, CohortRow
from napari_mhim.mil.descent import before_after, descent

LABELS = np.array([0, 0, 0, 1, 1, 1], np.int64)
PATIENTS = [f"p{i}" for i in range(6)]


def scores(*values: float) -> np.ndarray:
    target = np.array(values)
    return np.stack([1 - target, target], axis=1)


GOOD, POOR = scores(0.1, 0.2, 0.3, 0.7, 0.8, 0.9), scores(0.9, 0.2, 0.8, 0.1, 0.8, 0.7)


def test_the_change_is_after_minus_before() -> None:
    found = before_after(LABELS, POOR, GOOD, PATIENTS)
    change, before = found["auc_change"], found["auc_before"]
    assert found["auc_after"]["value"] == 1
    assert change["value"] == pytest.approx(1 - before["value"])
    assert change["low"] <= change["value"] <= change["high"]
    assert change["n"] == found["patients"] == 6


def test_slides_that_both_order_alike_give_no_certainty() -> None:
    change = before_after(LABELS, GOOD, GOOD**2, PATIENTS)["auc_change"]
    assert change["value"] == 0
    assert change["low"] is None
    assert "alike" in change["reason"]


@pytest.mark.parametrize(
    ("labels", "before", "reason"),
    [
        (np.zeros(6, np.int64), GOOD, "a class has no slide"),
        (LABELS, np.full((6, 3), 1 / 3), "classes are not the same"),
    ],
)
def test_what_cannot_be_compared_says_why(
    labels: np.ndarray, before: np.ndarray, reason: str
) -> None:
    change = before_after(labels, before, GOOD, PATIENTS)["auc_change"]
    assert change["value"] is None
    assert reason in change["reason"]


def test_patients_are_counted_and_not_slides() -> None:
    assert (
        before_after(LABELS, POOR, GOOD, ["a", "a", "b", "c", "c", "c"])["patients"]
        == 3
    )


def test_slides_the_parent_knows_are_not_counted_as_added(bundle: Bundle) -> None:
    rows = [
        CohortRow("slide-01", label="tumour", role="train"),
        CohortRow("slide-09", label="tumour", role="val"),
        CohortRow("new-1", label="tumour", role="train"),
        CohortRow("new-2", label="normal", role="train"),
        CohortRow("new-3", label="normal", role="val"),
        CohortRow("new-4", label="normal"),
    ]
    said = descent(bundle.config, "id", Cohort.of(rows, bundle.config.classes), "head")
    assert said["old"] == {"train": 1, "val": 1}
    assert said["added"] == {"train": {"tumour": 1, "normal": 1}, "val": {"normal": 1}}
