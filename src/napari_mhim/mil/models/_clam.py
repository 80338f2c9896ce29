"""What CLAM's two forms share: one branch of attention for all classes, or one for each.

The slide is judged from the attention-weighted mean of its instances. Beside it, one
small classifier for each class learns to tell the most attended instances of a slide of
that class from the least attended, which are taken for the class and for not the class.

Departure from the paper: the instances' loss is cross entropy (theirs: a smooth SVM), the
mean over all instances judged (theirs: over classes).

References
----------
Lu et al., "Data-efficient and weakly supervised computational pathology on whole-slide
images", Nature Biomedical Engineering 5, 2021, arXiv:2004.09666.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_mhim.errors import ConfigError
from napari_mhim.mil.model import MILModel, MILOutput
from napari_mhim.mil.models._attention import GatedAttention, shares_of
from napari_mhim.mil.models._layers import check_classes, linear_evidence, projection

MOST_CLASSES = 64
"""Classes whose layers have a name in the authors' checkpoints."""

COMMON_KEYS = {
    "attention_net.0": "projection.0",
    "attention_net.3.attention_a.0": "attention.hidden",
    "attention_net.3.attention_b.0": "attention.gate",
    "attention_net.3.attention_c": "attention.score",
    **{f"instance_classifiers.{c}": f"is_class.{c}" for c in range(MOST_CLASSES)},
}
"""Layers both forms have in the authors' checkpoints and what they are called here."""


@dataclass(frozen=True, eq=False)
class ClamOutput(MILOutput):
    """What the slide's classifier says, and the instances' on the extremes."""

    top: Tensor
    """Is it the class? for the B most attended instances, shape (C, B, 2): no, yes."""
    bottom: Tensor
    """The same for the B least attended, shape (C, B, 2)."""

    @property
    def attention_scores(self) -> Tensor:
        """The largest attention of any branch, shape (1, N): branches are not heads."""
        return self.scores


@dataclass(frozen=True)
class Options:
    """What ``build`` of either form is told; its docstring says what each is."""

    in_dim: int
    n_classes: int
    hidden: int
    attention_dim: int
    extremes: int
    instance_weight: float
    exclusive: bool
    act: str
    dropout: float

    def __post_init__(self) -> None:
        check_classes(self.n_classes)
        if self.extremes < 1 or not 0 <= self.instance_weight <= 1:
            raise ConfigError(
                "extremes must be at least 1 and instance_weight in [0, 1], "
                f"got {self.extremes} and {self.instance_weight}"
            )


class Clam(MILModel):
    """Projection, gated attention with K branches, and a classifier of instances per class."""

    def __init__(self, options: Options, branches: int):
        super().__init__()
        self._options = options
        self.projection = projection(
            options.in_dim, options.hidden, options.act, options.dropout
        )
        self.attention = GatedAttention(
            options.hidden, options.attention_dim, "tanh", bias=True, branches=branches
        )
        self.is_class = nn.ModuleList(
            nn.Linear(options.hidden, 2) for _ in range(options.n_classes)
        )

    @abstractmethod
    def head_weight(self) -> Tensor:
        """Give the slide's classifiers, shape (C, D)."""

    @abstractmethod
    def judge(self, pooled: Tensor) -> Tensor:
        """Judge the slide, shape (C,), from what each branch pooled, shape (K, D)."""

    def aggregate(self, h: Tensor) -> ClamOutput:
        """Pool embedded instances, shape (N, D), N ≥ 1, into one output."""
        weights = self.attention(h).softmax(dim=0).T  # (K, N)
        pooled = weights @ h  # (K, D)
        # no instance is among both extremes
        count = min(self._options.extremes, len(h) // 2)
        head = self.head_weight()
        top, bottom = (
            self._judged(h, weights.topk(count, largest=largest).indices)
            for largest in (True, False)
        )
        return ClamOutput(
            logits=self.judge(pooled),
            embedding=pooled,
            scores=weights.detach().amax(dim=0, keepdim=True),
            attention=weights.detach(),
            weigh=partial(linear_evidence, h, head),
            classify=partial(_shares, h.detach(), weights.detach(), head.detach()),
            top=top,
            bottom=bottom,
        )

    def parts(self, h: Tensor) -> Callable[[Tensor], Tensor]:
        """Work attention out once; parts of the bag only share it out anew."""
        raw = self.attention(h).T  # (K, N)
        return lambda kept: self.judge(shares_of(raw, kept) @ h).softmax(dim=-1)

    def loss(self, output: MILOutput, label: int) -> Tensor:
        """Give the slide's cross entropy and the instances', weighted."""
        assert isinstance(output, ClamOutput)
        slide = super().loss(output, label)
        count = output.top.shape[1]
        if count == 0:  # a bag of one has no extremes
            return slide
        judged = [output.top[label], output.bottom[label]]
        is_class = [1] * count + [0] * count
        if self._options.exclusive:
            others = [c for c in range(len(output.top)) if c != label]
            judged += [output.top[c] for c in others]
            is_class += [0] * count * len(others)
        target = torch.tensor(is_class, device=slide.device)
        instances = F.cross_entropy(torch.cat(judged), target)
        weight = self._options.instance_weight
        return (1 - weight) * slide + weight * instances

    def _judged(self, h: Tensor, picked: Tensor) -> Tensor:
        """Ask each class's classifier about its branch's picks, (K, B); gives (C, B, 2)."""
        of_class = h[picked].expand(len(self.is_class), -1, -1)  # (C, B, D)
        pairs = zip(self.is_class, of_class, strict=True)
        return torch.stack([is_class(rows) for is_class, rows in pairs])


def _shares(h: Tensor, weights: Tensor, head: Tensor) -> Tensor:
    """Give what each instance adds to each class's logit, shape (N, C)."""
    return weights.T * (h @ head.T)  # (N, 1 or C) times (N, C)


def official_widths(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read from translated weights the arguments of ``build`` both forms store alike."""
    hidden, in_dim = tensors["projection.0.weight"].shape
    return {
        "in_dim": in_dim,
        "n_classes": sum(key.startswith("is_class.") for key in tensors) // 2,
        "hidden": hidden,
        "attention_dim": tensors["attention.hidden.weight"].shape[0],
    }
