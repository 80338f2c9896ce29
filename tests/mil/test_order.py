"""The order of slides: whole epochs, fair to rare classes, known from seed and epoch."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_mhim.mil.order import class_weights, drawn_instances, epoch_order

label_lists = st.lists(st.integers(0, 2), min_size=1, max_size=40)


@pytest.mark.parametrize("balance", ["loss", "none"])
@given(label_lists, st.integers(0, 50))
def test_an_epoch_shows_every_slide_once(
    balance: str, labels: list[int], epoch: int
) -> None:
    order = epoch_order(labels, epoch, 0, balance)
    assert sorted(order.tolist()) == list(range(len(labels)))


@given(label_lists, st.integers(0, 50))
def test_balanced_classes_come_equally_often(labels: list[int], epoch: int) -> None:
    order = epoch_order(labels, epoch, 0, "sampling")
    assert len(order) == len(labels)
    counts = Counter(labels[i] for i in order)
    assert set(counts) == set(labels)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_equal_classes_are_shown_whole() -> None:
    labels = [0] * 7 + [1] * 7
    assert sorted(epoch_order(labels, 3, 1, "sampling")) == list(range(14))


def test_every_slide_of_a_common_class_comes_up_in_time() -> None:
    labels = [0] * 17 + [1] * 3
    seen = {
        int(i) for epoch in range(20) for i in epoch_order(labels, epoch, 0, "sampling")
    }
    assert seen == set(range(20))


def test_seed_and_epoch_settle_the_order() -> None:
    labels = [0, 1] * 10
    first = epoch_order(labels, 4, 2, "sampling")
    np.testing.assert_array_equal(first, epoch_order(labels, 4, 2, "sampling"))
    assert (first != epoch_order(labels, 5, 2, "sampling")).any()
    assert (first != epoch_order(labels, 4, 3, "sampling")).any()


@given(label_lists)
def test_loss_weights_make_classes_count_the_same(labels: list[int]) -> None:
    weights = class_weights(labels, "loss")
    totals = [weights[c] * labels.count(c) for c in weights]
    np.testing.assert_allclose(totals, len(labels) / len(weights))


def test_other_balances_do_not_weigh() -> None:
    assert class_weights([0, 0, 1], "sampling") == {0: 1.0, 1: 1.0}
    assert class_weights([0, 0, 1], "none") == {0: 1.0, 1: 1.0}


@given(st.integers(1, 50), st.data())
def test_drawn_instances_are_different_and_ascending(n: int, data: st.DataObject):
    most = data.draw(st.integers(1, n))
    drawn = drawn_instances(n, most, 1, 2, 3)
    assert len(drawn) == most
    assert (np.diff(drawn) > 0).all()
    assert set(drawn) <= set(range(n))


def test_each_epoch_and_slide_draws_anew_and_a_resumed_run_the_same():
    drawn = [drawn_instances(200, 20, *of).tolist() for of in EACH]
    assert len({tuple(some) for some in drawn}) == len(EACH)
    assert drawn == [drawn_instances(200, 20, *of).tolist() for of in EACH]


EACH = [(slide, epoch, seed) for slide in (0, 1) for epoch in (0, 1) for seed in (0, 1)]
