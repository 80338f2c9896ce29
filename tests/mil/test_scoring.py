"""Scoring in eval mode: whole bags, one ranking for several heads, limits above zero."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_bags import make_bags

from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.masking import high_mask
from napari_mhim.mil.scoring import evidence_limits, reduce_heads, resident, score


def heads(n_heads: int, n: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n_heads, n, generator=generator)


@given(st.integers(1, 40), st.integers(0, 999))
def test_one_head_is_its_own_ranking(n: int, seed: int) -> None:
    scores = heads(1, n, seed)
    assert torch.equal(reduce_heads(scores, "vote"), scores[0])


@given(st.integers(2, 8), st.integers(1, 40), st.integers(0, 999))
def test_several_heads_are_their_mean_rank(n_heads: int, n: int, seed: int) -> None:
    """Oracle: count for each instance and head how many are larger."""
    scores = heads(n_heads, n, seed)
    larger = (scores[:, None, :] > scores[:, :, None]).sum(dim=2).float()  # (H, N)
    expected = 1 - larger.mean(dim=0) / n
    torch.testing.assert_close(reduce_heads(scores, "vote"), expected)


@given(st.integers(2, 30), st.floats(0.05, 0.9), st.integers(0, 999))
def test_heads_that_agree_rank_as_the_mask_does(
    n: int, ratio: float, seed: int
) -> None:
    scores = heads(1, n, seed).expand(4, n)
    mask = high_mask(scores, ratio)
    ranked = reduce_heads(scores, "vote")
    assert (ranked[mask][:, None] > ranked[~mask][None]).all()


def test_scores_are_of_eval_mode_and_the_mode_is_kept(bundle: Bundle) -> None:
    bags = make_bags(4, 8)
    student = bundle.student().train()
    tensors, labels = resident(bags, "cpu"), [bag.label for bag in bags]
    found = score(student, tensors, labels, 2)
    assert student.training
    student.eval()
    rows = [student(x).logits.softmax(dim=-1) for x in tensors]
    np.testing.assert_allclose(
        found.probabilities, torch.stack(rows).numpy(), rtol=1e-6
    )
    losses = [-float(row[label].log()) for row, label in zip(rows, labels, strict=True)]
    assert found.loss == pytest.approx(float(np.mean(losses)), rel=1e-5)


def test_no_bags_give_no_scores(bundle: Bundle) -> None:
    found = score(bundle.student(), [], [], 2)
    assert found.probabilities.shape == (0, 2)
    assert np.isnan(found.loss)
    assert evidence_limits(bundle.student(), []) is None


def test_limits_are_above_zero_for_a_model_that_says_nothing(bundle: Bundle) -> None:
    student = bundle.student()
    student.head.weight.zero_()
    limits = evidence_limits(student, resident(make_bags(2), "cpu"))
    assert (limits > 0).all()


def test_bags_on_the_cpu_are_not_copied() -> None:
    bag = make_bags(1)[0]
    assert resident([bag], "cpu")[0].data_ptr() == bag.features.ctypes.data
