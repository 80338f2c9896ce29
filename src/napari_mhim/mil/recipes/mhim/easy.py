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

A teacher knows its training slides by heart, so what it rests on there need not be what
it rests on elsewhere. The ratio is therefore held against validation slides: those that
speak by the same rule should lose their easy part to it as often as training slides do.
On ten to thirty slides only a coarse difference can be told from chance, and the sentence
that is kept says on how many it rests. Where they lose it clearly less often, the ratio stays
and the sentence names what both together would give: on phantom cohorts a ratio too large
cost as much as one too small, so widening it unasked is not supported.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

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
RARE = 0.05
"""Probability below which chance is no longer taken for the reason."""
FALLBACK = 0.02
"""Ratio where no slide speaks: the paper's, for tumour that fills most of a slide."""


@dataclass(frozen=True)
class EasyShare:
    """The ratio found and where it is from."""

    ratio: float
    """Share of a slide to hide as easy, in (0, 1)."""
    reason: str
    """One sentence."""
    falls: tuple["Fall", ...] = ()
    """Falls of the training slides that speak; empty where none does."""
    n: int = 0
    """Training slides looked at."""
    least: float = 0.0
    """Least fall of a slide that speaks, on the scale of the logits."""
    only_lost: bool = False
    """Whether only slides that lose their class speak."""

    def speaks(self, fall: "Fall | None") -> bool:
        """Tell whether a slide's fall counts, by the rule the training slides set."""
        if fall is None or fall.depth < self.least:
            return False
        return fall.is_lost or not self.only_lost


@dataclass(frozen=True)
class Confirmation:
    """What validation slides say of an easy share."""

    verdict: Literal["confirmed", "not confirmed", "cannot be told"]
    """What came out."""
    reason: str
    """One sentence with the counts it rests on."""


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
            n=len(found),
        )
    least = LOUD * _quantile([fall.depth for fall in falls])
    loud = [fall for fall in falls if fall.depth >= least]
    lost = [fall for fall in loud if fall.is_lost]
    speaking = tuple(lost or loud)
    covered = _quantile([fall.share for fall in speaking])
    return EasyShare(
        _ratio_over(speaking),
        f"{QUANTILE:.0%} of {len(speaking)} training slides rest on the top "
        f"{covered:.1%} of their patches or fewer; times {MARGIN:g}, at most {MOST:.0%}",
        falls=speaking,
        n=len(found),
        least=least,
        only_lost=bool(lost),
    )


@torch.no_grad()
def confirm(
    found: EasyShare,
    teacher: MILModel,
    bags: Iterable[tuple[Tensor, int]],
    score_kind: ScoreKind = "own",
) -> Confirmation:
    """Hold an easy share against validation slides.

    Parameters
    ----------
    found : EasyShare
        What training slides said.
    teacher : MILModel
        The model it was found with; in eval mode while this runs.
    bags : iterable of (x, label)
        Validation bags, shape (N, in_dim), and their class; read once, one at a time.
        Never test slides: a ratio may be set by what these say.
    score_kind : {"own", "class", "attention"}
        What of the teacher's output says how salient an instance is.

    Returns
    -------
    Confirmation
        Not confirmed only where chance would bring so few slides in less than ``RARE`` of
        cases, by the training slides' own share and at least 1 - ``QUANTILE`` missed.
    """
    was_training = teacher.training
    teacher.eval()
    falls = [fall_of(teacher, x, label, score_kind) for x, label in bags]
    teacher.train(was_training)
    speaking = [fall for fall in falls if fall and found.speaks(fall)]
    if not found.falls or not speaking:
        return _without_a_voice(found, len(falls))
    trained = sum(fall.is_covered(found.ratio) for fall in found.falls)
    covered = sum(fall.is_covered(found.ratio) for fall in speaking)
    missed = max(1 - QUANTILE, 1 - trained / len(found.falls))
    counts = (
        f"{covered} of {len(speaking)} validation slides that rest on few patches lose "
        f"them to {found.ratio:.1%} hidden, {trained} of {len(found.falls)} training "
        "slides do"
    )
    if _at_least(len(speaking), len(speaking), missed) >= RARE:
        # even if all were missed it could be chance
        return Confirmation("cannot be told", counts)
    if _at_least(len(speaking) - covered, len(speaking), missed) >= RARE:
        return Confirmation("confirmed", counts)
    both = _ratio_over((*found.falls, *speaking))
    advice = f"; kept: both together would give mask_ratio_high={both:g}"
    return Confirmation("not confirmed", counts + advice)


def _without_a_voice(found: EasyShare, n: int) -> Confirmation:
    """Judge a share on which no validation slide, or no training slide, has a say."""
    if not n:
        return Confirmation("cannot be told", "no validation slides")
    trained = len(found.falls)
    counts = (
        f"none of {n} validation slides rests on few patches, {trained} of {found.n} "
        "training slides do"
    )
    # so few by chance, if validation slides were like training slides?
    chance = (1 - trained / found.n) ** n if trained else 1.0
    verdict: Literal["not confirmed", "cannot be told"] = (
        "cannot be told" if chance >= RARE else "not confirmed"
    )
    return Confirmation(verdict, counts)


def _at_least(count: int, n: int, chance: float) -> float:
    """Give the probability of ``count`` or more of n, each with the same chance."""
    ways = range(count, n + 1)
    return sum(math.comb(n, k) * chance**k * (1 - chance) ** (n - k) for k in ways)


def _ratio_over(falls: Sequence["Fall"]) -> float:
    covered = _quantile([fall.share for fall in falls])
    return round(min(covered * MARGIN, MOST), 3)


@dataclass(frozen=True)
class Fall:
    """How a slide's lead falls when its most salient instances are hidden."""

    hidden: int
    """Instances hidden when it has fallen ``FALLEN`` of the way, 1 or more."""
    n: int
    """Instances of the slide."""
    depth: float
    """How far it falls in all, on the scale of the logits, above 0."""
    is_lost: bool
    """Whether another class leads in the end."""

    @property
    def share(self) -> float:
        """Give the share of the slide that is hidden by then, in (0, 1)."""
        return self.hidden / self.n

    def is_covered(self, ratio: float) -> bool:
        """Tell whether a ratio hides as many instances, as the mask counts them."""
        return math.ceil(ratio * self.n) >= self.hidden


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
    hidden = int(high_mask(scores, SHARES[first]).sum())
    return Fall(hidden, len(x), before - after, after < 0)


def _quantile(values: list[float]) -> float:
    return torch.tensor(values).quantile(QUANTILE).item()


def _lead(logits: Tensor, label: int) -> float:
    """By how much a class leads all others together, from logits of shape (C,)."""
    others = torch.cat([logits[:label], logits[label + 1 :]])
    return (logits[label] - others.logsumexp(dim=0)).item()
