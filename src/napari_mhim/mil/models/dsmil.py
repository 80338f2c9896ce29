"""DSMIL: a stream that judges every instance, and one that pools around the top ones.

The instance stream classifies each instance and takes the highest of each class, whose
instance is that class's critical one. The bag stream gives each class its own bag: the
instances weighted by how alike they are to that critical instance.

*Attention* has a row for each class, the softmax of that likeness. *Evidence* of an
instance is the mean of both streams' classifiers on it alone, without bias, minus the
mean over classes; attention × evidence is approximate, as classes pool differently and
the instance stream takes a maximum. The teacher masks by the largest raw logit of the
instance stream, not by attention, as the authors of MHIM do.

References
----------
Li et al., "Dual-stream Multiple Instance Learning Network for Whole Slide Image
Classification", CVPR 2021, arXiv:2011.08939; in the form of Tang et al., ICCV 2023,
arXiv:2307.15254, for any number of classes (theirs has two).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_mhim.errors import ConfigError
from napari_mhim.mil.model import MILModel, MILOutput
from napari_mhim.mil.models._attention import shares_of
from napari_mhim.mil.models._layers import check_classes, initialise, projection

Combine = Literal["probabilities", "logits"]
"""How both streams become one decision; the loss follows."""

OFFICIAL_KEYS = {
    "patch_to_emb.0": "projection.0",
    "feature.0": "projection.0",
    "online_encoder.i_classifier.0": "instance_classifier",
    "online_encoder.b_classifier.q.0": "query.0",
    "online_encoder.b_classifier.q.2": "query.2",
    "online_encoder.b_classifier.v.1": "value.0",
    "online_encoder.b_classifier.fcc": "bag_classifier",
    "predictor": "",  # in their files, never used
}
"""Layers of the authors' checkpoints (v1, v2) and what they are called here."""


@dataclass(frozen=True, eq=False)
class DSMILOutput(MILOutput):
    """What both streams say; ``logits`` are the bag stream's."""

    instance_logits: Tensor
    """What the instance stream says of each instance, shape (N, C)."""

    @property
    def top_logits(self) -> Tensor:
        """What the instance stream says of the bag, shape (C,): its highest of each class."""
        return self.instance_logits.amax(dim=0)

    @property
    def class_scores(self) -> Tensor:
        """How surely each instance speaks for some class, shape (1, N): its largest logit.

        As the authors have it; they take no softmax here.
        """
        return self.scores

    @property
    def attention_scores(self) -> Tensor:
        """The largest attention any class pays, shape (1, N): classes are not heads."""
        return self.attention.amax(dim=0, keepdim=True)


class DSMIL(MILModel):
    """Projection, two streams, both classified and trained."""

    deciding = ("instance_classifier", "bag_classifier")

    def __init__(
        self,
        project: nn.Module,
        hidden: int,
        query_dim: int,
        n_classes: int,
        combine: Combine,
    ):
        super().__init__()
        self._combine = combine
        self.branches = tuple(f"class {index}" for index in range(n_classes))
        self.projection = project
        self.instance_classifier = nn.Linear(hidden, n_classes)
        self.query = nn.Sequential(
            nn.Linear(hidden, query_dim),
            nn.ReLU(),
            nn.Linear(query_dim, query_dim),
            nn.Tanh(),
        )
        self.value = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU())
        # one output for each class from all classes' bags at once
        self.bag_classifier = nn.Conv1d(n_classes, n_classes, hidden)
        initialise(self)

    def aggregate(self, h: Tensor) -> DSMILOutput:
        """Pool embedded instances, shape (N, D), N ≥ 1, into one output."""
        instance_logits = self.instance_classifier(h)  # (N, C)
        queries = self.query(h)  # (N, Q)
        critical = queries[instance_logits.argmax(dim=0)]  # (C, Q)
        likeness = critical @ queries.T / queries.shape[1] ** 0.5  # (C, N)
        attention = likeness.softmax(dim=1)
        values = self.value(h)  # (N, D)
        bags = attention @ values  # (C, D)
        return DSMILOutput(
            logits=self.bag_classifier(bags[None])[0, :, 0],  # (C,)
            embedding=bags,
            scores=instance_logits.detach().amax(dim=1)[None],  # (1, N)
            attention=attention.detach(),
            weigh=partial(self._evidence, h, values),
            classify=instance_logits.detach,
            instance_logits=instance_logits,
        )

    def loss(self, output: MILOutput, label: int) -> Tensor:
        """Give the mean of both streams' cross entropies, or that of their mean logits."""
        assert isinstance(output, DSMILOutput)
        streams = self._streams(output.logits, output.top_logits)  # (1 or 2, C)
        target = torch.full((len(streams),), label, device=streams.device)
        return F.cross_entropy(streams, target)

    def probabilities(self, output: MILOutput) -> Tensor:
        """Give the probabilities both streams come to, shape (C,), summing to 1."""
        assert isinstance(output, DSMILOutput)
        streams = self._streams(output.logits, output.top_logits)  # (1 or 2, C)
        return streams.softmax(dim=-1).mean(dim=0)

    def parts(self, h: Tensor) -> Callable[[Tensor], Tensor]:
        """Judge each instance once, in both streams; parts of the bag only pool anew."""
        judged = both_streams(
            self.instance_classifier(h),
            self.query(h),
            self.value(h),
            self.bag_classifier,
        )
        return lambda kept: self._streams(*judged(kept)).softmax(dim=-1).mean(dim=0)

    def _streams(self, bag: Tensor, top: Tensor) -> Tensor:
        """Give what is judged: each stream's logits, or their mean alone."""
        streams = torch.stack([bag, top])  # (2, C)
        return streams if self._combine == "probabilities" else streams.mean(0)[None]

    def _evidence(self, h: Tensor, values: Tensor) -> Tensor:
        alone = h @ self.instance_classifier.weight.T  # (N, C)
        # a bag of this instance alone is its value, the same for every class
        pooled = values @ self.bag_classifier.weight.sum(dim=1).T  # (N, C)
        both = (alone + pooled) / 2
        return both - both.mean(dim=1, keepdim=True)


