"""Folds: every slide tested once, no patient on two sides, the table's own taken as given."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_mhim.errors import CohortError
from napari_mhim.mil.cohort import Cohort, CohortRow
from napari_mhim.mil.study.config import StudyConfig
from napari_mhim.mil.study.folds import study_folds


def cohort_of(patients: dict[str, int], slides_each: int = 1) -> Cohort:
    return Cohort.of(
        CohortRow(f"{name}{i}-{j}", label=name, patient=f"{name}{i}")
        for name, count in patients.items()
        for i in range(count)
        for j in range(slides_each)
    )


def with_folds(cohort: Cohort, n: int) -> Cohort:
    number = {p: i % n for i, p in enumerate(sorted({r.patient for r in cohort.rows}))}
    rows = tuple(replace(row, fold=number[row.patient]) for row in cohort.rows)
    return Cohort(rows, cohort.classes)


@given(
    st.integers(5, 12),
    st.integers(5, 12),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(2, 5),
)
def test_each_repeat_tests_each_slide_once_and_splits_no_patient(
    normal: int, tumour: int, slides_each: int, repeats: int, cv: int
) -> None:
    cohort = cohort_of({"normal": normal, "tumour": tumour}, slides_each)
    folds = study_folds(cohort, StudyConfig(cv=cv, repeats=repeats), seed=3)
    assert len(folds) == cv * repeats
    tested = Counter(
        (fold.repeat, row.slide)
        for fold in folds
        for row in fold.cohort.with_role("test")
    )
    assert set(tested.values()) == {1}
    assert len(tested) == repeats * len(cohort.rows)
    for fold in folds:
        roles: dict[str, set[str]] = {}
        for row in fold.cohort.rows:
            roles.setdefault(row.patient, set()).add(row.role)
        assert all(len(some) == 1 for some in roles.values())
        for role in ("train", "val"):
            there = {row.label for row in fold.cohort.with_role(role)}
            assert there == {"normal", "tumour"}


def test_repeats_have_other_folds_and_seeds_and_come_again() -> None:
    cohort, study = cohort_of({"normal": 9, "tumour": 9}), StudyConfig(cv=3, repeats=2)
    folds = study_folds(cohort, study, seed=5)
    first, second = ([f.cohort for f in folds if f.repeat == r] for r in (1, 2))
    assert first != second
    assert [fold.seed for fold in folds] == [5, 5, 5, 6, 6, 6]
    assert study_folds(cohort, study, seed=5) == folds


def test_the_tables_folds_are_taken_as_they_are() -> None:
    cohort = with_folds(cohort_of({"normal": 8, "tumour": 8}, 2), 4)
    folds = study_folds(cohort, StudyConfig(cv=4, repeats=2), seed=0)
    assert [fold.number for fold in folds] == [0, 1, 2, 3] * 2
    for fold in folds:
        tested = {row.slide for row in fold.cohort.with_role("test")}
        assert tested == {r.slide for r in cohort.rows if r.fold == fold.number}


def test_folds_of_a_table_on_disk_are_read_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "cohort.csv"
    path.write_text("slide,label,fold\na,normal,1\nb,tumour,2.0\nc,tumour,\n")
    cohort = Cohort.read(path)
    assert [row.fold for row in cohort.rows] == [1, 2, None]
    cohort.write(tmp_path / "again.csv")
    assert Cohort.read(tmp_path / "again.csv") == cohort


@pytest.mark.parametrize("text", ["one", "-1", "1.5"])
def test_a_fold_that_is_no_number_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "cohort.csv"
    path.write_text(f"slide,label,fold\na,normal,{text}\n")
    with pytest.raises(CohortError, match=f"slide 'a' the fold '{text}'"):
        Cohort.read(path)


def changed(cohort: Cohort, slide: str, fold: int | None) -> Cohort:
    rows = (replace(r, fold=fold) if r.slide == slide else r for r in cohort.rows)
    return Cohort(tuple(rows), cohort.classes)


def test_a_patient_in_two_folds_is_named() -> None:
    cohort = with_folds(cohort_of({"normal": 8, "tumour": 8}, 2), 4)
    with pytest.raises(CohortError, match=r"'tumour0' is in two folds .* in 3"):
        study_folds(changed(cohort, "tumour0-1", 3), StudyConfig(cv=4), 0)


def test_a_slide_without_fold_among_others_is_named() -> None:
    cohort = with_folds(cohort_of({"normal": 8, "tumour": 8}), 4)
    with pytest.raises(CohortError, match="slide 'normal3-0' has no fold"):
        study_folds(changed(cohort, "normal3-0", None), StudyConfig(cv=4), 0)


def test_other_folds_than_the_tables_are_refused() -> None:
    cohort = with_folds(cohort_of({"normal": 8, "tumour": 8}), 4)
    with pytest.raises(CohortError, match="gives 4 folds, asked are 5"):
        study_folds(cohort, StudyConfig(cv=5), 0)


def test_a_single_given_fold_is_refused() -> None:
    cohort = with_folds(cohort_of({"normal": 8, "tumour": 8}), 1)
    with pytest.raises(CohortError, match="needs 2 folds or more, the table has 1"):
        study_folds(cohort, StudyConfig(cv=2), 0)


def test_a_fold_that_takes_a_class_away_is_refused() -> None:
    rows = [
        CohortRow(f"{name}{i}", label=name, fold=int(name == "tumour"))
        for name in ("normal", "tumour")
        for i in range(6)
    ]
    with pytest.raises(CohortError, match="no train slide is of class 'normal'"):
        study_folds(Cohort.of(rows), StudyConfig(cv=2), 0)


def test_a_class_with_fewer_patients_than_folds_is_refused() -> None:
    cohort = cohort_of({"normal": 9, "tumour": 4}, slides_each=3)
    with pytest.raises(CohortError, match="'tumour' has 4 patients, 5 folds need 5"):
        study_folds(cohort, StudyConfig(cv=5), 0)


def test_slides_without_a_class_take_no_part() -> None:
    rows = [*cohort_of({"normal": 6, "tumour": 6}).rows]
    rows += [CohortRow("odd", label="uncertain"), CohortRow("new")]
    for fold in study_folds(Cohort.of(rows), StudyConfig(cv=3), 0):
        assert {row.label for row in fold.cohort.rows} == {"normal", "tumour"}


def test_without_folds_the_roles_of_the_table_are_kept() -> None:
    roles = ("train", "train", "val", "test")
    rows = [
        CohortRow(f"{name}{i}", label=name, role=roles[i])
        for name in ("normal", "tumour")
        for i in range(4)
    ]
    folds = study_folds(Cohort.of(rows), StudyConfig(repeats=3), 0)
    assert len(folds) == 3
    assert all([r.role for r in fold.cohort.rows] == [*roles, *roles] for fold in folds)
