"""Self-attention of a long sequence through a few landmarks (Nyström's method).

References
----------
Xiong et al., "Nyströmformer: A Nyström-based Algorithm for Approximating
Self-Attention", AAAI 2021, arXiv:2102.03902.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_mhim.mil.models._dropout import Dropout
from napari_mhim.mil.models._filters import KERNEL, SequenceFilter
from napari_mhim.mil.models._inverse import PseudoInverse

LONG = 32_768
"""Tokens from which, without gradients, heads are projected one after the other."""


@dataclass(frozen=True)
class _Landmarks:
    queries: Tensor
    """Shape (H, m, d)."""
    keys: Tensor
    """Shape (H, m, d)."""
    inverse: PseudoInverse
    """Of their attention to each other, m by m in each head."""


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
        self.dropout = Dropout(dropout)
        self.residual = SequenceFilter(heads)

    def padded(self, x: Tensor) -> tuple[Tensor, int]:
        """Put zero rows in front until m groups are equal.

        Parameters
        ----------
        x : Tensor, shape (n, D)
            Tokens.

        Returns
        -------
        padded : Tensor, shape (z + n, D)
            What the attention takes.
        zeros : int
            How many rows z were put in front.
        """
        zeros = -len(x) % self._landmarks
        return F.pad(x, (0, 0, zeros, 0)), zeros

    def forward(self, padded: Tensor, zeros: int) -> tuple[Tensor, Tensor]:
        """Attend from every token.

        Parameters
        ----------
        padded : Tensor, shape (z + n, D)
            Tokens, as :meth:`padded` gives them.
        zeros : int
            Rows z in front.

        Returns
        -------
        attended : Tensor, shape (n, D)
            What each token takes from all.
        first : Tensor, shape (H, n)
            How much the first token takes from each, by head; no gradient.
        """
        marks = self._landmarks_of(padded)
        with torch.no_grad():
            start = self._attend(self._first_query(padded[zeros:]), marks.keys)
            start = marks.inverse.after(start)  # (H, 1, m)
        joined, first = self._by_landmarks(padded, zeros, marks, start)
        return self.dropout(self.output(joined)), first

    def attend_first(self, padded: Tensor, zeros: int) -> tuple[Tensor, Tensor]:
        """Attend from the first token alone: row 0 of :meth:`forward`, for less work.

        Parameters
        ----------
        padded : Tensor, shape (z + n, D)
            Tokens, as :meth:`padded` gives them.
        zeros : int
            Rows z in front.

        Returns
        -------
        attended : Tensor, shape (1, D)
            What the first token takes from all.
        first : Tensor, shape (H, n)
            How much it takes from each, by head; no gradient.
        """
        x = padded[zeros:]
        marks = self._landmarks_of(padded)
        _, to_key, to_value = self._weights()  # each (H, d, D)
        weights = self._attend(self._first_query(x), marks.keys)  # (H, 1, m)
        weights = marks.inverse.after(weights)
        rows = [
            weights[head] @ self._attend(marks.queries[head], key)
            for head, key in enumerate(self._each(padded, to_key))
        ]
        row = torch.stack(rows)  # (H, 1, z + n)
        # tokens are summed up before they become values: one value, not n
        heard = row @ padded @ to_value.mT  # (H, 1, d)
        # the first output of the residual convolution sees half a kernel of values
        half = KERNEL // 2 + 1
        near = x[:half] @ to_value.mT  # (H, up to half, d)
        reach = self.residual.weight[:, 0, KERNEL // 2 :]  # (H, half, 1)
        local = (near * reach[:, : near.shape[1]]).sum(dim=1, keepdim=True)  # (H, 1, d)
        joined = (heard + local).flatten()[None]  # (1, H * d)
        return self.dropout(self.output(joined)), row.detach()[:, 0, zeros:]

    def _by_landmarks(
        self, padded: Tensor, zeros: int, marks: _Landmarks, start: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Give what heads take, side by side, (n, H * d), and the first token's rows."""
        queries, keys, values = self._by_head(padded)  # (z + n, d) each, by head
        heard, rows, outputs = [], [], []
        # head by head: its matrices stay in the cache, those of all would be new memory
        for head, (key, value) in enumerate(zip(keys, values, strict=True)):
            spread = self._attend(marks.queries[head], key)  # (m, z + n)
            heard.append(spread @ value)  # (m, d)
            rows.append(start[head] @ spread.detach()[:, zeros:])  # (1, n)
            outputs.append(self.residual(value, head)[zeros:])  # (n, d)
        # from the right, so that no n times m times m is worked out
        passed = marks.inverse.before(torch.stack(heard))  # (H, m, d)
        for head, query in enumerate(queries):
            # torch's own attention, which never holds all of (n, m)
            attended = F.scaled_dot_product_attention(
                query[None, None, zeros:],
                marks.keys[None, head, None],
                passed[None, head, None],
            )
            outputs[head] = outputs[head] + attended[0, 0]
        return torch.cat(outputs, dim=1), torch.cat(rows)

    @property
    def _inner(self) -> int:
        return self._heads * self._head_dim

    def _landmarks_of(self, padded: Tensor) -> _Landmarks:
        groups = padded.view(self._landmarks, -1, padded.shape[1]).mean(dim=1)  # (m, D)
        # the projection of a mean is the mean of projections
        to_query, to_key, _ = self._weights()
        queries, keys = groups @ to_query.mT, groups @ to_key.mT  # each (H, m, d)
        inverse = PseudoInverse(self._attend(queries, keys))
        return _Landmarks(queries, keys, inverse)

    def _first_query(self, x: Tensor) -> Tensor:
        query: Tensor = x[:1] @ self._weights()[0].mT  # (H, 1, d)
        return query

    def _attend(self, query: Tensor, keys: Tensor) -> Tensor:
        scaled = query * self._head_dim**-0.5
        shares: Tensor = (scaled @ keys.mT).softmax(dim=-1)
        return shares

    def _weights(self) -> tuple[Tensor, ...]:
        """Give what projects to queries, keys and values, each of shape (H, d, D)."""
        weight = self.qkv.weight
        return weight.view(3, self._heads, self._head_dim, -1).unbind(0)

    def _by_head(self, x: Tensor) -> tuple[Iterable[Tensor], ...]:
        """Give queries, keys and values of tokens, shape (n, d) for each head."""
        if torch.is_grad_enabled() or len(x) < LONG:
            # all heads at once: their gradients are put together once, not twice
            parts = self.qkv(x).view(len(x), -1, self._head_dim).unbind(1)
            return tuple(parts[i * self._heads :][: self._heads] for i in range(3))
        return tuple(self._each(x, weight) for weight in self._weights())

    def _each(self, x: Tensor, weight: Tensor) -> Iterable[Tensor]:
        """Project tokens, for one head after the other where they are many."""
        if torch.is_grad_enabled() or len(x) < LONG:
            whole = F.linear(x, weight.flatten(0, 1))  # (n, H * d)
            return whole.view(len(x), self._heads, self._head_dim).unbind(1)
        return (F.linear(x, of_head) for of_head in weight)
