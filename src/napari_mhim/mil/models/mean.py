"""Mean pooling: a bag is the plain mean of its instances.

*Attention* is the same for all. *Evidence* of an instance is the classifier on it
alone, without bias, minus the mean over classes; attention × evidence sums exactly to
the logits without bias, minus their mean. As attention tells nothing apart, the teacher
masks by the largest evidence for any class.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from napari_mhim.mil.model import MILModel, MILOutput
from napari_mhim.mil.models._layers import (
    check_classes,
    initialise,
    linear_evidence,
    projection,
)


class MeanPool(MILModel):
    """Projection, mean, one linear classifier."""

    branches = ("equal",)
    evidence_kind = "exact"

    def __init__(self, project: nn.Module, head: nn.Linear):
        super().__init__()
        self.projection = project
        self.head = head
        initialise(self)

    def aggregate(self, h: Tensor) -> MILOutput:
        """Pool embedded instances, shape (N, D), N ≥ 1, into one output."""
        pooled = h.mean(dim=0, keepdim=True)  # (1, D)
        with torch.no_grad():
            evidence = linear_evidence(h, self.head.weight)
        return MILOutput(
            logits=self.head(pooled)[0],  # (C,)
            embedding=pooled,
            scores=evidence.amax(dim=1)[None],  # (1, N)
            attention=torch.full_like(evidence[:, 0], 1 / len(h))[None],  # (1, N)
            weigh=partial(linear_evidence, h, self.head.weight),
        )

    def parts(self, h: Tensor) -> Callable[[Tensor], Tensor]:
        """Judge each instance once: the mean of the judgements is that of the mean."""
        judged = self.head(h)  # (N, C)
        return lambda kept: judged[kept].mean(dim=0).softmax(dim=-1)


def build(
    in_dim: int,
    n_classes: int,
    hidden: int = 512,
    act: str = "relu",
    dropout: float = 0.25,
) -> MeanPool:
    """Build a mean pooling with fresh weights.

    Parameters
    ----------
    in_dim : int
        Width of the features.
    n_classes : int
        Number of classes, at least 2.
    hidden : int
        Width D of the embedded instances.
    act : str
        ``"relu"``, ``"gelu"`` or ``"tanh"``, after the projection.
    dropout : float
        Share of the embedded instances' values dropped in train mode, in [0, 1).

    Returns
    -------
    MeanPool
        The model, on the CPU.

    Raises
    ------
    ConfigError
        If a value is out of range or the activation unknown.
    """
    check_classes(n_classes)
    project = projection(in_dim, hidden, act, dropout)
    return MeanPool(project, nn.Linear(hidden, n_classes))
