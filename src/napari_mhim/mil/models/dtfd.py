"""DTFD-MIL: a bag is dealt into pseudo-bags, and what is distilled from them is pooled.

Tier one judges every pseudo-bag by itself, with gated attention and a classifier, as if
it were the slide. From each, a few features are distilled; tier two pools these, with
attention and a classifier of its own, and decides. Four ways to distil:

- ``"aggregated"`` (the paper's AFS): the pseudo-bag's pooled feature;
- ``"most_attended"`` (MAS): its instance of most attention;
- ``"max_min"`` (MaxMinS): its likeliest instance of each class, which for two classes
  are the likeliest and the least likely of the last;
- ``"max"`` (MaxS): the same without the first class: for two, the likeliest of the last.

How likely is the paper's class activation: the softmax over classes of tier one's
classifier, without bias, on attention × instance.

In train mode chance deals the instances; in eval mode they are dealt in turn, instance i
to pseudo-bag i modulo M, so neighbours on the slide come apart and a slide is always
judged alike. Pseudo-bags differ by one instance at most, and there are never more of them
than instances.

*Attention* of an instance is its weight within its pseudo-bag times what tier two gives
to all that was distilled from there; it sums to 1 over the bag. *Evidence* is tier two's
classifier on the instance alone, without bias, minus the mean over classes. Where
pseudo-bags are aggregated, attention × evidence sums exactly to the logits without bias,
minus their mean; where instances are picked, it is approximate. The teacher masks by
attention, and what the consistency loss compares is tier two's pooled feature.

Departures: the authors use one optimiser for each tier and step the first before the
second looks; here both losses are added, and as theirs does, tier two's ends at the
distilled features. A consistency loss, which is of neither tier, reaches both. For more
than two classes they rank instances by the last alone. Theirs deals by chance in eval
mode, too.

References
----------
Zhang et al., "DTFD-MIL: Double-Tier Feature Distillation Multiple Instance Learning for
Histopathology Whole Slide Image Classification", CVPR 2022, arXiv:2203.12081.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_mhim.errors import ConfigError
from napari_mhim.mil.model import MILModel, MILOutput
from napari_mhim.mil.models._attention import GatedAttention
from napari_mhim.mil.models._layers import (
    check_classes,
    initialise,
    linear_evidence,
    projection,
)

OFFICIAL_KEYS = {
    "dim_reduction.fc1": "projection.0",
    "attention.attention_V.0": "first.attention.hidden",
    "attention.attention_U.0": "first.attention.gate",
    "attention.attention_weights": "first.attention.score",
    "classifier.fc": "first.head",
    "att_classifier.attention.attention_V.0": "second.attention.hidden",
    "att_classifier.attention.attention_U.0": "second.attention.gate",
    "att_classifier.attention.attention_weights": "second.attention.score",
    "att_classifier.classifier.fc": "second.head",
}
"""Layers of the authors' checkpoints, after the name of their module in the file."""

Distil = Literal["aggregated", "most_attended", "max_min", "max"]


@dataclass(frozen=True, eq=False)
class DTFDOutput(MILOutput):
    """What both tiers say; ``logits`` are tier two's."""

    first_logits: Tensor
    """What tier one says of each pseudo-bag, shape (M, C)."""


class Tier(nn.Module):
    """Gated attention and a linear classifier of what it pools."""

    def __init__(self, width: int, attention_dim: int, n_classes: int):
        super().__init__()
        self.attention = GatedAttention(width, attention_dim, "tanh", bias=True)
        self.head = nn.Linear(width, n_classes)


