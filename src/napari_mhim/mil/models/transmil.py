"""TransMIL: a class token gathers the bag through two layers of self-attention.

*Attention* is how much the class token takes from each instance in one of the layers, a
row for each head. Rows are not normalised: the class token and padding take the rest,
and a value can be slightly negative. The teacher masks by the same rows, whose heads
vote. *Evidence* of an instance is what its value in the first layer, alone, adds to
the classifier: value, output layer and head without biases, minus the mean over classes.
It leaves out the second layer, positions and normalisation, so it is approximate.

The order of instances matters here: landmarks are means of neighbours in the list, and
positions come from laying the list out as a square. Kept instances stay ascending.

References
----------
Shao et al., "TransMIL: Transformer based Correlated Multiple Instance Learning for Whole
Slide Image Classification", NeurIPS 2021, arXiv:2106.00908; in the form of Tang et al.,
ICCV 2023, arXiv:2307.15254, which pads inside the attention and not before it.
"""

from collections.abc import Mapping
from functools import partial
from math import ceil, sqrt
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_mhim.errors import ConfigError
from napari_mhim.mil.model import MILModel, MILOutput
from napari_mhim.mil.models._filters import over_square
from napari_mhim.mil.models._layers import check_classes, initialise, projection
from napari_mhim.mil.models._nystrom import NystromAttention

OFFICIAL_KEYS = {
    "patch_to_emb.0": "projection.0",
    "feature.0": "projection.0",
    "online_encoder.cls_token": "class_token",
    "online_encoder.layer1.norm": "first.norm",
    "online_encoder.layer1.attn.to_qkv": "first.attention.qkv",
    "online_encoder.layer1.attn.to_out.0": "first.attention.output",
    "online_encoder.layer1.attn.res_conv": "first.attention.residual",
    "online_encoder.pos_embedding.proj": "position.wide",
    "online_encoder.pos_embedding.proj1": "position.middle",
    "online_encoder.pos_embedding.proj2": "position.narrow",
    "online_encoder.layer2.norm": "last.norm",
    "online_encoder.layer2.attn.to_qkv": "last.attention.qkv",
    "online_encoder.layer2.attn.to_out.0": "last.attention.output",
    "online_encoder.layer2.attn.res_conv": "last.attention.residual",
    "online_encoder.norm": "norm",
    "predictor": "head",
}
"""Layers of the authors' checkpoints (v1, v2) and what they are called here."""

AttentionLayer = Literal["first", "last"]


class Layer(nn.Module):
    """Normalisation and attention; the sum with its input is the caller's."""

    def __init__(self, width: int, attention: NystromAttention):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = attention


