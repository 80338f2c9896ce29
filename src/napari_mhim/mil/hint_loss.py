"""The loss on hinted patches: their class evidence, alone, against the class a region names.

Evidence of an instance is what the model's classifier says of it alone, in every model.
So neither the rest of the bag nor the teacher's mask changes it: a hinted patch may be
hidden from the student in the slide's own loss and still learns its class here. Attention
is not taught.

The baseline that a recipe starts from is not told (:func:`~.config.baseline_config`): a
teacher that knows the hard patches ranks them first, and hides them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_mhim.mil.bags import Bag
from napari_mhim.mil.model import MILModel
from napari_mhim.mil.order import drawn_instances
from napari_mhim.mil.recipe import Losses

HINTS = "hints"
"""Name of the loss among the parts of an epoch's."""


@dataclass(frozen=True, eq=False)
class Taught:
    """Hinted patches of one bag, at least one."""

    rows: Tensor
    """Their rows, shape (M,), int64, ascending."""
    classes: Tensor
    """Class of each, shape (M,), int64."""


def taught(bags: Sequence[Bag]) -> dict[int, Taught]:
    """List the hinted patches of bags.

    Parameters
    ----------
    bags : sequence of Bag
        Training bags.

    Returns
    -------
    dict of int to Taught
        By place in ``bags``; bags without a hint are not in it.
    """
    found = {}
    for place, bag in enumerate(bags):
        if bag.hints is not None and (bag.hints >= 0).any():
            rows = np.flatnonzero(bag.hints >= 0)
            classes = bag.hints[rows].astype(np.int64)
            found[place] = Taught(torch.from_numpy(rows), torch.from_numpy(classes))
    return found


def some_of(hints: Taught, most: int, place: int, epoch: int, seed: int) -> Taught:
    """Give hints, drawn anew each epoch where there are more than ``most``; 0 takes all."""
    n = len(hints.rows)
    if most == 0 or n <= most:
        return hints
    drawn = torch.from_numpy(drawn_instances(n, most, place, epoch, seed))
    return Taught(hints.rows[drawn], hints.classes[drawn])


def hint_loss(evidence: Tensor, classes: Tensor) -> Tensor:
    """Give the cross entropy of hinted patches; each class counts alike, however large.

    Parameters
    ----------
    evidence : Tensor, shape (M, C), M ≥ 1
        Class evidence of each patch, read as logits.
    classes : Tensor, shape (M,), int64
        Class that a region names.

    Returns
    -------
    Tensor, shape ()
        Mean over the classes there are of the mean over their patches.
    """
    each = F.cross_entropy(evidence, classes, reduction="none")  # (M,)
    counts = F.one_hot(classes, evidence.shape[1]).sum(dim=0)  # (C,)
    return (each / counts[classes]).sum() / (counts > 0).sum()


def add_hints(
    losses: Losses, model: MILModel, x: Tensor, classes: Tensor, weight: float
) -> Losses:
    """Add what hinted patches teach to the losses of their bag.

    Parameters
    ----------
    losses : Losses
        What the recipe came to.
    model : MILModel
        The student.
    x : Tensor, shape (M, in_dim), M ≥ 1
        Features of the hinted patches.
    classes : Tensor, shape (M,), int64
        Their classes, on the same device.
    weight : float
        Weight of the loss.

    Returns
    -------
    Losses
        The same with the weighted loss in ``total``, and the bare one among the parts.

    Raises
    ------
    ConfigError
        If the model's evidence carries no gradient.
    """
    hints = hint_loss(model(x).learnable_evidence(), classes)
    return replace(
        losses,
        total=losses.total + weight * hints,
        parts={**losses.parts, HINTS: hints.detach()},
    )
