"""CLAM, single branch: gated attention, taught by its own extremes.

The slide is judged from the attention-weighted mean of its instances. Beside it, one
small classifier for each class learns to tell the most attended instances of a slide of
that class from the least attended, which are taken for the class and for not the class.

*Attention* is the softmax over the bag. *Evidence* of an instance is the slide's
classifier on it alone, without bias, minus the mean over classes; attention × evidence
sums exactly to the logits without bias, minus their mean.

Departure from the paper: the instances' loss is cross entropy (theirs: a smooth SVM), the
mean over all instances judged (theirs: over classes).

References
----------
Lu et al., "Data-efficient and weakly supervised computational pathology on whole-slide
images", Nature Biomedical Engineering 5, 2021, arXiv:2004.09666.
"""

from dataclasses import dataclass
from functools import partial

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


@dataclass(frozen=True, eq=False)
class ClamOutput(MILOutput):
    """What the slide's classifier says, and the instances' on the extremes."""

    top: Tensor
    """Is it the class? for the B most attended instances, shape (C, B, 2): no, yes."""
    bottom: Tensor
    """The same for the B least attended, shape (C, B, 2)."""


class ClamSB(MILModel):
    """Projection, gated attention, a classifier of slides and one of instances per class."""

    evidence_kind = "exact"

    def __init__(
        self,
        project: nn.Module,
        attention: GatedAttention,
        head: nn.Linear,
        extremes: int,
        instance_weight: float,
        exclusive: bool,
    ):
        super().__init__()
        self._extremes, self._instance_weight = extremes, instance_weight
        self._exclusive = exclusive
        self.projection = project
        self.attention = attention
        self.head = head
        self.is_class = nn.ModuleList(
            nn.Linear(head.in_features, 2) for _ in range(head.out_features)
        )
        initialise(self)

    def aggregate(self, h: Tensor) -> ClamOutput:
        """Pool embedded instances, shape (N, D), N ≥ 1, into one output."""
        weights = self.attention(h).softmax(dim=0).T  # (1, N)
        pooled = weights @ h  # (1, D)
        # no instance is among both extremes
        count = min(self._extremes, len(h) // 2)
        top, bottom = (
            h[weights[0].topk(count, largest=largest).indices]
            for largest in (True, False)
        )  # each (B, D)
        return ClamOutput(
            logits=self.head(pooled)[0],  # (C,)
            embedding=pooled,
            scores=weights.detach(),
            attention=weights.detach(),
            weigh=partial(linear_evidence, h.detach(), self.head.weight.detach()),
            top=torch.stack([judge(top) for judge in self.is_class]),
            bottom=torch.stack([judge(bottom) for judge in self.is_class]),
        )

    def loss(self, output: MILOutput, label: int) -> Tensor:
        """Give the slide's cross entropy and the instances', weighted."""
        assert isinstance(output, ClamOutput)
        slide = super().loss(output, label)
        count = output.top.shape[1]
        if count == 0:  # a bag of one has no extremes
            return slide
        judged = [output.top[label], output.bottom[label]]
        is_class = [1] * count + [0] * count
        if self._exclusive:
            others = [c for c in range(len(output.top)) if c != label]
            judged += [output.top[c] for c in others]
            is_class += [0] * count * len(others)
        target = torch.tensor(is_class, device=slide.device)
        instances = F.cross_entropy(torch.cat(judged), target)
        return (1 - self._instance_weight) * slide + self._instance_weight * instances


def build(
    in_dim: int,
    n_classes: int,
    hidden: int = 512,
    attention_dim: int = 256,
    extremes: int = 8,
    instance_weight: float = 0.3,
    exclusive: bool = False,
    act: str = "relu",
    dropout: float = 0.25,
) -> ClamSB:
    """Build a single-branch CLAM with fresh weights.

    Parameters
    ----------
    in_dim : int
        Width of the features.
    n_classes : int
        Number of classes, at least 2.
    hidden, attention_dim : int
        Width D of the embedded instances, and of the attention's hidden layer.
    extremes : int
        Most and least attended instances B that are judged, at most half the bag each.
    instance_weight : float
        Weight of the instances' loss beside the slide's, in [0, 1].
    exclusive : bool
        Whether the most attended instances are not of any other class, as in subtyping.
    act : str
        ``"relu"``, ``"gelu"`` or ``"tanh"``, after the projection.
    dropout : float
        Share of the embedded instances' values dropped in train mode, in [0, 1).

    Returns
    -------
    ClamSB
        The model, on the CPU.

    Raises
    ------
    ConfigError
        If a value is out of range or the activation unknown.
    """
    check_classes(n_classes)
    if extremes < 1 or not 0 <= instance_weight <= 1:
        raise ConfigError(
            "extremes must be at least 1 and instance_weight in [0, 1], "
            f"got {extremes} and {instance_weight}"
        )
    return ClamSB(
        projection(in_dim, hidden, act, dropout),
        GatedAttention(hidden, attention_dim, "tanh", bias=True),
        nn.Linear(hidden, n_classes),
        extremes,
        instance_weight,
        exclusive,
    )
