"""Cohen's kappa against the definition, written out."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_mhim.mil.agreement import agreement

CLASSES = ("a", "b", "c")
LABELS = st.lists(
    st.tuples(st.sampled_from(CLASSES), st.sampled_from(CLASSES)),
    min_size=2,
    max_size=40,
)


def oracle(first: list[str], second: list[str]) -> float:
    n = len(first)
    seen = sum(x == y for x, y in zip(first, second, strict=True)) / n
    one, two = Counter(first), Counter(second)
    chance = sum(one[c] / n * two[c] / n for c in CLASSES)
    return (seen - chance) / (1 - chance) if chance < 1 else float("nan")


@given(LABELS)
def test_kappa_is_cohen_s(pairs) -> None:
    first, second = map(list, zip(*pairs, strict=True))
    found = agreement(first, second, CLASSES, resamples=20)
    np.testing.assert_allclose(
        found.kappa.value, oracle(first, second), atol=1e-9, equal_nan=True
    )
    assert found.kappa.n == len(pairs)
    assert sum(map(sum, found.table)) == len(pairs)


@given(LABELS)
def test_it_does_not_matter_who_comes_first(pairs) -> None:
    first, second = map(list, zip(*pairs, strict=True))
    one = agreement(first, second, CLASSES, resamples=1).kappa.value
    other = agreement(second, first, CLASSES, resamples=1).kappa.value
    np.testing.assert_allclose(one, other, equal_nan=True)


def test_a_published_table() -> None:
    """Two readers on 50 proposals: 20 both yes, 15 both no, 5 and 10 split: kappa 0.4."""
    first = ["yes"] * 20 + ["yes"] * 5 + ["no"] * 10 + ["no"] * 15
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    found = agreement(first, second, ("no", "yes"))
    assert found.kappa.value == pytest.approx(0.4)
    assert found.kappa.low < 0.4 < found.kappa.high
    assert found.n_same == 35


def test_what_is_no_class_is_left_out_and_counted() -> None:
    found = agreement(
        ["a", "uncertain", "", "b"], ["a", "b", "a", "not assessable"], CLASSES
    )
    assert (found.kappa.n, found.left_out) == (1, 2)
    assert "fewer than two" in str(found.kappa)


def test_one_class_only_is_no_agreement_beyond_chance() -> None:
    found = agreement(["a"] * 9, ["a"] * 9, CLASSES)
    assert np.isnan(found.kappa.value)
    assert "same class" in found.kappa.reason


def test_full_agreement_of_few_is_not_certain() -> None:
    found = agreement(["a", "b", "a"], ["a", "b", "a"], CLASSES)
    assert found.kappa.value == pytest.approx(1)
    assert found.kappa.n == 3


def test_lists_of_two_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="argument"):
        agreement(["a"], [], CLASSES)
