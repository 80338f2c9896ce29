"""What TransMIL promises beside the contract."""

from math import ceil, sqrt
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from napari_mhim.errors import ConfigError
from napari_mhim.mil.models import _nystrom, transmil
from napari_mhim.mil.models._inverse import PseudoInverse
from napari_mhim.mil.models._nystrom import NystromAttention


def small(seed: int = 0, **options: Any) -> transmil.TransMIL:
    torch.manual_seed(seed)
    sizes = {"hidden": 12, "heads": 2, "head_dim": 6, "landmarks": 8}
    return transmil.build(5, 3, **{**sizes, **options}).double().eval()


def attention(seed: int = 0) -> NystromAttention:
    torch.manual_seed(seed)
    return NystromAttention(12, 2, 6, 8, 0.1).double().eval()


def pseudo_inverse(matrices: Tensor) -> Tensor:
    """Oracle: the published iteration."""
    sums = matrices.abs()
    inverse = matrices.mT / (sums.sum(dim=-1).max() * sums.sum(dim=-2).max())
    eye = torch.eye(matrices.shape[-1], dtype=matrices.dtype)
    for _ in range(6):
        product = matrices @ inverse
        step = 15 * eye - product @ (7 * eye - product)
        inverse = 0.25 * inverse @ (13 * eye - product @ step)
    return inverse


def written_out(part: NystromAttention, x: Tensor) -> tuple[Tensor, Tensor]:
    """Oracle: the published attention with every matrix in full, head after head."""
    n, m = len(x), 8
    zeros = -n % m
    padded = torch.cat([torch.zeros(zeros, 12, dtype=x.dtype), x])
    q, k, v = (padded @ part.qkv.weight.T).view(n + zeros, 3, 2, 6).permute(1, 2, 0, 3)
    q = q / 6**0.5
    means = [t.view(2, m, -1, 6).mean(dim=2) for t in (q, k)]
    inverse = pseudo_inverse((means[0] @ means[1].mT).softmax(-1))
    whole = (q @ means[1].mT).softmax(-1) @ inverse @ (means[0] @ k.mT).softmax(-1)
    kernel = part.residual.weight
    local = F.conv2d(v[None], kernel, padding=(16, 0), groups=2)[0]
    heads = (whole @ v + local).permute(1, 0, 2).flatten(1)
    return part.output(heads)[zeros:], whole[:, zeros, zeros:]


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(0, 2**32))
def test_attention_equals_the_full_matrix(n: int, seed: int):
    part = attention(seed)
    x = torch.randn(n, 12, dtype=torch.float64)
    wanted, first = written_out(part, x)
    attended, row = part(*part.padded(x))
    torch.testing.assert_close(attended, wanted)
    torch.testing.assert_close(row, first.detach())


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(0, 2**32))
def test_attending_from_the_first_alone_is_the_first_row(n: int, seed: int):
    part = attention(seed)
    x = torch.randn(n, 12, dtype=torch.float64)
    whole, row = part(*part.padded(x))
    first, first_row = part.attend_first(*part.padded(x))
    torch.testing.assert_close(first, whole[:1])
    torch.testing.assert_close(first_row, row)


@pytest.mark.parametrize("n", [1, 7, 8, 33, 40])
def test_a_long_list_is_attended_to_head_by_head_alike(
    n: int, monkeypatch: pytest.MonkeyPatch
):
    part, x = attention(), torch.randn(n, 12, dtype=torch.float64)
    with torch.no_grad():
        wanted = *part(*part.padded(x)), *part.attend_first(*part.padded(x))
        monkeypatch.setattr(_nystrom, "LONG", 1)
        given = *part(*part.padded(x)), *part.attend_first(*part.padded(x))
    torch.testing.assert_close(given, wanted)


@settings(max_examples=30)
@given(st.integers(1, 12), st.floats(0.01, 4), st.integers(0, 2**32))
def test_pseudo_inverse_is_that_of_the_published_iteration(
    m: int, spread: float, seed: int
):
    torch.manual_seed(seed)
    matrices = (spread * torch.randn(3, m, m, dtype=torch.float64)).softmax(-1)
    rows, columns = torch.randn(2, 3, m, 5, dtype=torch.float64)
    ours, theirs = matrices.clone().requires_grad_(), matrices.requires_grad_()
    factors, inverse = PseudoInverse(ours), pseudo_inverse(theirs)
    after, before = factors.after(rows.mT), factors.before(columns)
    torch.testing.assert_close(after, rows.mT @ inverse)
    torch.testing.assert_close(before, inverse @ columns)
    (after.sum() + before.square().sum()).backward()
    ((rows.mT @ inverse).sum() + (inverse @ columns).square().sum()).backward()
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-8, rtol=1e-4)