def both_streams(
    raw: Tensor, queries: Tensor, values: Tensor, classifier: nn.Conv1d
) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Make ready to run both streams on parts of a bag.

    Parameters
    ----------
    raw : Tensor, shape (N, K)
        What the instance stream says of each instance.
    queries : Tensor, shape (N, Q)
        In which likeness is measured.
    values : Tensor, shape (N, D)
        What the bag stream pools.
    classifier : Conv1d
        The bag stream's, K channels of width D.

    Returns
    -------
    callable
        Takes which instances are kept, shape (N,), bool; gives the bag stream's logits and
        the highest of the instance stream, both of shape (K,).
    """
    k = classifier.out_channels
    # pooling and classifier are linear: what each instance brings to each logit, by branch
    brought = (values @ classifier.weight.flatten(0, 1).T).view(-1, k, k)  # (N, K, K)
    bias = classifier.bias
    assert bias is not None

    def run(kept: Tensor) -> tuple[Tensor, Tensor]:
        top, at = raw.masked_fill(~kept[:, None], -torch.inf).max(dim=0)  # both (K,)
        likeness = queries[at] @ queries.T / queries.shape[1] ** 0.5  # (K, N)
        attention = shares_of(likeness, kept).T[:, None]  # (N, 1, K)
        return (attention * brought).sum(dim=(0, 2)) + bias, top

    return run


def build(
    in_dim: int,
    n_classes: int,
    hidden: int = 512,
    query_dim: int = 128,
    act: str = "relu",
    dropout: float = 0.25,
    combine: Combine = "probabilities",
) -> DSMIL:
    """Build a DSMIL with fresh weights.

    Parameters
    ----------
    in_dim : int
        Width of the features.
    n_classes : int
        Number of classes, at least 2.
    hidden : int
        Width D of the embedded instances.
    query_dim : int
        Width in which likeness is measured.
    act : str
        ``"relu"``, ``"gelu"`` or ``"tanh"``, after the projection.
    dropout : float
        Share of the embedded instances' values dropped in train mode, in [0, 1).
    combine : {"probabilities", "logits"}
        What of both streams is averaged; probabilities as in MHIM, logits as in MHIM-v2.

    Returns
    -------
    DSMIL
        The model, on the CPU.

    Raises
    ------
    ConfigError
        If a value is out of range or the activation unknown.
    """
    check_classes(n_classes)
    if combine not in get_args(Combine):
        raise ConfigError(
            f"combine must be 'probabilities' or 'logits', got {combine!r}"
        )
    project = projection(in_dim, hidden, act, dropout)
    return DSMIL(project, hidden, query_dim, n_classes, combine)


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
    return {
        "in_dim": in_dim,
        "n_classes": tensors["instance_classifier.weight"].shape[0],
        "hidden": hidden,
        "query_dim": tensors["query.0.weight"].shape[0],
    }
