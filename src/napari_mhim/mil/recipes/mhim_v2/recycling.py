"""The global recycle network: many instances become a few tokens, by attention.

Departures from the authors' code, each on purpose:

- heads are as many as theirs (8), and as wide together as the model's instances (theirs:
  always 64 each, which is the same at their width of 512);
- the queries follow after a momentum of 1, too: they stay (theirs fails to build).

References
----------
Tang et al., "Multiple Instance Learning Framework with Masked Hard Instance Mining
for Gigapixel Histopathology Image Analysis", IJCV 2025, arXiv:2509.11526; as in the
authors' code.
"""

from math import ceil, sqrt

import torch
from torch import Tensor, nn

from napari_mhim.mil.models._layers import initialise

HEADS = 8
"""Heads of the attention."""


class RecycleNetwork(nn.Module):
    """Global queries that attend to recycled instances: (R, D) -> (k, D).

    The queries carry what earlier bags came to: they get no gradient, and follow the
    tokens by momentum.

    Parameters
    ----------
    width : int
        Width D of the embedded instances.
    tokens : int
        Queries, and so tokens, k.
    momentum : float
        Share of themselves the queries keep, in [0, 1].
    dropout : float
        Share of attention and of the tokens' values dropped in train mode.
    """

    queries: Tensor

    def __init__(self, width: int, tokens: int, momentum: float, dropout: float):
        super().__init__()
        inner = HEADS * ceil(width / HEADS)
        self._momentum = momentum
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, inner, bias=False)
        self.key_value = nn.Linear(width, 2 * inner, bias=False)
        self.output = nn.Linear(inner, width)
        self.dropout = nn.Dropout(dropout)
        initialise(self)
        # the start of visual prompts: for a patch of 16 x 16 pixels in three colours
        bound = sqrt(6 / (3 * 16 * 16 + width))
        self.register_buffer(
            "queries", torch.empty(tokens, width).uniform_(-bound, bound)
        )

    def forward(self, rows: Tensor) -> Tensor:
        """Recycle embedded instances, shape (R, D), R ≥ 1, into tokens, shape (k, D)."""
        # they move before the gradient is worked out, which needs them as they were
        queries = self.queries.clone()
        query = _by_head(self.query(self.norm(queries)))  # (H, k, d)
        keys, values = self.key_value(self.norm(rows)).chunk(2, dim=1)  # (R, H * d)
        key, value = _by_head(keys), _by_head(values)  # each (H, R, d)
        likeness = query @ key.mT / query.shape[-1] ** 0.5  # (H, k, R)
        attended = self.dropout(likeness.softmax(dim=-1)) @ value  # (H, k, d)
        joined = attended.permute(1, 0, 2).flatten(1)  # (k, H * d)
        tokens: Tensor = self.dropout(self.output(joined))
        return tokens

    @torch.no_grad()
    def follow(self, tokens: Tensor) -> None:
        """Move the queries towards the tokens of a bag, shape (k, D), in place."""
        kept = self._momentum
        self.queries.mul_(kept).add_(tokens.detach(), alpha=1 - kept)


def _by_head(rows: Tensor) -> Tensor:
    by_head = rows.reshape(len(rows), HEADS, -1)
    return by_head.permute(1, 0, 2)  # (H, n, d)
