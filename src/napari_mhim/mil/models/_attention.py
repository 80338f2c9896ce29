"""Attention before the softmax, from each instance by itself."""

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
