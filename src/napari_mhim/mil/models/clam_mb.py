"""CLAM, multi-branch: each class has its own gated attention, taught by its extremes.

*Attention* has a row for each class, the softmax of its branch over the bag; the teacher
masks by the largest that any class pays. *Evidence* of an instance is each class's classifier
on it alone, without bias, minus the mean over classes; attention × evidence is
approximate, as classes pool differently. What the consistency loss compares is what each
branch pools. What both forms of CLAM share, their loss and where it departs from the
paper, is in ``_clam.py``; the extremes a class learns from are those of its own branch.

References
----------
Lu et al., "Data-efficient and weakly supervised computational pathology on whole-slide
images", Nature Biomedical Engineering 5, 2021, arXiv:2004.09666.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from napari_mhim.mil.models._clam import (
    COMMON_KEYS,
    MOST_CLASSES,
    Clam,
    Options,
    official_widths,
)
from napari_mhim.mil.models._layers import initialise

OFFICIAL_KEYS = {
    **COMMON_KEYS,
    **{f"classifiers.{c}": f"heads.{c}" for c in range(MOST_CLASSES)},
}
"""Layers of the authors' checkpoints and what they are called here."""


class ClamMB(Clam):
    """CLAM with a branch of attention and a classifier for each class."""

    deciding = ("heads", "is_class")

    def __init__(self, options: Options):
        super().__init__(options, branches=options.n_classes)
        self.branches = tuple(f"class {index}" for index in range(options.n_classes))
        self.heads = nn.ModuleList(
            nn.Linear(options.hidden, 1) for _ in range(options.n_classes)
        )
        initialise(self)

    def head_weight(self) -> Tensor:
        """Give the classes' classifiers, shape (C, D)."""
        return torch.cat([head.get_parameter("weight") for head in self.heads])

    def judge(self, pooled: Tensor) -> Tensor:
        """Judge the slide, shape (C,), each class from what its branch pooled, (C, D)."""
        judged = [head(row) for head, row in zip(self.heads, pooled, strict=True)]
        return torch.cat(judged)


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
) -> ClamMB:
    """Build a multi-branch CLAM with fresh weights.

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
        Whether what other classes' branches attend to most is not of those classes, as in
        subtyping.
    act : str
        ``"relu"``, ``"gelu"`` or ``"tanh"``, after the projection.
    dropout : float
        Share of the embedded instances' values dropped in train mode, in [0, 1).

    Returns
    -------
    ClamMB
        The model, on the CPU.

    Raises
    ------
    ConfigError
        If a value is out of range or the activation unknown.
    """
    return ClamMB(
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
