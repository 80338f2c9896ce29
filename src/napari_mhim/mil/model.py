"""What every MIL model promises, so that recipes, prediction and overlays need no names."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_mhim.errors import ConfigError
from napari_mhim.mil.masking import class_confidence

ScoreKind = Literal["own", "class", "attention"]
"""What a teacher can mask by: the model's own choice, class evidence, attention."""


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
    """Works out ``evidence``, with a gradient; called only if somebody asks."""
    classify: Callable[[], Tensor] | None = field(default=None, kw_only=True)
    """Works out ``class_logits`` where attention × evidence is not it."""

    # training never asks for it: 0.2 % of AB-MIL's work, far more for a transformer
    @cached_property
    def evidence(self) -> Tensor:
        """Push of each instance towards a class, alone, shape (N, C); classes sum to 0.

        Carries no gradient. Uses the weights as they are when first asked: ask before they
        change.
        """
        with torch.no_grad():
            return self.weigh()

    def learnable_evidence(self) -> Tensor:
        """Give the evidence with its gradient, shape (N, C), float32, worked out anew.

        Raises
        ------
        ConfigError
            If the model's evidence carries no gradient, so that nothing can be taught by it.
        """
        with torch.enable_grad():
            evidence = self.weigh().float()
        if not evidence.requires_grad:
            raise ConfigError(
                "this model's evidence carries no gradient, so regions cannot teach it: "
                "set hint_weight to 0, or let the model's weigh() keep the gradient"
            )
        return evidence

    @cached_property
    def class_logits(self) -> Tensor:
        """What each instance adds to each class's logit, shape (N, C); no gradient.

        Only differences between classes count. Attention × evidence, branches averaged,
        unless the model has its own.
        """
        with torch.no_grad():
            if self.classify is not None:
                return self.classify()
            # a product of two halves has more digits than a half holds
            wide = torch.promote_types(self.attention.dtype, torch.float32)
            weights = self.attention.to(wide).mean(dim=0)[:, None]  # (N, 1)
            return weights * self.evidence.to(wide)

    @property
    def class_scores(self) -> Tensor:
        """How surely each instance speaks for some class, shape (1, N); no gradient."""
        return class_confidence(self.class_logits)[None]

    @property
    def attention_scores(self) -> Tensor:
        """Attention as something to mask by, shape (H, N): a row for each voting head."""
        return self.attention

    def scores_by(self, kind: ScoreKind) -> Tensor:
        """Give what to mask by.

        Parameters
        ----------
        kind : {"own", "class", "attention"}
            ``scores``, ``class_scores`` or ``attention_scores``.

        Returns
        -------
        Tensor, shape (H, N)
            The larger, the more salient; no gradient.
        """
        if kind == "own":
            return self.scores
        return self.class_scores if kind == "class" else self.attention_scores


class MILModel(nn.Module, ABC):
    """A bag of feature vectors in, one decision out.

    A recipe gathers rows of ``x`` before :meth:`embed`, or adds tokens to ``h`` before
    :meth:`aggregate`; so both are public, and :meth:`forward` is one after the other.
    """

    branches: tuple[str, ...] = ("attention",)
    """Names of the rows of ``MILOutput.attention``."""
    evidence_kind: Literal["exact", "approximate"] = "approximate"
    """Whether attention × evidence sums to the logits (minus their mean and bias)."""

    deciding: tuple[str, ...] = ("head",)
    """Submodules that make logits: what learns where only the head is tuned."""
    projection: nn.Module
    """The submodule that makes ``h``: (N, in_dim) -> (N, D)."""

    @property
    def width(self) -> int:
        """Width D of ``h``: that of the last linear layer of ``projection``.

        A model whose ``h`` is made otherwise says so itself.
        """
        linear = [m for m in self.projection.modules() if isinstance(m, nn.Linear)]
        if not linear:
            raise ConfigError(
                f"the projection of {type(self).__name__} has no linear layer to read "
                "its width from; give the model a property 'width'"
            )
        return linear[-1].out_features

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

    def parts(self, h: Tensor) -> Callable[[Tensor], Tensor]:
        """Make ready to judge many parts of one bag.

        Parameters
        ----------
        h : Tensor, shape (N, D)
            Embedded instances; weights must not change from here on.

        Returns
        -------
        callable
            Takes which instances are kept, shape (N,), bool, at least one True; gives the
            class probabilities of those alone, shape (C,). A model whose instances do
            not look at each other works out only once what each of them brings.
        """
        return lambda kept: self.probabilities(
            self.aggregate(h if kept.all() else h[kept])
        )

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
