"""How large a share of a slide is easy: how much of it the teacher's decision rests on.

The rule, in its first form. Every training slide the teacher gets right is judged again
with more and more of its most salient instances hidden. The lead of its class falls
until the easy ones are gone, and stays there; the share at which it has fallen (to
``FALLEN`` of the way) is the slide's easy share. A slide that keeps its class whatever
is hidden says nothing: nothing in a negative slide speaks for anything, so no class need
be named positive. The ratio covers ``QUANTILE`` of the slides that do speak, and a
margin: a trace of easy tissue left in is enough for a student to learn nothing else.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_mhim.mil.masking import high_mask
from napari_mhim.mil.model import MILModel

SHARES = (0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.13, 0.16, 0.2, 0.25, 0.3, 0.4, 0.5)
"""Shares of a slide that are hidden in turn; the last is also the largest ratio."""
FALLEN = 0.95
"""How much of the way down the lead must have come."""
QUANTILE = 0.9
"""Share of the slides whose easy part the ratio must cover."""
MARGIN = 1.5
"""How far above that quantile the ratio lies."""
FALLBACK = 0.02
"""Ratio where no slide speaks: the paper's, for tumour that fills most of a slide."""


@dataclass(frozen=True)
class EasyShare:
    """The ratio found and where it is from."""

    ratio: float
    """Share of a slide to hide as easy, in (0, 1)."""
    reason: str
    """One sentence."""


@torch.no_grad()
def find_easy_share(teacher: MILModel, bags: Iterable[tuple[Tensor, int]]) -> EasyShare:
    """Find the share of a slide to hide as easy, from a trained teacher.

    Parameters
    ----------
    teacher : MILModel
        A trained model; in eval mode while this runs.
    bags : iterable of (x, label)
        Training bags, shape (N, in_dim), and their class; read once, one at a time.

    Returns
    -------
    EasyShare
        The ratio, and a sentence on how it came about.
    """
    was_training = teacher.training
    teacher.eval()
    found = [easy_share(teacher, x, label) for x, label in bags]
    teacher.train(was_training)
    shares = [share for share in found if share is not None]
    if not shares:
        return EasyShare(
            FALLBACK,
            f"none of {len(found)} training slides loses its class with "
            f"{SHARES[-1]:.0%} hidden, so nothing stands out as easy",
        )
    covered = torch.tensor(shares).quantile(QUANTILE).item()
    return EasyShare(
        round(min(covered * MARGIN, SHARES[-1]), 3),
        f"{QUANTILE:.0%} of {len(shares)} training slides rest on the top {covered:.1%} "
        f"of their patches or fewer; times {MARGIN:g}",
    )


@torch.no_grad()
def easy_share(teacher: MILModel, x: Tensor, label: int) -> float | None:
    """Find the share of one slide that its class rests on.

    Parameters
    ----------
    teacher : MILModel
        A trained model, in eval mode.
    x : Tensor, shape (N, in_dim), float32
        Features of the slide.
    label : int
        Index of its class.

    Returns
    -------
    float or None
        The share; None where the teacher is wrong on the slide, or never gives its
        class up.
    """
    h = teacher.embed(x)  # (N, D)
    whole = teacher.aggregate(h)
    masks = [high_mask(whole.scores, share) for share in SHARES]
    logits = [teacher.aggregate(h[~mask]).logits for mask in masks]
    leads = _leads(torch.stack([whole.logits, *logits]), label)  # (1 + shares,)
    lowest = leads.min()
    if leads[0] <= 0 or lowest >= 0:
        return None
    fallen = leads <= leads[0] - FALLEN * (leads[0] - lowest)
    first = int(fallen.int().argmax()) - 1
    # what was hidden, not what was asked for: they differ in a small bag
    return masks[first].float().mean().item()


def _leads(logits: Tensor, label: int) -> Tensor:
    """By how much a class leads all others together: logits (S, C) -> (S,)."""
    is_other = torch.arange(logits.shape[1], device=logits.device) != label
    return logits[:, label] - logits[:, is_other].logsumexp(dim=1)
