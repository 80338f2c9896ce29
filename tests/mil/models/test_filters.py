"""Filters along a list and over a square: torch's convolutions are the oracle."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from napari_mhim.mil.models import _filters
from napari_mhim.mil.models._filters import SequenceFilter, over_square


@settings(max_examples=40)
@given(st.integers(1, 400))
def test_filter_and_its_gradients_are_those_of_a_convolution(n: int):
    torch.manual_seed(n)
    ours = SequenceFilter(2)
    values = torch.randn(n, 2, 3).permute(1, 0, 2).requires_grad_()
    upstream = torch.randn(2, n, 3)
    kernel = ours.weight.detach().double().requires_grad_()
    doubled = values.detach().double().requires_grad_()
    wanted = F.conv2d(doubled[None], kernel, padding=(16, 0), groups=2)[0]
    filtered = torch.stack([ours(part, head) for head, part in enumerate(values)])
    torch.testing.assert_close(filtered.double(), wanted, atol=1e-5, rtol=1e-4)
    (filtered * upstream).sum().backward()
    (wanted * upstream).sum().backward()
    for mine, exact in ((ours.weight, kernel), (values, doubled)):
        gap = (mine.grad.double() - exact.grad).norm() / exact.grad.norm()
        assert gap < 1e-5


@settings(max_examples=40)
@given(
    side=st.integers(1, 40),
    rows=st.integers(1, 12),
    width=st.integers(1, 9),
    k=st.sampled_from([1, 3, 7]),
)
def test_a_square_and_its_gradients_are_those_of_a_convolution(
    side: int, rows: int, width: int, k: int
):
    torch.manual_seed(side)
    shapes = ((rows + k - 1) * side, width), (width, 1, k, k), (width,)
    parts = [torch.randn(s, dtype=torch.float64, requires_grad=True) for s in shapes]
    upstream = torch.randn(rows * side, width, dtype=torch.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_filters, "CHANNELS", 4)
        ours = over_square(*parts, side)
        found = torch.autograd.grad(ours, parts, upstream)
    places, kernel, bias = parts
    grid = places.T.reshape(1, width, -1, side)
    wanted = F.conv2d(grid, kernel, bias, padding=(0, k // 2), groups=width)
    wanted = wanted[0].flatten(1).T
    torch.testing.assert_close(ours, wanted)
    exact = torch.autograd.grad(wanted, parts, upstream)
    torch.testing.assert_close(found, exact)


def test_without_gradients_a_square_is_the_same():
    torch.manual_seed(0)
    parts = torch.randn(8 * 5, 3), torch.randn(3, 1, 3, 3), torch.randn(3)
    with torch.no_grad():
        wanted = over_square(*parts, 5)
    torch.testing.assert_close(over_square(*parts, 5), wanted)


def test_half_precision_gets_gradients_of_each_parts_kind():
    torch.manual_seed(0)
    filter_ = SequenceFilter(1)
    values = torch.randn(50, 4).bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        filter_(values, 0).float().square().sum().backward()
    assert (values.grad.dtype, filter_.weight.grad.dtype) == (
        torch.bfloat16,
        torch.float32,
    )
    parts = [torch.randn(8 * 5, 3), torch.randn(3, 1, 3, 3), torch.randn(3)]
    parts = [part.requires_grad_() for part in parts]
    with torch.autocast("cpu", torch.bfloat16):
        over_square(*parts, 5).float().square().sum().backward()
    assert all(part.grad.dtype == torch.float32 for part in parts)
    assert all(part.grad.isfinite().all() for part in parts)
