"""The momentum teacher: how it follows the student, and what it asks of it.

References
----------
Tang et al., "Multiple Instance Learning Framework with Masked Hard Instance Mining
for Whole Slide Image Classification", ICCV 2023, arXiv:2307.15254.
"""

from copy import deepcopy
from math import cos, pi
from typing import TypeVar

import torch
from torch import Tensor, nn

AnyModule = TypeVar("AnyModule", bound=nn.Module)


def make_teacher(student: AnyModule) -> AnyModule:
    """Copy a student into a teacher: same weights, no gradients, eval mode.

    Parameters
    ----------
    student : Module
        What to copy.

    Returns
    -------
    Module
        The copy.
    """
    return deepcopy(student).requires_grad_(False).eval()


@torch.no_grad()
def ema_update(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Move the teacher's weights towards the student's, in place.

    ``teacher = momentum * teacher + (1 - momentum) * student`` over all parameters,
    those without gradient included. Buffers (the published models have none) are copied.

    Parameters
    ----------
    teacher, student : Module
        Two of the same structure.
    momentum : float
        Share the teacher keeps of itself, in [0, 1].
    """
    own: list[Tensor] = list(teacher.parameters())
    new: list[Tensor] = list(student.parameters())
    # one fused call for all tensors instead of two for each
    torch._foreach_mul_(own, momentum)
    torch._foreach_add_(own, new, alpha=1 - momentum)
    for mine, theirs in zip(teacher.buffers(), student.buffers(), strict=True):
        mine.copy_(theirs)


def cosine_ratio(start: float, step: int, total_steps: int) -> float:
    """Give a mask ratio that falls from ``start`` towards 0 along half a cosine.

    Parameters
    ----------
    start : float
        Ratio at step 0.
    step, total_steps : int
        Optimiser steps made so far, and of the whole schedule.

    Returns
    -------
    float
        The ratio; above 0 until the schedule ends.
    """
    return start * _half_cosine(step, total_steps)


def cosine_momentum(start: float, step: int, total_steps: int) -> float:
    """Give a momentum that rises from ``start`` towards 1 along half a cosine.

    Parameters
    ----------
    start : float
        Momentum at step 0.
    step, total_steps : int
        Optimiser steps made before this one, and of the whole schedule.

    Returns
    -------
    float
        The momentum.
    """
    return 1 - (1 - start) * _half_cosine(step, total_steps)


def consistency_loss(
    student: Tensor,
    teacher: Tensor,
    temperature_student: float = 1.0,
    temperature_teacher: float = 0.1,
) -> Tensor:
    """Give the cross entropy of the student's bag feature against the teacher's.

    Parameters
    ----------
    student, teacher : Tensor, shape (E, D)
        ``MILOutput.embedding`` of both, taken as logits over the D values.
    temperature_student, temperature_teacher : float
        What each is divided by before its softmax; small is sharp.

    Returns
    -------
    Tensor, shape ()
        Mean over the E rows; no gradient reaches the teacher.
    """
    target = (teacher.detach() / temperature_teacher).softmax(dim=-1)  # (E, D)
    log_share = (student / temperature_student).log_softmax(dim=-1)  # (E, D)
    return -(target * log_share).sum(dim=-1).mean()


def _half_cosine(step: int, total_steps: int) -> float:
    return 0.5 * (1 + cos(pi * min(step / max(total_steps, 1), 1)))
