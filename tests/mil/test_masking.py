"""Masks, against a second version written from the paper's words, slow and obvious."""

from math import ceil, exp, log

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from napari_mhim.errors import ConfigError
from napari_mhim.mil.masking import (
    class_confidence,
    high_mask,
    hybrid_mask,
    low_mask,
    random_keys,
    random_mask,
)

sizes = st.integers(1, 60)
ratios = st.floats(0, 1)
seeds = st.integers(0, 2**32)


def bag_scores(n: int, seed: int, heads: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    # few different values, so that equal ones are common
    return torch.randint(0, 50, (heads, n), generator=generator) / 50


def top(scores: list[float], count: int) -> set[int]:
    """Oracle: walk the bag from the highest score down, the first of equal ones first."""
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    return set(order[:count])


def voted(heads: list[list[float]], count: int) -> set[int]:
    """Oracle: every head votes for its top; most votes win, then the mean score."""
    ballots = [top(head, count) for head in heads]
    n = len(heads[0])
    votes = [sum(i in ballot for ballot in ballots) for i in range(n)]
    mean = torch.tensor(heads).mean(dim=0).tolist()
    order = sorted(range(n), key=lambda i: (-votes[i], -mean[i], i))
    return set(order[:count])


def size(n: int, ratio: float) -> int:
    return min(ceil(n * ratio), n - 1)


def indices(mask: Tensor) -> set[int]:
    return set(mask.nonzero().flatten().tolist())


@given(sizes, ratios, seeds)
def test_high_mask_hides_the_highest_scores(n: int, ratio: float, seed: int):
    scores = bag_scores(n, seed)
    wanted = top(scores[0].tolist(), size(n, ratio))
    assert indices(high_mask(scores, ratio)) == wanted


@given(sizes, ratios, seeds)
def test_low_mask_hides_the_lowest_scores(n: int, ratio: float, seed: int):
    scores = bag_scores(n, seed)
    wanted = top((-scores[0]).tolist(), size(n, ratio))
    assert indices(low_mask(scores, ratio)) == wanted


@given(sizes, ratios, seeds, st.integers(2, 9))
def test_heads_vote(n: int, ratio: float, seed: int, heads: int):
    scores = bag_scores(n, seed, heads)
    assert indices(high_mask(scores, ratio)) == voted(scores.tolist(), size(n, ratio))
    assert indices(low_mask(scores, ratio)) == voted((-scores).tolist(), size(n, ratio))


@given(sizes, ratios, seeds, st.integers(2, 9))
def test_averaged_heads_each_bring_their_share(
    n: int, ratio: float, seed: int, heads: int
):
    scores = bag_scores(n, seed, heads)
    each = size(n, ratio) // heads
    wanted = set().union(*(top(head, each) for head in scores.tolist()))
    assert indices(high_mask(scores, ratio, fusion="mean")) == wanted


@given(sizes, ratios, st.floats(0.01, 1, exclude_max=True), seeds)
@example(2, 1.0, 0.5, 0)
def test_random_high_mask_hides_a_part_of_the_top(
    n: int, ratio: float, share: float, seed: int
):
    scores, keys = bag_scores(n, seed), random_keys(n)
    if ratio / share > 1:
        candidates, wanted = n, ceil(n * ratio)
    else:
        candidates = ceil(n * (ratio / share))
        wanted = ceil(candidates * share)
    among = top(scores[0].tolist(), candidates)
    drawn = sorted(among, key=lambda i: keys[i])[: min(wanted, n - 1)]
    assert indices(high_mask(scores, ratio, share, keys=keys)) == set(drawn)


@given(sizes, ratios, ratios, ratios, st.floats(0.01, 1), seeds)
def test_parts_add_up_and_one_instance_is_always_left(
    n: int, high: float, low: float, random: float, share: float, seed: int
):
    scores, keys = bag_scores(n, seed), torch.rand(2, n)
    mask = hybrid_mask(
        scores,
        mask_ratio_high=high,
        mask_ratio_low=low,
        mask_ratio_random=random,
        high_keep_share=share,
        keys=keys,
    )
    easy = indices(high_mask(scores, high, share, keys=keys[1]))
    parts = (
        easy | indices(low_mask(scores, low)) | indices(random_mask(keys[0], random))
    )
    left = set(range(n)) - parts
    open_to_rescue = sorted(set(range(n)) - easy, key=lambda i: (-scores[0, i], i))
    assert set(range(n)) - indices(mask) == (left or set(open_to_rescue[:1]))


@given(sizes, ratios)
def test_random_mask_hides_its_share(n: int, ratio: float):
    assert random_mask(random_keys(n), ratio).sum() == size(n, ratio)


def test_random_mask_reaches_every_instance_alike():
    generator = torch.Generator().manual_seed(0)
    draws = [
        random_mask(random_keys(20, generator=generator), 0.3) for _ in range(2000)
    ]
    often = torch.stack(draws).float().mean(dim=0)
    assert (often - 0.3).abs().max() < 0.05  # five standard deviations


def test_a_small_random_ratio_stays_random():
    generator = torch.Generator().manual_seed(0)
    keys = [random_keys(100, generator=generator) for _ in range(50)]
    assert len({int(random_mask(key, 0.0005).int().argmax()) for key in keys}) > 10


def test_same_generator_masks_the_same():
    scores = bag_scores(50, 0)
    masks = []
    for _ in range(2):
        torch.manual_seed(3)
        masks.append(hybrid_mask(scores, mask_ratio_random=0.5, mask_ratio_high=0.1))
    assert masks[0].equal(masks[1])


@pytest.mark.parametrize("ratio", [-0.1, 1.5, float("nan")])
def test_refuses_a_ratio_that_is_no_share(ratio: float):
    with pytest.raises(ConfigError, match=r"mask_ratio_low must be in \[0, 1\], got"):
        hybrid_mask(bag_scores(9, 0), mask_ratio_low=ratio)


def faint_logits(n: int, n_classes: int) -> Tensor:
    """What instances of a large bag say: weights near 1 / N times evidence near 1."""
    generator = torch.Generator().manual_seed(n_classes)
    evidence = torch.randn(n, n_classes, generator=generator)
    weights = torch.rand(n, 1, generator=generator) + 0.5
    return evidence * weights / n


@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_confidence_tells_apart_every_instance_of_a_large_bag(n_classes: int):
    logits = faint_logits(50_000, n_classes)
    assert len(logits.softmax(dim=1).amax(dim=1).unique()) < 1000  # what it replaces
    assert len(class_confidence(logits).unique()) > 49_000


@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_confidence_ranks_as_the_exact_probability_does(n_classes: int):
    logits = faint_logits(50_000, n_classes)
    exact = logits.double().softmax(dim=1).amax(dim=1)
    ranked = exact[class_confidence(logits).argsort()]
    # as far as float32 holds the logits: to a millionth of what the bag spans
    assert (ranked.diff() >= -1e-6 * (ranked.max() - ranked.min())).all()


@given(st.integers(1, 20), st.integers(2, 6), st.floats(-3, 1.5), seeds)
def test_confidence_is_the_log_odds_over_chance(
    n: int, n_classes: int, size: float, seed: int
):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, n_classes, generator=generator).double() * 10**size
    for row, ours in zip(
        logits.tolist(), class_confidence(logits).tolist(), strict=True
    ):
        best = max(range(n_classes), key=row.__getitem__)
        ratios = [exp(row[c] - row[best]) for c in range(n_classes) if c != best]
        wanted = -log(sum(ratios) / (n_classes - 1))
        assert ours == pytest.approx(wanted, rel=1e-6, abs=1e-12)


def test_confidence_tells_sure_instances_apart():
    sure = class_confidence(torch.tensor([[90.0, 0.0, 0.0], [95.0, 0.0, 0.0]]))
    assert 0 < sure[0] < sure[1] < torch.inf


def test_confidence_is_nothing_where_classes_are_alike():
    assert class_confidence(torch.full((3, 4), 7.0)).equal(torch.zeros(3))


@pytest.mark.parametrize("heads", [1, 8])
def test_equal_scores_are_hidden_in_the_bags_order(heads: int):
    mask = high_mask(torch.full((heads, 10), 0.5), 0.3)
    assert indices(mask) == {0, 1, 2}


def test_refuses_a_keep_share_of_nothing():
    with pytest.raises(
        ConfigError, match=r"high_keep_share must be in \(0, 1\], got 0"
    ):
        high_mask(bag_scores(9, 0), 0.1, keep_share=0)
