"""AB-MIL: a bag is the attention-weighted mean of its instances.

*Attention* is the softmax over the bag. *Evidence* of an instance is the classifier on
that instance alone, without bias, minus the mean over classes; since pooling and
classifier are linear, attention × evidence summed over the bag is exactly the logits
without bias, minus their mean.

References
----------
Ilse et al., "Attention-based Deep Multiple Instance Learning", ICML 2018,
arXiv:1802.04712; in the form of Tang et al., ICCV 2023, arXiv:2307.15254, where both
attention layers have no bias.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn

from napari_mhim.mil.model import MILModel, MILOutput
from napari_mhim.mil.models._attention import GatedAttention, PlainAttention, shares_of
from napari_mhim.mil.models._layers import (
    check_classes,
    initialise,
    linear_evidence,
    projection,
)

OFFICIAL_KEYS = {
    "patch_to_emb.0": "projection.0",
    "feature.0": "projection.0",
    "online_encoder.attention.attention.0": "attention.hidden",
    "online_encoder.attention.attention.2": "attention.score",
    "online_encoder.attention.attention_a.0": "attention.hidden",
    "online_encoder.attention.attention_b.0": "attention.gate",
    "online_encoder.attention.attention_c": "attention.score",
    "predictor": "head",
}
"""Layers of the authors' checkpoints (v1, gated, v2) and what they are called here."""


class ABMIL(MILModel):
    """Projection, attention over the bag, one linear classifier."""

    evidence_kind = "exact"

    def __init__(self, project: nn.Module, attention: nn.Module, head: nn.Linear):
        super().__init__()
        self.projection = project
        self.attention = attention
        self.head = head
        initialise(self)

    def aggregate(self, h: Tensor) -> MILOutput:
        """Pool embedded instances, shape (N, D), N ≥ 1, into one output."""
        weights = self.attention(h).softmax(dim=0).T  # (1, N)
        pooled = weights @ h  # (1, D)
        return MILOutput(
            logits=self.head(pooled)[0],  # (C,)
            embedding=pooled,
            scores=weights.detach(),
            attention=weights.detach(),
            weigh=partial(linear_evidence, h, self.head.weight),
        )

    def parts(self, h: Tensor) -> Callable[[Tensor], Tensor]:
        """Work attention out once; parts of the bag only share it out anew."""
        raw = self.attention(h).T  # (1, N)

        def judged(kept: Tensor) -> Tensor:
            logits: Tensor = self.head(shares_of(raw, kept) @ h)[0]
            return logits.softmax(dim=-1)

        return judged


def build(
    in_dim: int,
    n_classes: int,
    hidden: int = 512,
    attention_dim: int = 128,
    gated: bool = False,
    act: str = "relu",
    attention_act: str = "relu",
    dropout: float = 0.25,
) -> ABMIL:
    """Build an AB-MIL with fresh weights.

    Parameters
    ----------
    in_dim : int
        Width of the features.
    n_classes : int
        Number of classes, at least 2.
    hidden : int
        Width D of the embedded instances.
    attention_dim : int
        Width of the attention's hidden layer.
    gated : bool
        Whether that layer is gated. The authors' TCGA checkpoints are.
    act, attention_act : str
        ``"relu"``, ``"gelu"`` or ``"tanh"``: after the projection, in the attention.
    dropout : float
        Share of the embedded instances' values dropped in train mode, in [0, 1).

    Returns
    -------
    ABMIL
        The model, on the CPU.

    Raises
    ------
    ConfigError
        If a value is out of range or an activation unknown.
    """
    check_classes(n_classes)
    attention = GatedAttention if gated else PlainAttention
    return ABMIL(
        projection(in_dim, hidden, act, dropout),
        attention(hidden, attention_dim, attention_act),
        nn.Linear(hidden, n_classes),
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
        Arguments of :func:`build`; the activations are not stored, so not among them.
    """
    hidden, in_dim = tensors["projection.0.weight"].shape
    return {
        "in_dim": in_dim,
        "n_classes": tensors["head.weight"].shape[0],
        "hidden": hidden,
        "attention_dim": tensors["attention.hidden.weight"].shape[0],
        "gated": "attention.gate.weight" in tensors,
    }
