"""When training leaves the numbers: which slide did it, what is kept, and what to do."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from napari_mhim.errors import TrainingError
from napari_mhim.mil.bags import Bag


def is_finite_throughout(module: nn.Module) -> bool:
    """Whether no weight and no buffer is NaN or infinite.

    Parameters
    ----------
    module : Module
        For instance a recipe, with student and teacher.

    Returns
    -------
    bool
        One look at each tensor; on a GPU it waits once.
    """
    tensors = [t for t in (*module.parameters(), *module.buffers()) if t.numel()]
    sums = [t.detach().isfinite().all() for t in tensors]
    return not sums or bool(torch.stack(sums).all())


def derailed(
    what: str, bags: Sequence[Bag], stage: str, epochs_done: int, lr: float
) -> TrainingError:
    """Make the error of a run whose numbers are no numbers any more.

    Parameters
    ----------
    what : str
        What is not finite, with its verb: ``"the loss is nan"``.
    bags : sequence of Bag
        The slides it happened on, one or more.
    stage : str
        Stage of the run.
    epochs_done : int
        Whole epochs before it.
    lr : float
        Learning rate of the run.

    Returns
    -------
    TrainingError
        One sentence: slide, epoch, what is kept, and the way out.
    """
    names = ", ".join(repr(bag.name) for bag in bags[:3])
    names += f" and {len(bags) - 3} more" if len(bags) > 3 else ""
    largest = max(float(np.abs(bag.features).max()) for bag in bags)
    kept = f"the checkpoint of epoch {epochs_done} is kept"
    if not epochs_done:
        kept = "no epoch was done before it"
    plural = "s" if len(bags) > 1 else ""
    return TrainingError(
        f"{what}: slide{plural} {names} in epoch {epochs_done + 1} of {stage} (largest "
        f"feature {largest:.3g}); {kept}; the same settings would come here again: lower "
        f"the learning rate (now {lr:g}) in a new run, or leave the slide{plural} out if "
        "the features are far larger than the others'"
    )
