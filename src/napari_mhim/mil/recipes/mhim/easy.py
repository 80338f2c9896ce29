"""How large a share of a slide is easy: how much of it the teacher's decision rests on.

The rule, in its first form. Every training slide the teacher gets right is judged again
with more and more of its most salient instances hidden. The lead of its class falls
until the easy ones are gone, and then hardly any more; the share at which it has fallen
``FALLEN`` of the way is the slide's easy share. A slide speaks if its lead falls by half
or more, and nearly as far as that of the slides whose lead falls farthest (``LOUD``):
slides without easy instances, positive or negative, have little to lose, and so no class
need be named positive. Where some of those lose their class altogether, they alone
speak: a negative slide's lead falls, too, but not so far. The ratio covers ``QUANTILE``
of the slides that speak, and a margin: a trace of easy tissue left in is enough for a
student to learn nothing else.
"""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_mhim.mil.masking import high_mask
from napari_mhim.mil.model import MILModel, ScoreKind

SHARES = (0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.13, 0.16, 0.2, 0.25, 0.3, 0.4, 0.5)
"""Shares of a slide that are hidden in turn."""
FALLEN = 0.8
"""How much of the way down the lead must have come: the rest is a long, flat tail."""
LOUD = 0.5
"""Least fall of a slide that speaks, as a share of the ``QUANTILE`` of all falls."""
QUANTILE = 0.9
"""Share of the slides whose easy part the ratio must cover."""
MARGIN = 2.0
"""How far above that quantile the ratio lies: 1.5 missed in 2 of 14 simulated cohorts, 2 in 1."""
MOST = 0.2
"""Largest ratio: a baseline that knows the hard instances too would have them hidden as well."""
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
def find_easy_share(
    teacher: MILModel, bags: Iterable[tuple[Tensor, int]], score_kind: ScoreKind = "own"
) -> EasyShare:
    """Find the share of a slide to hide as easy, from a trained teacher.

    Parameters
    ----------
    teacher : MILModel
        A trained model; in eval mode while this runs.
    bags : iterable of (x, label)
        Training bags, shape (N, in_dim), and their class; read once, one at a time.
    score_kind : {"own", "class", "attention"}
        What of the teacher's output says how salient an instance is.

    Returns
    -------
    EasyShare
        The ratio, and a sentence on how it came about.
    """
    was_training = teacher.training
    teacher.eval()
    found = [fall_of(teacher, x, label, score_kind) for x, label in bags]
    teacher.train(was_training)
    falls = [fall for fall in found if fall is not None]
    if not falls:
        return EasyShare(
            FALLBACK,
            f"none of {len(found)} training slides loses half its lead with "
            f"{SHARES[-1]:.0%} hidden, so nothing stands out as easy",
        )
    least = LOUD * _quantile([fall.depth for fall in falls])
    loud = [fall for fall in falls if fall.depth >= least]
    shares = [fall.share for fall in [f for f in loud if f.is_lost] or loud]
    covered = _quantile(shares)
    return EasyShare(
        round(min(covered * MARGIN, MOST), 3),
        f"{QUANTILE:.0%} of {len(shares)} training slides rest on the top {covered:.1%} "
        f"of their patches or fewer; times {MARGIN:g}, at most {MOST:.0%}",
    )


@dataclass(frozen=True)
class Fall:
    """How a slide's lead falls when its most salient instances are hidden."""

    share: float
    """Share hidden when it has fallen ``FALLEN`` of the way, in (0, 1)."""
    depth: float
    """How far it falls in all, on the scale of the logits, above 0."""
    is_lost: bool
    """Whether another class leads in the end."""


@torch.no_grad()
def fall_of(
    teacher: MILModel, x: Tensor, label: int, score_kind: ScoreKind = "own"
) -> Fall | None:
    """Find how far the lead of a slide's class falls, and at which share.

    Parameters
    ----------
    teacher : MILModel
        A trained model, in eval mode.
    x : Tensor, shape (N, in_dim), float32
        Features of the slide.
    label : int
        Index of its class.
    score_kind : {"own", "class", "attention"}
        What of the teacher's output says how salient an instance is.

    Returns
    -------
    Fall or None
        The fall; None where the teacher is wrong on the slide, or the lead does not
        fall by half.
    """
    h = teacher.embed(x)  # (N, D)
    whole = teacher.aggregate(h)
    scores = whole.scores_by(score_kind)

    def lead_without(index: int) -> float:
        hidden = high_mask(scores, SHARES[index])
        return _lead(teacher.aggregate(h[~hidden]).logits, label)

    before, after = _lead(whole.logits, label), lead_without(len(SHARES) - 1)
    if before <= 0 or after > before / 2:
        return None
    # the lead falls with the share, nearly: halving asks a few times and not for each
    level = before - FALLEN * (before - after)
    first = bisect_left(
        range(len(SHARES) - 1), True, key=lambda index: lead_without(index) <= level
    )
    # what was hidden, not what was asked for: they differ in a small bag
    share = high_mask(scores, SHARES[first]).float().mean().item()
    return Fall(share, before - after, after < 0)


def _quantile(values: list[float]) -> float:
    return torch.tensor(values).quantile(QUANTILE).item()


def _lead(logits: Tensor, label: int) -> float:
    """By how much a class leads all others together, from logits of shape (C,)."""
    others = torch.cat([logits[:label], logits[label + 1 :]])
    return (logits[label] - others.logsumexp(dim=0)).item()
