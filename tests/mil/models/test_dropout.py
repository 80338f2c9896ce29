"""Dropout by cheap chance: the same shares, mean and gradients as torch's."""

import pytest
import torch
from torch import nn

from napari_mhim.mil.models._dropout import Dropout


@pytest.mark.parametrize("p", [0.1, 0.25, 0.5, 0.9, 0.001])
def test_drops_the_share_asked_for_and_keeps_the_mean(p: float):
    torch.manual_seed(0)
    n = 1_000_001
    dropped = Dropout(p)(torch.ones(n))
    share = (dropped == 0).double().mean().item()
    assert share == pytest.approx(p, abs=4 * (p * (1 - p) / n) ** 0.5 + 2**-16)
    assert dropped.max().item() == pytest.approx(1 / (1 - p), rel=2e-4 / (1 - p))
    assert dropped.unique().numel() == 2


def test_values_of_one_draw_are_dropped_independently():
    torch.manual_seed(0)
    kept = (Dropout(0.3)(torch.ones(400_000)) > 0).double().view(-1, 4)
    apart = torch.corrcoef(kept.T) - torch.eye(4)
    assert apart.abs().max() < 0.015  # five standard errors
    assert (kept.mean(dim=0) - 0.7).abs().max() < 0.01


def test_the_gradient_passes_where_the_value_did():
    torch.manual_seed(0)
    x = torch.randn(7, 5, requires_grad=True)
    y = Dropout(0.4)(x)
    y.sum().backward()
    torch.testing.assert_close(x.grad * x.detach(), y.detach())
    assert 0 < (x.grad == 0).sum() < 35


def test_a_seed_settles_what_is_dropped_whatever_the_threads():
    threads, found = torch.get_num_threads(), []
    try:
        for some in (1, 2, 1):
            torch.set_num_threads(some)
            torch.manual_seed(5)
            found.append(Dropout(0.25)(torch.ones(300, 301)))
    finally:
        torch.set_num_threads(threads)
    assert found[0].equal(found[1])
    assert found[0].equal(found[2])
    assert not found[0].equal(Dropout(0.25)(torch.ones(300, 301)))


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_elsewhere_it_is_torchs(p: float, dtype: torch.dtype):
    x = torch.ones(40, 3, dtype=dtype)
    found = []
    for kind in (Dropout, nn.Dropout):
        torch.manual_seed(0)
        found.append(kind(p)(x))
    assert found[0].equal(found[1])


def test_nothing_is_dropped_in_eval_mode_or_at_zero():
    x = torch.randn(9, 4)
    assert Dropout(0.5).eval()(x).equal(x)
    assert Dropout(0.0)(x).equal(x)
    assert not Dropout(1.0)(x).any()
