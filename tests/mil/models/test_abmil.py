"""What AB-MIL promises beside the contract."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from napari_mhim.mil.models import abmil

both_kinds = pytest.mark.parametrize("gated", [False, True])


@given(st.integers(1, 40), st.integers(2, 5), st.booleans(), st.integers(0, 2**32))
def test_contributions_sum_to_the_logits(
    n: int, n_classes: int, gated: bool, seed: int
):
    torch.manual_seed(seed)
    model = abmil.build(6, n_classes, hidden=16, attention_dim=8, gated=gated).eval()
    torch.nn.init.normal_(model.head.bias)
    output = model(torch.randn(n, 6))
    contribution = output.attention.T * output.evidence  # (N, C)
    unbiased = (output.logits - model.head.bias).detach()
    torch.testing.assert_close(
        contribution.sum(dim=0), unbiased - unbiased.mean(), atol=1e-5, rtol=1e-4
    )


@given(st.integers(1, 20), st.booleans(), st.integers(0, 2**32))
def test_equals_the_paper_written_out(n: int, gated: bool, seed: int):
    torch.manual_seed(seed)
    model = abmil.build(5, 3, hidden=7, attention_dim=4, gated=gated, act="gelu").eval()
    x = torch.randn(n, 5)
    weights = {k: v.double() for k, v in model.state_dict().items()}
    logits, attention = written_out(x.double(), weights, gated)
    output = model(x)
    torch.testing.assert_close(output.logits.double(), logits, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        output.attention[0].double(), attention, atol=1e-6, rtol=1e-4
    )


def written_out(
    x: Tensor, weights: dict[str, Tensor], gated: bool
) -> tuple[Tensor, Tensor]:
    """Oracle: one instance after the other, from the equations of both papers."""
    embedded, raw = [], []
    for row in x:
        hidden = weights["projection.0.weight"] @ row + weights["projection.0.bias"]
        h = torch.nn.functional.gelu(hidden)
        inner = (weights["attention.hidden.weight"] @ h).clamp(min=0)
        if gated:
            inner = inner / (1 + torch.exp(-(weights["attention.gate.weight"] @ h)))
        embedded.append(h)
        raw.append((weights["attention.score.weight"] @ inner).item())
    attention = torch.tensor(raw, dtype=torch.float64).exp()
    attention = attention / attention.sum()
    pooled = sum(a * h for a, h in zip(attention, embedded, strict=True))
    return weights["head.weight"] @ pooled + weights["head.bias"], attention


@both_kinds
def test_order_of_instances_does_not_matter(gated: bool):
    model, x = abmil.build(8, 2, gated=gated).eval(), torch.rand(50, 8)
    order = torch.randperm(50)
    one, other = model(x), model(x[order])
    torch.testing.assert_close(one.logits, other.logits)
    torch.testing.assert_close(one.attention[:, order], other.attention)
    torch.testing.assert_close(one.evidence[order], other.evidence)


@both_kinds
def test_attention_sums_to_one_and_is_what_the_teacher_masks_by(gated: bool):
    output = abmil.build(8, 2, gated=gated)(torch.rand(50, 8))
    assert output.attention.sum().item() == pytest.approx(1)
    assert output.scores.equal(output.attention)


def test_has_as_many_weights_as_the_authors():
    parameters = abmil.build(1024, 2).parameters()
    assert sum(p.numel() for p in parameters) == 591_490


def test_gated_has_as_many_weights_as_the_paper_says():
    parameters = abmil.build(1024, 2, gated=True).parameters()
    assert round(sum(p.numel() for p in parameters), -3) == 657_000


def test_starts_from_xavier_weights_and_no_bias():
    model = abmil.build(1024, 2)
    spread = (2 / (1024 + 512)) ** 0.5
    assert model.projection[0].weight.std().item() == pytest.approx(spread, rel=0.02)
    assert not model.projection[0].bias.any()
    assert not model.head.bias.any()