class Position(nn.Module):
    """Mixes neighbours after laying the tokens out as a square: (1 + n, D), in and out.

    The sum of three depth-wise convolutions and the identity, which is one convolution
    with the sum of their kernels. The list fills the square row by row and wraps round
    at its end; a square narrower than the widest kernel is filled up with zeros. The
    first token has no place in it and stays as it is.
    """

    SIDE = 7
    BAND = 64
    """Rows of the square mixed at a time where nothing is kept for gradients."""

    def __init__(self, width: int, least_side: int = SIDE):
        super().__init__()
        self._least_side = least_side
        self.wide, self.middle, self.narrow = (
            nn.Conv2d(width, width, side, padding=side // 2, groups=width)
            for side in (self.SIDE, 5, 3)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Mix tokens, shape (1 + n, D); the result has the same shape."""
        n = len(tokens) - 1
        side, rim = max(ceil(sqrt(n)), self._least_side), self.SIDE // 2
        kernel, bias = self._kernel(), self._bias()
        # of a long bag, each copy of the whole square is hundreds of megabytes
        step = side if torch.is_grad_enabled() else self.BAND
        mixed = [tokens[:1]]
        for top in range(0, side, step):
            rows = min(step, side - top)
            places = (top - rim) * side, (top + rows + rim) * side
            band = _laid_out(tokens[1:], *places, side)
            filtered = over_square(band, kernel, bias, side)  # (rows * side, D)
            mixed.append(filtered[: max(n - top * side, 0)])
        return torch.cat(mixed)

    def _kernel(self) -> Tensor:
        middle, narrow = (
            F.pad(self.middle.weight, (1,) * 4),
            F.pad(self.narrow.weight, (2,) * 4),
        )
        identity = torch.zeros_like(self.wide.weight[:1])  # (1, 1, 7, 7)
        identity[..., self.SIDE // 2, self.SIDE // 2] = 1
        return self.wide.weight + middle + narrow + identity  # (D, 1, 7, 7)

    def _bias(self) -> Tensor:
        assert self.wide.bias is not None
        assert self.middle.bias is not None
        assert self.narrow.bias is not None
        return self.wide.bias + self.middle.bias + self.narrow.bias


def _laid_out(tokens: Tensor, start: int, stop: int, side: int) -> Tensor:
    """Give what lies in a square's places from start to stop, shape (stop - start, D).

    Tokens, shape (n, D), then tokens from the first on until a square is full; zeros in
    what is left of a larger square, before it and after it.
    """
    n = len(tokens)
    full = ceil(sqrt(n)) ** 2
    before, after = max(-start, 0), max(stop - max(full, start), 0)
    start, stop = max(start, 0), min(stop, full)
    parts = [
        tokens.new_zeros(before, tokens.shape[1]),
        tokens[start : min(stop, n)],
        tokens[max(start - n, 0) : max(stop - n, 0)],
        tokens.new_zeros(after, tokens.shape[1]),
    ]
    return torch.cat(parts)


class TransMIL(MILModel):
    """Projection, attention, positions, attention, classifier on the class token."""

    def __init__(
        self,
        project: nn.Module,
        layers: tuple[Layer, Layer],
        hidden: int,
        heads: int,
        n_classes: int,
        attention_layer: AttentionLayer,
        square_first: bool,
    ):
        super().__init__()
        self._square_first = square_first
        self.branches = tuple(f"head {index + 1}" for index in range(heads))
        self._attention_layer = attention_layer
        self.projection = project
        self.class_token = nn.Parameter(torch.randn(1, 1, hidden))
        self.first, self.last = layers
        self.position = Position(hidden, 1 if square_first else Position.SIDE)
        self.norm = nn.LayerNorm(hidden)
        self.head = nn.Linear(hidden, n_classes)
        initialise(self)

    def aggregate(self, h: Tensor) -> MILOutput:
        """Pool embedded instances, shape (N, D), N ≥ 1, into one output."""
        n = len(h)
        if self._square_first:
            h = torch.cat([h, h[: ceil(sqrt(n)) ** 2 - n]])  # (side², D)
        tokens = torch.cat([self.class_token[0], h])  # (1 + N, D)
        # zeros in front at once: of a long bag, each further copy is hundreds of megabytes
        padded, zeros = self.first.attention.padded(self.first.norm(tokens))
        attended, first = self.first.attention(padded, zeros)
        # into what nothing keeps for gradients
        tokens = self.position(attended.add_(tokens))  # (1 + N, D)
        del attended
        # nothing but the class token leaves the last layer
        attention = self.last.attention
        attended, last = attention.attend_first(
            *attention.padded(self.last.norm(tokens))
        )
        embedding = self.norm(tokens[:1] + attended)  # (1, D)
        first, last = _of_instances(first, n), _of_instances(last, n)  # each (H, N)
        row = first if self._attention_layer == "first" else last
        normed = padded[zeros + 1 : zeros + n + 1]  # (N, D)
        return MILOutput(
            logits=self.head(embedding)[0],  # (C,)
            embedding=embedding,
            scores=row,
            attention=row,
            weigh=partial(self._evidence, normed),
            classify=partial(self._class_logits, normed.detach(), first),
        )

    def _evidence(self, normed: Tensor) -> Tensor:
        attention = self.first.attention
        inner = attention.output.weight.shape[1]
        head = self.head.weight - self.head.weight.mean(dim=0)  # (C, D)
        to_classes = head @ attention.output.weight @ attention.qkv.weight[-inner:]
        evidence: Tensor = normed @ to_classes.T  # (N, C)
        return evidence

    def _class_logits(self, normed: Tensor, row: Tensor) -> Tensor:
        """Give what each instance passes to the class token in the first layer, judged.

        Its value in each head by that head's attention, output layer and its bias, head
        without bias: as the authors have it, less the output layer's dropout.
        """
        attention = self.first.attention
        inner = attention.output.weight.shape[1]
        values = normed @ attention.qkv.weight[-inner:].T  # (N, H * d)
        passed = values.unflatten(1, (len(row), -1)) * row.T[..., None]  # (N, H, d)
        to_classes = self.head.weight @ attention.output.weight  # (C, H * d)
        logits: Tensor = passed.flatten(1) @ to_classes.T  # (N, C)
        # the bias is far larger: added in float32, thousands of instances become equal
        if logits.device.type != "mps":  # which has no float64
            logits = logits.double()
        return logits + self.head.weight @ attention.output.bias


def _of_instances(row: Tensor, n: int) -> Tensor:
    """Give the class token's row, shape (H, n), from (H, 1 + n or more)."""
    row, twice = row[:, 1 : n + 1], row[:, n + 1 :]
    # what the class token takes from an instance that is there twice, it takes from both
    return row + F.pad(twice, (0, n - twice.shape[1])) if twice.shape[1] else row


def build(
    in_dim: int,
    n_classes: int,
    hidden: int = 512,
    heads: int = 8,
    head_dim: int = 64,
    landmarks: int = 256,
    attention_layer: AttentionLayer = "first",
    square_first: bool = False,
    act: str = "relu",
    dropout: float = 0.25,
    attention_dropout: float = 0.1,
) -> TransMIL:
    """Build a TransMIL with fresh weights.

    Parameters
    ----------
    in_dim : int
        Width of the features.
    n_classes : int
        Number of classes, at least 2.
    hidden : int
        Width D of the tokens.
    heads, head_dim : int
        Attention heads and the width of each.
    landmarks : int
        Tokens that stand for all in the attention.
    attention_layer : {"first", "last"}
        Layer whose attention is shown and masked by; the paper's choice is the first.
    square_first : bool
        Whether the list is filled up to a square, with its own beginning, before the
        first layer: the original TransMIL does, MHIM's fills up for positions alone.
    act : str
        ``"relu"``, ``"gelu"`` or ``"tanh"``, after the projection.
    dropout, attention_dropout : float
        Share of values dropped in train mode, after the projection and after each
        attention, in [0, 1).

    Returns
    -------
    TransMIL
        The model, on the CPU.

    Raises
    ------
    ConfigError
        If a value is out of range or a name unknown.
    """
    check_classes(n_classes)
    if min(heads, head_dim, landmarks) < 1:
        raise ConfigError(
            "heads, head_dim and landmarks must be at least 1, "
            f"got {heads}, {head_dim} and {landmarks}"
        )
    if attention_layer not in ("first", "last"):
        raise ConfigError(
            f"attention_layer must be 'first' or 'last', got {attention_layer!r}"
        )
    project = projection(in_dim, hidden, act, dropout)
    one, two = (
        Layer(
            hidden,
            NystromAttention(hidden, heads, head_dim, landmarks, attention_dropout),
        )
        for _ in range(2)
    )
    return TransMIL(
        project, (one, two), hidden, heads, n_classes, attention_layer, square_first
    )


def official_config(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read from translated weights what :func:`build` must be told.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        Weights under this model's own names.

    Returns
    -------
    dict
        Arguments of :func:`build`; the activation is not stored, so not among them.
    """
    hidden, in_dim = tensors["projection.0.weight"].shape
    heads = tensors["first.attention.residual.weight"].shape[0]
    inner = tensors["first.attention.output.weight"].shape[1]
    return {
        "in_dim": in_dim,
        "n_classes": tensors["head.weight"].shape[0],
        "hidden": hidden,
        "heads": heads,
        "head_dim": inner // heads,
    }
