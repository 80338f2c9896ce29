"""The authors' folds on made tables; that they are theirs is in test_golden_scalars."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_mhim.errors import CohortError
from napari_mhim.mil.published_folds import published_folds


def table(counts: dict[str, int]) -> dict[str, str]:
    return {f"{name}-{i}": name for name, n in counts.items() for i in range(n)}


@given(
    st.integers(2, 5),
    st.lists(st.integers(5, 15), min_size=2, max_size=3),
    st.floats(0, 0.6),
    st.integers(0, 99),
)
def test_every_patient_has_one_part_in_a_fold_and_is_tested_once(
    k: int, counts: list[int], val: float, seed: int
):
    labels = table({f"class {i}": n for i, n in enumerate(counts)})
    folds = published_folds(labels, k, val, seed)
    tested = [patient for fold in folds for patient in fold.test]
    assert sorted(tested) == sorted(labels)
    for fold in folds:
        assert sorted((*fold.train, *fold.val, *fold.test)) == sorted(labels)
        assert {labels[patient] for patient in fold.test} == set(labels.values())


@given(st.integers(0, 99))
def test_deals_as_scikit_learns_stratified_folds_do(seed: int):
    from sklearn.model_selection import StratifiedKFold

    labels = table({"a": 11, "b": 7, "c": 6})
    folds = published_folds(labels, 4, 0, seed)
    from random import Random

    patients = list(labels)
    Random(seed).shuffle(patients)
    told = StratifiedKFold(4).split(patients, [labels[p] for p in patients])
    for fold, (_, tested) in zip(folds, told, strict=True):
        assert list(fold.test) == [patients[i] for i in tested]


@pytest.mark.parametrize(
    ("k", "val", "words"),
    [
        (1, 0.1, "2 folds or more, got 1"),
        (3, 1.0, r"val must be in \[0, 1\), got 1.0"),
        (7, 0.1, "class 'b' has 6 patients, 7 folds need 7"),
    ],
)
def test_refuses_what_cannot_be_split(k: int, val: float, words: str):
    with pytest.raises(CohortError, match=words):
        published_folds(table({"a": 9, "b": 6}), k, val)
