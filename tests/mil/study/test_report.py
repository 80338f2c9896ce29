"""The table in its three forms says the same."""

import csv
import io
import json

import pytest

from napari_mhim.mil.bootstrap import Interval, undefined
from napari_mhim.mil.study.compare import FoldFigures, Row, Spread
from napari_mhim.mil.study.report import (
    HEADINGS,
    as_csv,
    as_markdown,
    as_plain,
    cells,
    reasons,
)

NAN = float("nan")
FIRST = Row(
    "baseline",
    5,
    auc=Spread(0.9, 0.05, 5),
    balanced_accuracy=Spread(0.8, NAN, 1),
    sensitivity=Spread(NAN, NAN, 0),
    specificity=Spread(0.7, 0.1, 5),
    pooled_auc=Interval(0.88, 0.8, 0.95, 60),
    difference=undefined(60, "it is what others are compared with"),
)
SECOND = Row(
    "a|b",
    4,
    auc=Spread(0.95, 0.02, 4),
    balanced_accuracy=Spread(0.8, 0.1, 4),
    sensitivity=Spread(0.9, 0.1, 4),
    specificity=Spread(0.7, 0.1, 4),
    pooled_auc=Interval(0.93, 0.88, 0.97, 60),
    difference=Interval(0.05, -0.01, 0.11, 60),
    better=3,
    worse=1,
)


def test_a_row_is_read_at_a_glance() -> None:
    assert cells(FIRST) == (
        *("baseline", "5", "0.900 ± 0.050", "0.800", "–", "0.700 ± 0.100"),
        *("0.880 (0.800 to 0.950)", "–", "–"),
    )
    assert cells(SECOND)[-2:] == ("+0.050 (-0.010 to +0.110)", "3 / 1")


def test_markdown_has_a_line_for_each_setting_and_says_what_numbers_mean() -> None:
    text = as_markdown([FIRST, SECOND], "Study", "60 slides.", ["A note."])
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + 2
    # a bar in a name must not start a column
    assert {line.replace("\\|", "").count("|") for line in table} == {len(HEADINGS) + 1}
    for word in ("validation slides", "bootstrap over patients", "- A note."):
        assert word in text


def test_the_csv_has_plain_numbers_and_blanks_for_what_is_not_defined() -> None:
    first, second = csv.DictReader(io.StringIO(as_csv([FIRST, SECOND])))
    assert float(second["difference_low"]) == pytest.approx(-0.01)
    assert float(first["auc_mean"]) == pytest.approx(0.9)
    assert first["difference"] == first["sensitivity_mean"] == ""


def test_the_json_has_every_fold_and_no_nan() -> None:
    fold = FoldFigures("baseline", 1, 2, 12, NAN, 0.5, 0.5, 0.5)
    plain = json.loads(json.dumps(as_plain([FIRST, SECOND], [fold]), allow_nan=False))
    assert plain["folds"][0]["auc"] is None
    assert plain["settings"][1]["difference"]["high"] == pytest.approx(0.11)


def test_only_what_is_missing_is_explained() -> None:
    assert reasons([FIRST, SECOND]) == []
    lost = Row(**{**vars(SECOND), "difference": undefined(60, "a fold is missing")})
    assert reasons([lost]) == ["difference of 'a|b': a fold is missing."]
