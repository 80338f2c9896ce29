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

KERNEL = 33
"""Positions the residual convolution of the values spans."""
PINV_STEPS = 6
"""Iterations of the pseudo-inverse."""


@dataclass(frozen=True)
class _Landmarks:
    keys: Tensor
    """Shape (H, m, d)."""
    inverse: Tensor
    """Pseudo-inverse of their attention to each other, shape (H, m, m)."""
    spread: Tensor
    """Their attention to the tokens, shape (H, m, n); a row sums to 1 or less."""
    passed: Tensor
    """What they pass on of the values, shape (H, m, d)."""


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
        query, key, value = self._split(self.qkv(x), 3)  # each (H, n, d)
        marks = self._landmarks_of(x, key, value)
        weights = self._attend(query, marks.keys)  # (H, n, m)
        local = self.residual(value)  # (H, n, d)
        attended = self._merge(weights @ marks.passed + local)
        return attended, _row(weights[:, :1], marks)

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
        to_query, to_rest = self.qkv.weight.tensor_split([self._inner])
        key, value = self._split(F.linear(x, to_rest), 2)  # each (H, n, d)
        (query,) = self._split(F.linear(x[:1], to_query), 1)  # (H, 1, d)
        marks = self._landmarks_of(x, key, value)
        weights = self._attend(query, marks.keys)  # (H, 1, m)
        # the first output of the residual convolution sees half a kernel of values
        half = KERNEL // 2 + 1
        reach = self.residual.weight[:, 0, KERNEL // 2 :]  # (H, half, 1)
        near = value[:, :half]  # (H, up to half, d)
        local = (near * reach[:, : near.shape[1]]).sum(dim=1, keepdim=True)  # (H, 1, d)
        attended = self._merge(weights @ marks.passed + local)
        return attended, _row(weights, marks)

    @property
    def _inner(self) -> int:
        return self._heads * self._head_dim

    def _landmarks_of(self, x: Tensor, key: Tensor, value: Tensor) -> _Landmarks:
        n, m = len(x), self._landmarks
        zeros = -n % m
        groups = (
            F.pad(x, (0, 0, zeros, 0)).view(m, -1, x.shape[1]).mean(dim=1)
        )  # (m, D)
        # the projection of a mean is the mean of projections
        to_landmarks = self.qkv.weight[: 2 * self._inner]
        queries, keys = self._split(F.linear(groups, to_landmarks), 2)  # each (H, m, d)
        inverse = pseudo_inverse(self._attend(queries, keys))  # (H, m, m)
        likeness = self._scaled(queries) @ key.mT  # (H, m, n)
        # rows of zeros in front have key 0 and value 0: all they do is take a share
        spread = F.pad(likeness, (zeros, 0)).softmax(dim=-1)[..., zeros:]  # (H, m, n)
        # from the right, so that no n times m times m is worked out
        return _Landmarks(keys, inverse, spread, inverse @ (spread @ value))

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


def pseudo_inverse(matrices: Tensor) -> Tensor:
    """Approximate the pseudo-inverse of each head's matrix by iteration.

    Parameters
    ----------
    matrices : Tensor, shape (H, m, m)
        Non-negative matrices. One start value is taken for all, as published, so a head
        on its own gives other numbers.

    Returns
    -------
    Tensor, shape (H, m, m)
        The pseudo-inverses.
    """
    sums = matrices.abs()
    start = matrices.mT / (sums.sum(dim=-1).max() * sums.sum(dim=-2).max())
    eye = torch.eye(matrices.shape[-1], dtype=matrices.dtype, device=matrices.device)
    inverse = start
    for _ in range(PINV_STEPS):
        product = matrices @ inverse
        step = 15 * eye - product @ (7 * eye - product)
        inverse = 0.25 * inverse @ (13 * eye - product @ step)
    return inverse


@torch.no_grad()
def _row(weights: Tensor, marks: _Landmarks) -> Tensor:
    row = weights.detach() @ marks.inverse.detach() @ marks.spread.detach()  # (H, 1, n)
    return row[:, 0]
