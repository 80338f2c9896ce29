"""Attention before the softmax, from each instance by itself."""

import torch
from torch import Tensor, nn

from napari_mhim.mil.models._layers import activation


class PlainAttention(nn.Module):
    """Attention before the softmax, from two layers: (N, D) -> (N, K)."""

    def __init__(
        self, width: int, hidden: int, act: str, bias: bool = False, branches: int = 1
    ):
        super().__init__()
        self.hidden = nn.Linear(width, hidden, bias=bias)
        self.act = activation(act)
        self.score = nn.Linear(hidden, branches, bias=bias)

    def forward(self, h: Tensor) -> Tensor:
        """Score embedded instances, shape (N, D); the result has shape (N, K)."""
        raw: Tensor = self.score(self.act(self.hidden(h)))
        return raw


class GatedAttention(PlainAttention):
    """Attention whose hidden layer is multiplied by a sigmoid gate: (N, D) -> (N, K)."""

    def __init__(
        self, width: int, hidden: int, act: str, bias: bool = False, branches: int = 1
    ):
        super().__init__(width, hidden, act, bias, branches)
        self.gate = nn.Linear(width, hidden, bias=bias)

    def forward(self, h: Tensor) -> Tensor:
        """Score embedded instances, shape (N, D); the result has shape (N, K)."""
        open_share = self.gate(h).sigmoid()  # (N, hidden)
        raw: Tensor = self.score(self.act(self.hidden(h)) * open_share)
        return raw


def shares_of(raw: Tensor, kept: Tensor) -> Tensor:
    """Share attention out among some of the instances.

    Parameters
    ----------
    raw : Tensor, shape (K, N)
        Attention before the softmax, of all instances.
    kept : Tensor, shape (N,), bool
        The instances that are there.

    Returns
    -------
    Tensor, shape (K, N)
        Rows sum to 1; 0 where an instance is not there.
    """
    return raw.masked_fill(~kept, -torch.inf).softmax(dim=1)
