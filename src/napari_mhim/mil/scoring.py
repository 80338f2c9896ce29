"""What a model in eval mode says of bags: the one way validation and prediction score them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_mhim.mil.bags import Bag
from napari_mhim.mil.masking import Fusion
from napari_mhim.mil.model import MILModel, MILOutput, ScoreKind
from napari_mhim.mil.result import contribution


@dataclass(frozen=True, eq=False)
class Scores:
    """What a model says of S labelled bags."""

    probabilities: NDArray[np.float64]
    """Shape (S, C)."""
    loss: float
    """Mean classification loss; NaN without bags."""


@torch.no_grad()
def score(
    model: MILModel, features: Iterable[Tensor], labels: Sequence[int], n_classes: int
) -> Scores:
    """Score labelled bags, whole, without masks.

    Parameters
    ----------
    model : MILModel
        The model; its mode is kept.
    features : iterable of Tensor, shape (N, D)
        Bags, on the model's device.
    labels : sequence of int
        Class of each.
    n_classes : int
        Number of classes: the width of the result when there are no bags.

    Returns
    -------
    Scores
        Probabilities and mean loss.
    """
    was_training = model.training
    model.eval()
    rows, losses = [], []
    for x, label in zip(features, labels, strict=True):
        output = model(x)
        rows.append(model.probabilities(output))
        losses.append(model.loss(output, label))
    model.train(was_training)
    if not rows:
        return Scores(np.zeros((0, n_classes)), float("nan"))
    probabilities = torch.stack(rows).double().cpu().numpy()
    return Scores(probabilities, float(torch.stack(losses).double().mean()))


@torch.no_grad()
def evidence_limits(
    model: MILModel, features: Iterable[Tensor]
) -> NDArray[np.float32] | None:
    """Find the colour limits of each class's contribution: fixed for every slide.

    Parameters
    ----------
    model : MILModel
        The model, in eval mode.
    features : iterable of Tensor, shape (N, D)
        Bags, on the model's device.

    Returns
    -------
    ndarray, shape (C,), float32, or None
        99th percentile of |N · attention × evidence| over all patches, above 0; None
        without bags.
    """
    sizes = []
    for x in features:
        output = model(x)
        attention, evidence = as_array(output.attention), as_array(output.evidence)
        sizes.append(np.abs(contribution(attention, evidence)))
    if not sizes:
        return None
    limits = np.percentile(np.concatenate(sizes), 99, axis=0)
    # a model that says nothing anywhere must still have a colour scale
    least = np.finfo(np.float32).tiny
    return np.asarray(np.maximum(limits, least), np.float32)


def reduce_heads(scores: Tensor, fusion: Fusion) -> Tensor:
    """Give one score for each instance, ranked as the mask ranks them.

    Parameters
    ----------
    scores : Tensor, shape (H, N)
        Scores of each head.
    fusion : {"vote", "mean"}
        How the mask fuses heads. Votes depend on the mask's size, so a ranking of all
        instances cannot be read from them: mean ranks stand for both when H > 1.

    Returns
    -------
    Tensor, shape (N,), float32
        The scores themselves of one head; of several, the mean over heads of
        ``1 - rank / N``, in (0, 1].
    """
    if scores.shape[0] == 1:
        return scores[0].float()
    n = scores.shape[1]
    order = scores.argsort(dim=1, descending=True, stable=True)  # (H, N)
    places = torch.arange(n, device=scores.device).expand_as(order)
    ranks = torch.empty_like(order).scatter_(1, order, places)
    return 1 - ranks.float().mean(dim=0) / n


def as_array(tensor: Tensor) -> NDArray[np.float32]:
    """Copy a tensor to a float32 array on the CPU."""
    return tensor.detach().float().cpu().numpy()


def resident(bags: Sequence[Bag], device: str) -> list[Tensor]:
    """Put bags where they are computed on, or near it.

    Parameters
    ----------
    bags : sequence of Bag
        The bags.
    device : str
        ``"cpu"``, ``"cuda"`` or ``"mps"``.

    Returns
    -------
    list of Tensor, shape (N, D), float32
        On the device where they fill at most half of its free memory; else on the CPU,
        pinned for CUDA. On the CPU the memory is the bags' own.
    """
    tensors = [torch.from_numpy(np.ascontiguousarray(bag.features)) for bag in bags]
    if device == "cpu":
        return tensors
    if device == "cuda":
        needed = sum(tensor.nbytes for tensor in tensors)
        if needed > torch.cuda.mem_get_info()[0] / 2:
            return [tensor.pin_memory() for tensor in tensors]
    return [tensor.to(device) for tensor in tensors]


@torch.no_grad()
def scores_of(
    output: MILOutput, fusion: Fusion = "vote", kind: ScoreKind = "own"
) -> NDArray[np.float32]:
    """Give one score of a kind for each instance of an output, shape (N,), heads reduced."""
    return as_array(reduce_heads(output.scores_by(kind), fusion))
