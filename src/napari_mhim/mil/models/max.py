"""Max pooling: every instance is judged, and the highest judgement of each class counts.

*Attention* has a row for each class, 1 at the instance that decided it and 0 elsewhere.
*Evidence* of an instance is its own logits without bias, minus the mean over classes;
attention × evidence is approximate, as classes take different instances. The teacher
masks by the largest logit for any class. What the consistency loss compares is the
embedded instances that decided, one for each class.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from napari_mhim.mil.model import MILModel, MILOutput
from napari_mhim.mil.models._layers import check_classes, initialise, projection


class MaxPool(MILModel):
    """Projection, a linear classifier of instances, the maximum."""

    def __init__(self, project: nn.Module, head: nn.Linear):
        super().__init__()
        self.branches = tuple(f"class {index}" for index in range(head.out_features))
        self.projection = project
        self.head = head
        initialise(self)

    def aggregate(self, h: Tensor) -> MILOutput:
        """Pool embedded instances, shape (N, D), N ≥ 1, into one output."""
        judged = self.head(h)  # (N, C)
        logits, decided = judged.max(dim=0)  # both (C,)
        attention = torch.zeros_like(judged.T)  # (C, N)
        attention.scatter_(1, decided[:, None], 1.0)
        return MILOutput(
            logits=logits,
            embedding=h[decided],  # (C, D)
            scores=judged.detach().amax(dim=1)[None],  # (1, N)
            attention=attention.detach(),
            weigh=partial(_centred, judged, self.head.bias),
        )

    def parts(self, h: Tensor) -> Callable[[Tensor], Tensor]:
        """Judge each instance once."""
        judged = self.head(h)  # (N, C)
        return lambda kept: judged[kept].amax(dim=0).softmax(dim=-1)


def build(
    in_dim: int,
    n_classes: int,
    hidden: int = 512,
    act: str = "relu",
    dropout: float = 0.25,
) -> MaxPool:
    """Build a max pooling with fresh weights.

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
    MaxPool
        The model, on the CPU.

    Raises
    ------
    ConfigError
        If a value is out of range or the activation unknown.
    """
    check_classes(n_classes)
    project = projection(in_dim, hidden, act, dropout)
    return MaxPool(project, nn.Linear(hidden, n_classes))


def _centred(judged: Tensor, bias: Tensor) -> Tensor:
    unbiased = judged - bias  # (N, C)
    return unbiased - unbiased.mean(dim=1, keepdim=True)
