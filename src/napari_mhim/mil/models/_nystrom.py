"""Self-attention of a long sequence through a few landmarks (Nyström's method).

References
----------
Xiong et al., "Nyströmformer: A Nyström-based Algorithm for Approximating
Self-Attention", AAAI 2021, arXiv:2102.03902.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_mhim.mil.models._inverse import PseudoInverse

KERNEL = 33
"""Positions the residual convolution of the values spans."""


@dataclass(frozen=True)
class _Landmarks:
    keys: Tensor
    """Shape (H, m, d)."""
    inverse: PseudoInverse
    """Of their attention to each other, m by m in each head."""
    spread: Tensor
    """Their attention to the tokens, zero rows included, shape (H, m, z + n)."""


class NystromAttention(nn.Module):
    """Attention of n tokens by each other, with m landmarks: (n, D) -> (n, D).

    Landmarks are means of m groups of neighbours. As published, zero rows are put in
    front until the groups are equal; they take part in every softmax, so the numbers
    depend on n modulo m.
    """

    def __init__(
        self, width: int, heads: int, head_dim: int, landmarks: int, dropout: float
    ):
        super().__init__()
        self._heads, self._head_dim, self._landmarks = heads, head_dim, landmarks
        inner = heads * head_dim
        self.qkv = nn.Linear(width, 3 * inner, bias=False)
        self.output = nn.Linear(inner, width)
        self.dropout = nn.Dropout(dropout)
        self.residual = SequenceFilter(heads)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Attend from every token.

        Parameters
        ----------
        x : Tensor, shape (n, D)
            Tokens.

        Returns
        -------
        attended : Tensor, shape (n, D)
            What each token takes from all.
        first : Tensor, shape (H, n)
            How much the first token takes from each, by head; no gradient.
        """
        padded, zeros = self._padded(x)  # (z + n, D)
        query, key, value = self._split(self.qkv(padded), 3)  # each (H, z + n, d)
        marks = self._landmarks_of(padded, key)
        # from the right, so that no n times m times m is worked out
        passed = marks.inverse.before(marks.spread @ value)  # (H, m, d)
        query = query[:, zeros:]  # (H, n, d)
        # torch's own attention, which never holds all of (H, n, m)
        attended = F.scaled_dot_product_attention(
            query[None], marks.keys[None], passed[None]
        )[0]  # (H, n, d)
        local = self.residual(value)[:, zeros:]  # (H, n, d)
        with torch.no_grad():
            weights = self._attend(query[:, :1], marks.keys)  # (H, 1, m)
            row = marks.inverse.after(weights) @ marks.spread  # (H, 1, z + n)
        return self._merge(attended + local), row[:, 0, zeros:]

    def attend_first(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Attend from the first token alone: row 0 of :meth:`forward`, for less work.

        Parameters
        ----------
        x : Tensor, shape (n, D)
            Tokens.

        Returns
        -------
        attended : Tensor, shape (1, D)
            What the first token takes from all.
        first : Tensor, shape (H, n)
            How much it takes from each, by head; no gradient.
        """
        padded, zeros = self._padded(x)  # (z + n, D)
        to_query, to_key, to_value = self.qkv.weight.chunk(3)  # each (H * d, D)
        (key,) = self._split(F.linear(padded, to_key), 1)  # (H, z + n, d)
        (query,) = self._split(F.linear(x[:1], to_query), 1)  # (H, 1, d)
        marks = self._landmarks_of(padded, key)
        weights = self._attend(query, marks.keys)  # (H, 1, m)
        row = marks.inverse.after(weights) @ marks.spread  # (H, 1, z + n)
        # tokens are summed up before they become values: one value, not n
        heard = row @ padded  # (H, 1, D)
        by_head = to_value.view(self._heads, self._head_dim, -1)  # (H, d, D)
        # the first output of the residual convolution sees half a kernel of values
        half = KERNEL // 2 + 1
        (near,) = self._split(F.linear(x[:half], to_value), 1)  # (H, up to half, d)
        reach = self.residual.weight[:, 0, KERNEL // 2 :]  # (H, half, 1)
        local = (near * reach[:, : near.shape[1]]).sum(dim=1, keepdim=True)  # (H, 1, d)
        attended = self._merge(heard @ by_head.mT + local)
        return attended, row.detach()[:, 0, zeros:]

    @property
    def _inner(self) -> int:
        return self._heads * self._head_dim

    def _padded(self, x: Tensor) -> tuple[Tensor, int]:
        """Put zero rows in front until m groups are equal; give their number too."""
        zeros = -len(x) % self._landmarks
        return F.pad(x, (0, 0, zeros, 0)), zeros

    def _landmarks_of(self, padded: Tensor, key: Tensor) -> _Landmarks:
        groups = padded.view(self._landmarks, -1, padded.shape[1]).mean(dim=1)  # (m, D)
        # the projection of a mean is the mean of projections
        to_landmarks = self.qkv.weight[: 2 * self._inner]
        queries, keys = self._split(F.linear(groups, to_landmarks), 2)  # each (H, m, d)
        inverse = PseudoInverse(self._attend(queries, keys))
        return _Landmarks(keys, inverse, self._attend(queries, key))

    def _attend(self, query: Tensor, keys: Tensor) -> Tensor:
        return (self._scaled(query) @ keys.mT).softmax(dim=-1)

    def _scaled(self, query: Tensor) -> Tensor:
        scaled: Tensor = query * self._head_dim**-0.5
        return scaled

    def _split(self, projected: Tensor, parts: int) -> tuple[Tensor, ...]:
        by_head = projected.view(len(projected), parts, self._heads, self._head_dim)
        return by_head.permute(1, 2, 0, 3).unbind(0)

    def _merge(self, by_head: Tensor) -> Tensor:
        joined = by_head.permute(1, 0, 2).flatten(1)  # (n, H * d)
        attended: Tensor = self.dropout(self.output(joined))
        return attended


class SequenceFilter(nn.Module):
    """Convolution along a sequence, one kernel for each head: (H, n, d) -> (H, n, d).

    Written as products with a band matrix, block by block. torch's own depth-wise
    convolution is slower on a CPU, and its oneDNN path gives a kernel gradient that is
    wrong by 2 to 10 % at every n of the form 15 k + 1 (torch 2.13 and 2.15).
    """

    BLOCK = 128

    def __init__(self, heads: int):
        super().__init__()
        # shape and initialisation of a convolution of heads channels in heads groups
        self.weight = nn.Conv2d(heads, heads, (KERNEL, 1), groups=heads).weight

    def forward(self, values: Tensor) -> Tensor:
        """Filter values, shape (H, n, d); beyond both ends there are zeros."""
        heads, n, width = values.shape
        block, rim = self.BLOCK, KERNEL - 1
        padded = F.pad(values, (0, 0, rim // 2, rim // 2 + -n % block))
        blocks = padded.unfold(1, block + rim, block)  # (H, blocks, d, block + rim)
        filtered = blocks @ self._band().mT[:, None]  # (H, blocks, d, block)
        return filtered.mT.reshape(heads, -1, width)[:, :n]

    def _band(self) -> Tensor:
        """Give the matrix whose row i is the kernel, i places on: (H, block, block + rim)."""
        kernels = self.weight[:, 0, :, 0]  # (H, K)
        heads, size = len(kernels), self.BLOCK
        # rows one longer than a row of the matrix move on by one place each
        rows = F.pad(kernels, (0, size)).repeat(1, size)[
            :, : size * (size + KERNEL - 1)
        ]
        return rows.view(heads, size, size + KERNEL - 1)