def test_rounding_of_the_pseudo_inverse_stays_small_where_it_is_worst():
    torch.manual_seed(0)
    q, k = 0.05 * torch.randn(2, 8, 256, 64, dtype=torch.float64)
    matrices = (q @ k.mT).softmax(-1)  # nearly constant: the worst to invert
    wanted = (q[:, :1] @ k.mT).softmax(-1) @ pseudo_inverse(matrices)
    row = (q[:, :1] @ k.mT).softmax(-1).float()
    gap = PseudoInverse(matrices.float()).after(row) - wanted
    assert gap.norm() < 1e-5 * wanted.norm()
    # as near as the recorded numbers ask
    assert gap.abs().max() < 2e-5 * wanted.abs().max()


@pytest.mark.parametrize("n", [1, 2, 3, 5, 37, 49, 50, 64, 90, 110])
@pytest.mark.parametrize("gradients", [True, False])
def test_positions_equal_three_convolutions_and_the_identity(
    n: int, gradients: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(transmil.Position, "BAND", 2)
    part = small().position
    first, tokens = torch.randn(n + 1, 12, dtype=torch.float64).split([1, n])
    side = ceil(sqrt(n))
    square = torch.cat([tokens, tokens[: side**2 - n]])
    square = torch.cat([square, torch.zeros(max(49 - side**2, 0), 12).double()])
    side = max(side, 7)
    grid = square.T.view(1, 12, side, side)
    mixed = grid + part.wide(grid) + part.middle(grid) + part.narrow(grid)
    wanted = torch.cat([first, mixed.flatten(2)[0].T[:n]])
    with torch.set_grad_enabled(gradients):
        given = part(torch.cat([first, tokens]))
    torch.testing.assert_close(given, wanted)


def test_scores_are_those_of_the_layer_asked_for():
    first, last = small(), small(attention_layer="last")
    x = torch.randn(20, 5, dtype=torch.float64)
    one, other = first(x), last(x)
    torch.testing.assert_close(one.logits, other.logits)
    assert one.scores.shape == other.scores.shape == (2, 20)
    assert not torch.allclose(one.scores, other.scores)


def test_evidence_is_what_a_value_alone_adds_to_the_classifier():
    model, x = small(), torch.randn(20, 5, dtype=torch.float64)
    evidence = model(x).evidence
    part, head = model.first.attention, model.head.weight
    for row, own in zip(model.embed(x), evidence, strict=True):
        value = part.qkv.weight[-12:] @ model.first.norm(row)
        added = head @ (part.output.weight @ value)
        torch.testing.assert_close((added - added.mean()).detach(), own)


def test_has_as_many_weights_as_the_authors():
    parameters = transmil.build(1024, 2).parameters()
    assert sum(p.numel() for p in parameters) == 2_672_146


def test_names_its_heads():
    assert small().branches == ("head 1", "head 2")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"heads": 0}, "must be at least 1, got 0, 6 and 8"),
        ({"attention_layer": "middle"}, "must be 'first' or 'last', got 'middle'"),
    ],
)
def test_refuses_what_cannot_be_built(options: dict[str, Any], words: str):
    with pytest.raises(ConfigError, match=words):
        small(**options)


def original(model: transmil.TransMIL, x: Tensor) -> Tensor:
    """Oracle: the original's order, the square filled before anything else."""
    h = model.projection(x)
    side = ceil(sqrt(len(h)))
    h = torch.cat([h, h[: side**2 - len(h)]])
    tokens = torch.cat([model.class_token[0], h])
    attended, _ = written_out(model.first.attention, model.first.norm(tokens))
    tokens = tokens + attended
    square = tokens[1:].T.view(1, -1, side, side)
    position = model.position
    mixed = square + position.wide(square) + position.middle(square)
    mixed = (mixed + position.narrow(square))[0].flatten(1).T
    tokens = torch.cat([tokens[:1], mixed])
    attended, _ = written_out(model.last.attention, model.last.norm(tokens))
    return model.head(model.norm(tokens + attended)[0])


@settings(max_examples=30)
@given(st.integers(1, 60), st.integers(0, 2**32))
def test_fills_the_square_first_as_the_original_does(n: int, seed: int):
    model = small(seed, square_first=True)
    x = torch.randn(n, 5, dtype=torch.float64)
    torch.testing.assert_close(model(x).logits, original(model, x))


@pytest.mark.parametrize("n", [1, 2, 5, 17, 36])
@pytest.mark.parametrize("layer", ["first", "last"])
def test_what_fills_the_square_counts_for_its_instance(n: int, layer: str):
    model = small(square_first=True, attention_layer=layer)
    x = torch.randn(n, 5, dtype=torch.float64)
    output = model(x)
    assert output.attention.shape == (2, n)
    assert output.evidence.shape == (n, 3)
    # the class token takes from the filled list what it takes from that list given whole
    side = ceil(sqrt(n))
    whole = model(torch.cat([x, x[: side**2 - n]])).attention
    wanted = whole[:, :n].clone()
    wanted[:, : side**2 - n] += whole[:, n:]
    torch.testing.assert_close(output.attention, wanted)
