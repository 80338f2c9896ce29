"""What every MIL model promises, so that recipes, prediction and overlays need no names."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, eq=False)
class MILOutput:
    """What a model says of one bag of N instances, C classes: the same in train and eval mode."""

    logits: Tensor
    """Slide's score for each class before the softmax, shape (C,)."""
    embedding: Tensor
    """What the consistency loss compares, shape (E, D)."""
    scores: Tensor
    """What the teacher masks by, larger is more salient, shape (H, N); no gradient."""
    attention: Tensor
    """Weight of each instance, shape (K, N), a row for each named branch; no gradient."""
    weigh: Callable[[], Tensor]
    """Works out ``evidence``; called once, and only if somebody asks."""

    # training never asks for it: 0.2 % of AB-MIL's work, far more for a transformer
    @cached_property
    def evidence(self) -> Tensor:
        """Push of each instance towards a class, alone, shape (N, C); classes sum to 0.

        Carries no gradient. Uses the weights as they are when first asked: ask before they
        change.
        """
        with torch.no_grad():
            return self.weigh()


class MILModel(nn.Module, ABC):
    """A bag of feature vectors in, one decision out.

    A recipe gathers rows of ``x`` before :meth:`embed`, or adds tokens to ``h`` before
    :meth:`aggregate`; so both are public, and :meth:`forward` is one after the other.
    """

    branches: tuple[str, ...] = ("attention",)
    """Names of the rows of ``MILOutput.attention``."""
    evidence_kind: ClassVar[Literal["exact", "approximate"]] = "approximate"
    """Whether attention × evidence sums to the logits (minus their mean and bias)."""

    projection: nn.Module
    """The submodule that makes ``h``: (N, in_dim) -> (N, D)."""

    def embed(self, x: Tensor) -> Tensor:
        """Project instances.

        Parameters
        ----------
        x : Tensor, shape (N, in_dim), float32
            Features of one bag.

        Returns
        -------
        Tensor, shape (N, D)
            Embedded instances; row i depends on row i of ``x`` alone.
        """
        h: Tensor = self.projection(x)
        return h

    @abstractmethod
    def aggregate(self, h: Tensor) -> MILOutput:
        """Pool embedded instances, shape (N, D), N ≥ 1, into one output."""

    def forward(self, x: Tensor) -> MILOutput:
        """Give the output for one bag of features, shape (N, in_dim), N ≥ 1."""
        return self.aggregate(self.embed(x))

    def loss(self, output: MILOutput, label: int) -> Tensor:
        """Give the classification loss of one bag.

        Parameters
        ----------
        output : MILOutput
            The model's own output.
        label : int
            Index of the bag's class.

        Returns
        -------
        Tensor, shape ()
            Cross entropy, unless the model has its own.
        """
        target = torch.tensor([label], device=output.logits.device)
        return F.cross_entropy(output.logits[None], target)

    def probabilities(self, output: MILOutput) -> Tensor:
        """Give the class probabilities of one bag, shape (C,), summing to 1."""
        return output.logits.softmax(dim=-1)
