"""How large a share of a slide is easy: what the teacher needs to see to know its class.

The rule, in its first form. Every training slide the teacher gets right is looked at
again with more and more of its most salient instances hidden, until it looks no more
like its class than slides of other classes do. That share is the slide's easy share. A
slide that keeps its class whatever is hidden (a negative one: nothing in it speaks for
anything) says nothing and is left out, so no class need be named positive. The ratio is
above nearly all easy shares: their 90 % quantile, and a margin.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_mhim.mil.masking import high_mask
from napari_mhim.mil.model import MILModel

SHARES = (0.0, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.13, 0.16, 0.2, 0.25, 0.3)
"""Shares of a slide that are tried; the last is also the largest ratio there can be."""
QUANTILE = 0.9
"""Share of the slides whose easy part the ratio must cover."""
MARGIN = 1.5
"""How far above that quantile the ratio is: a trace of easy tissue is enough to learn from."""
FALLBACK = 0.1
"""Ratio where no slide says anything."""


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
    margins, labels = [], []
    for x, label in bags:
        margins.append(_margins(teacher, x))
        labels.append(label)
    teacher.train(was_training)
    shares = _easy_shares(torch.stack(margins), torch.tensor(labels)) if labels else []
    return _summary(shares)


def _margins(teacher: MILModel, x: Tensor) -> Tensor:
    """Each class's lead over the rest with each share hidden, shape (S, C), on the CPU."""
    h = teacher.embed(x)  # (N, D)
    whole = teacher.aggregate(h)
    leads = [_lead(teacher, whole.logits)]
    for share in SHARES[1:]:
        hidden = high_mask(whole.scores, share)
        leads.append(_lead(teacher, teacher.aggregate(h[~hidden]).logits))
    return torch.stack(leads).cpu()


def _lead(teacher: MILModel, logits: Tensor) -> Tensor:
    log_share = logits.double().log_softmax(dim=-1)  # (C,)
    return log_share - torch.log1p(-log_share.exp().clamp(max=1 - 1e-12))


def _easy_shares(margins: Tensor, labels: Tensor) -> list[float]:
    shares: list[float] = []
    for label in labels.unique().tolist():
        own, others = margins[labels == label], margins[labels != label]
        if not len(others):
            continue
        usual = others[:, 0, label].median()
        lead = own[:, :, label]  # (bags, S)
        lost = lead <= usual
        told = (lead[:, 0] > 0) & lost.any(dim=1)
        first = lost[told].int().argmax(dim=1)
        shares += [SHARES[i] for i in first.tolist()]
    return shares


def _summary(shares: list[float]) -> EasyShare:
    if not shares:
        return EasyShare(
            FALLBACK,
            f"no training slide lost its class with up to {SHARES[-1]:.0%} hidden, so "
            f"{FALLBACK:.0%} is assumed",
        )
    covered = torch.tensor(shares).quantile(QUANTILE).item()
    ratio = round(min(covered * MARGIN, SHARES[-1]), 3)
    return EasyShare(
        ratio,
        f"{QUANTILE:.0%} of the {len(shares)} training slides that lose their class when "
        f"salient patches are hidden have lost it at {covered:.1%}; times {MARGIN:g}",
    )
