"""All slides of a run under its finished model."""

import math
from pathlib import Path

import numpy as np
import pytest
from made_bags import make_bags

from napari_mhim.errors import StoreError
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.cohort import Cohort, CohortRow
from napari_mhim.mil.predict import Predictor
from napari_mhim.mil.review import Results, read_results, review, write_results

BAGS = {bag.name: bag for bag in make_bags(12)}


def table(bundle: Bundle, *roles: str) -> Cohort:
    names = bundle.config.classes
    rows = [
        CohortRow(bag.name, label=names[bag.label], patient=f"p{i // 2}", role=role)
        for i, (bag, role) in enumerate(zip(BAGS.values(), roles, strict=True))
    ]
    return Cohort(tuple(rows), names)


@pytest.fixture
def results(bundle: Bundle) -> Results:
    roles = ("train",) * 6 + ("val",) * 4 + ("",) * 2
    return review(bundle, table(bundle, *roles), BAGS, "cpu")


def test_every_slide_with_a_role_is_there_the_largest_loss_first(
    results: Results,
) -> None:
    assert len(results.slides) == 10
    losses = [one.loss for one in results.slides]
    assert losses == sorted(losses, reverse=True)
    for one in results.slides:
        own = one.probabilities[results.classes.index(one.label)]
        assert one.loss == pytest.approx(-math.log(own), rel=1e-5)


def test_the_gap_is_the_teachers_score_minus_the_students(
    bundle: Bundle, results: Results
) -> None:
    predictor = Predictor(bundle, "cpu")
    for one in results.slides:
        student, teacher = predictor.both(BAGS[one.slide])
        np.testing.assert_allclose(student, predictor.probabilities(BAGS[one.slide]))
        assert one.gap == pytest.approx(float(teacher[1] - student[1]), abs=1e-6)


def test_calls_are_at_the_models_cutoff(bundle: Bundle, results: Results) -> None:
    for one in results.slides:
        is_above = one.probabilities[1] >= bundle.config.cutoff.value
        assert one.call == bundle.config.classes[int(is_above)]


def test_figures_are_by_role_slide_and_patient(results: Results) -> None:
    assert set(results.figures) == {"train", "val"}
    assert results.figures["train"]["slides"]["auc"]["n"] == 6
    assert results.figures["train"]["patients"]["auc"]["n"] == 3


def test_written_and_read_is_the_same(results: Results, tmp_path: Path) -> None:
    write_results(tmp_path, results)
    assert read_results(tmp_path) == results


@pytest.mark.parametrize("text", ["", "{}", '{"classes": [], "figures": {}}'])
def test_a_damaged_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(StoreError, match="evaluate the model again"):
        read_results(tmp_path)


def test_no_slide_gives_no_figures(bundle: Bundle) -> None:
    found = review(bundle, table(bundle, *("",) * 12), BAGS, "cpu")
    assert (dict(found.figures), found.slides) == ({}, ())
