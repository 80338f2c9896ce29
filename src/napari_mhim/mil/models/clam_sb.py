"""CLAM, single branch: gated attention, taught by its own extremes.

*Attention* is the softmax over the bag. *Evidence* of an instance is the slide's
classifier on it alone, without bias, minus the mean over classes; attention × evidence
sums exactly to the logits without bias, minus their mean. What both forms of CLAM share,
their loss and where it departs from the paper, is in ``_clam.py``.

References
----------
Lu et al., "Data-efficient and weakly supervised computational pathology on whole-slide
images", Nature Biomedical Engineering 5, 2021, arXiv:2004.09666.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from napari_mhim.mil.models._clam import COMMON_KEYS, Clam, Options, official_widths
from napari_mhim.mil.models._layers import initialise

OFFICIAL_KEYS = {**COMMON_KEYS, "classifiers": "head"}
"""Layers of the authors' checkpoints and what they are called here."""


class ClamSB(Clam):
    """CLAM whose one branch of attention serves all classes."""

    deciding = ("head", "is_class")
    evidence_kind = "exact"

    def __init__(self, options: Options):
        super().__init__(options, branches=1)
        self.head = nn.Linear(options.hidden, options.n_classes)
        initialise(self)

    def head_weight(self) -> Tensor:
        """Give the slide's classifier, shape (C, D)."""
        return self.head.weight

    def judge(self, pooled: Tensor) -> Tensor:
        """Judge the slide, shape (C,), from what the branch pooled, shape (1, D)."""
        logits: Tensor = self.head(pooled)[0]
        return logits


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
    return ClamSB(
        Options(
            in_dim=in_dim,
            n_classes=n_classes,
            hidden=hidden,
            attention_dim=attention_dim,
            extremes=extremes,
            instance_weight=instance_weight,
            exclusive=exclusive,
            act=act,
            dropout=dropout,
        )
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
        Arguments of :func:`build`; how it was trained is not stored, so not among them.
    """
    return official_widths(tensors)