class DTFD(MILModel):
    """Projection, a tier for pseudo-bags, a tier for what is distilled from them."""

    deciding = ("first.head", "second.head")

    def __init__(
        self,
        project: nn.Module,
        tiers: tuple[Tier, Tier],
        pseudo_bags: int,
        distil: Distil,
    ):
        super().__init__()
        self._pseudo_bags, self._distil = pseudo_bags, distil
        self.evidence_kind = "exact" if distil == "aggregated" else "approximate"
        self.projection = project
        self.first, self.second = tiers
        initialise(self)

    def deal(self, n: int, device: torch.device) -> Tensor:
        """Deal a bag into pseudo-bags: by chance in train mode, in turn in eval mode.

        Parameters
        ----------
        n : int
            Instances in the bag, 1 or more.
        device : device
            Where the result is needed.

        Returns
        -------
        Tensor, shape (N,), int64
            Index of each instance's pseudo-bag, in [0, min(M, N)); each has one at least.
        """
        turn = torch.randperm if self.training else torch.arange
        return turn(n, device=device) % min(self._pseudo_bags, n)

    def aggregate(self, h: Tensor) -> DTFDOutput:
        """Pool embedded instances, shape (N, D), N ≥ 1, into one output."""
        n = len(h)
        index = torch.arange(min(self._pseudo_bags, n), device=h.device)
        is_own = self.deal(n, h.device) == index[:, None]  # (M, N)
        raw = self.first.attention(h).T  # (1, N)
        weights = raw.where(is_own, -torch.inf).softmax(dim=1)  # (M, N)
        pooled = weights @ h  # (M, D)
        distilled = self._distilled(h, pooled, weights.detach(), is_own)  # (R, D)
        given = distilled.detach()
        shares = self.second.attention(given).softmax(dim=0).T  # (1, R)
        # what was distilled from a pseudo-bag lies M rows apart
        of_bag = shares.detach().view(-1, len(index)).sum(dim=0, keepdim=True)  # (1, M)
        attention = of_bag @ weights.detach()  # (1, N)
        return DTFDOutput(
            logits=self.second.head(shares @ given)[0],  # (C,)
            embedding=shares @ distilled,  # (1, D)
            scores=attention,
            attention=attention,
            weigh=partial(linear_evidence, h, self.second.head.weight),
            first_logits=self.first.head(pooled),  # (M, C)
        )

    def loss(self, output: MILOutput, label: int) -> Tensor:
        """Give tier one's mean cross entropy over pseudo-bags plus tier two's."""
        assert isinstance(output, DTFDOutput)
        of_slide = torch.full(
            (len(output.first_logits),), label, device=output.logits.device
        )
        first = F.cross_entropy(output.first_logits, of_slide)
        return first + super().loss(output, label)

    def _distilled(
        self, h: Tensor, pooled: Tensor, weights: Tensor, is_own: Tensor
    ) -> Tensor:
        """Distil one or several features from each of M pseudo-bags, shape (R, D)."""
        if self._distil == "aggregated":
            return pooled
        if self._distil == "most_attended":
            return h[weights.argmax(dim=1)]
        odds = self._log_odds(h.detach(), weights)  # (N, C)
        if self._distil == "max":
            odds = odds[:, 1:]
        within = odds.T[:, None].where(is_own, -torch.inf)  # (C, M, N)
        return h[within.argmax(dim=2).flatten()]

    @torch.no_grad()
    def _log_odds(self, h: Tensor, weights: Tensor) -> Tensor:
        """Say how likely each instance is of each class, shape (N, C).

        Among many instances each has little weight: their probabilities are alike to the
        last bit, but not log(odds * (C - 1)), which ranks them the same.
        """
        own = weights.sum(dim=0)[:, None]  # (N, 1)
        signal = own * (h @ self.first.head.weight.T)  # (N, C)
        is_self = torch.eye(signal.shape[1], dtype=torch.bool, device=h.device)
        others = signal[:, None].masked_fill(is_self, -torch.inf)  # (N, C, C)
        likeliest = others.amax(dim=2, keepdim=True)  # (N, C, 1)
        behind = torch.expm1(others - likeliest).masked_fill(is_self, 0)
        mean = behind.sum(dim=2) / (signal.shape[1] - 1)  # (N, C)
        return signal - likeliest[..., 0] - torch.log1p(mean)


def build(
    in_dim: int,
    n_classes: int,
    hidden: int = 512,
    attention_dim: int = 128,
    pseudo_bags: int = 5,
    distil: Distil = "aggregated",
    act: str = "relu",
    dropout: float = 0.25,
) -> DTFD:
    """Build a DTFD-MIL with fresh weights.

    Parameters
    ----------
    in_dim : int
        Width of the features.
    n_classes : int
        Number of classes, at least 2.
    hidden, attention_dim : int
        Width D of the embedded instances, and of each attention's hidden layer.
    pseudo_bags : int
        Parts M that a bag is dealt into; a bag of fewer instances has as many as those.
    distil : {"aggregated", "most_attended", "max_min", "max"}
        What of each pseudo-bag tier two sees.
    act : str
        ``"relu"``, ``"gelu"`` or ``"tanh"``, after the projection.
    dropout : float
        Share of the embedded instances' values dropped in train mode, in [0, 1); the
        authors drop none.

    Returns
    -------
    DTFD
        The model, on the CPU.

    Raises
    ------
    ConfigError
        If a value is out of range or a name unknown.
    """
    check_classes(n_classes)
    if pseudo_bags < 1:
        raise ConfigError(f"pseudo_bags must be at least 1, got {pseudo_bags}")
    if distil not in (known := get_args(Distil)):
        raise ConfigError(
            f"distil must be one of {', '.join(map(repr, known))}; got {distil!r}"
        )
    project = projection(in_dim, hidden, act, dropout, bias=False)
    one, two = (Tier(hidden, attention_dim, n_classes) for _ in range(2))
    return DTFD(project, (one, two), pseudo_bags, distil)


def official_config(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read from translated weights what :func:`build` must be told.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        Weights under this model's own names.

    Returns
    -------
    dict
        Arguments of :func:`build`; pseudo-bags, their distillation and the activation
        are not stored, so not among them.
    """
    hidden, in_dim = tensors["projection.0.weight"].shape
    return {
        "in_dim": in_dim,
        "n_classes": tensors["second.head.weight"].shape[0],
        "hidden": hidden,
        "attention_dim": tensors["first.attention.hidden.weight"].shape[0],
    }
