"""Splits: by patient, every class everywhere, the same for the same seed."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_mhim.errors import CohortError
from napari_mhim.mil.cohort import Cohort, CohortRow
from napari_mhim.mil.splits import k_folds, split_roles


def cohort_of(patients: dict[str, int], slides_each: int = 1) -> Cohort:
    return Cohort.of(
        CohortRow(f"{name}{i}-{j}", label=name, patient=f"{name}{i}")
        for name, count in patients.items()
        for i in range(count)
        for j in range(slides_each)
    )


def roles_of(cohort: Cohort) -> dict[str, set[str]]:
    roles: dict[str, set[str]] = {}
    for row in cohort.rows:
        roles.setdefault(row.patient, set()).add(row.role)
    return roles


@given(st.integers(3, 30), st.integers(3, 30), st.integers(1, 3), st.integers(0, 1000))
def test_every_role_has_every_class_and_no_patient_two(
    normal: int, tumour: int, slides_each: int, seed: int
) -> None:
    split = split_roles(cohort_of({"normal": normal, "tumour": tumour}, slides_each))
    assert all(len(roles) == 1 for roles in roles_of(split).values())
    for role in ("train", "val", "test"):
        assert {row.label for row in split.with_role(role)} == {"normal", "tumour"}


def test_shares_are_those_asked_for() -> None:
    split = split_roles(cohort_of({"normal": 50, "tumour": 20}), val=0.1, test=0.3)
    counts = Counter((row.label, row.role) for row in split.rows)
    assert counts == {
        ("normal", "train"): 30,
        ("normal", "val"): 5,
        ("normal", "test"): 15,
        ("tumour", "train"): 12,
        ("tumour", "val"): 2,
        ("tumour", "test"): 6,
    }


def test_the_order_of_the_table_does_not_matter() -> None:
    cohort = cohort_of({"normal": 9, "tumour": 7})
    turned = Cohort(cohort.rows[::-1], cohort.classes)
    assert roles_of(split_roles(cohort, seed=3)) == roles_of(
        split_roles(turned, seed=3)
    )


def test_another_seed_is_another_split() -> None:
    cohort = cohort_of({"normal": 20, "tumour": 20})
    assert split_roles(cohort, seed=1) != split_roles(cohort, seed=2)


def test_given_roles_are_kept() -> None:
    free = cohort_of({"normal": 8, "tumour": 8})
    rows = [
        CohortRow(**{**vars(row), "role": "test" if row.slide in TESTED else ""})
        for row in free.rows
    ]
    split = split_roles(Cohort.of(rows))
    assert {row.slide for row in split.with_role("test")} == TESTED
    assert {row.label for row in split.with_role("val")} == {"normal", "tumour"}


TESTED = {"normal0-0", "tumour3-0"}


def test_validation_slides_come_from_training_slides_where_none_are_given() -> None:
    free = cohort_of({"normal": 6, "tumour": 6})
    rows = [
        CohortRow(**{**vars(row), "role": "test" if row.slide in TESTED else "train"})
        for row in free.rows
    ]
    split = split_roles(Cohort.of(rows), val=0.2)
    assert {row.slide for row in split.with_role("test")} == TESTED
    assert len(split.with_role("val")) == 2


def test_a_whole_split_is_left_alone() -> None:
    split = split_roles(cohort_of({"normal": 6, "tumour": 6}))
    assert split_roles(split, seed=9) == split


def test_uncertain_slides_stay_without_a_role() -> None:
    cohort = cohort_of({"normal": 4, "tumour": 4, "uncertain": 2})
    split = split_roles(cohort)
    assert {row.role for row in split.rows if row.label == "uncertain"} == {""}
    assert all(row.role for row in split.rows if row.label != "uncertain")


def test_too_few_patients_are_named() -> None:
    with pytest.raises(CohortError, match=r"class 'tumour' has 2 patient.* needs 3"):
        split_roles(cohort_of({"normal": 9, "tumour": 2}))
    assert split_roles(cohort_of({"normal": 9, "tumour": 2}), test=0.0)


def test_one_class_is_refused() -> None:
    with pytest.raises(CohortError, match="only 'normal'"):
        split_roles(cohort_of({"normal": 9}))


def test_a_given_role_without_a_class_is_refused() -> None:
    rows = [
        CohortRow("a", label="normal", role="train"),
        CohortRow("b", label="tumour", role="train"),
        CohortRow("c", label="tumour", role="val"),
    ]
    with pytest.raises(CohortError, match="no val slide is of class 'normal'"):
        split_roles(Cohort.of(rows))


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_impossible_shares_are_refused(share: float) -> None:
    with pytest.raises(CohortError, match=r"val must be in \[0, 1\)"):
        split_roles(cohort_of({"normal": 9, "tumour": 9}), val=share)


@given(st.integers(4, 17), st.integers(4, 17), st.integers(2, 4), st.integers(0, 99))
def test_folds_test_every_slide_once(
    normal: int, tumour: int, k: int, seed: int
) -> None:
    cohort = cohort_of({"normal": normal, "tumour": tumour}, slides_each=2)
    folds = k_folds(cohort, k, seed=seed)
    tested = [row.slide for fold in folds for row in fold.with_role("test")]
    assert sorted(tested) == sorted(row.slide for row in cohort.rows)
    for fold in folds:
        assert all(len(roles) == 1 for roles in roles_of(fold).values())
        for role in ("train", "val", "test"):
            assert {row.label for row in fold.with_role(role)} == {"normal", "tumour"}


def test_folds_are_of_equal_size() -> None:
    folds = k_folds(cohort_of({"normal": 13, "tumour": 8}), k=4)
    sizes = [len(fold.with_role("test")) for fold in folds]
    assert max(sizes) - min(sizes) <= 1


def test_more_folds_than_patients_are_refused() -> None:
    with pytest.raises(CohortError, match=r"'tumour' has 3 patients, 5 folds need 5"):
        k_folds(cohort_of({"normal": 9, "tumour": 3}), k=5)
    with pytest.raises(CohortError, match="2 folds or more"):
        k_folds(cohort_of({"normal": 9, "tumour": 3}), k=1)


def test_folds_are_as_even_as_the_authors(test_data: Path) -> None:
    cases = json.loads((test_data / "golden" / "scalars.json").read_text())["cv"]
    cohort = Cohort.of(
        CohortRow(name, label=label)
        for name, label in zip(cases["shuffled"], cases["labels"], strict=True)
    )
    ours = k_folds(cohort, cases["k"], val=cases["val_ratio"])
    for fold, theirs in zip(ours, cases["folds"], strict=True):
        assert len(fold.with_role("test")) == len(theirs["test"])
        assert abs(len(fold.with_role("val")) - len(theirs["val"])) <= 1
