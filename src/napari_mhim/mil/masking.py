"""Which instances the student goes without: pure functions of the teacher's scores.

A mask is True where an instance is withheld. Counts follow the authors' code
(MHIM-MIL v1): each part of a hybrid mask holds ``ceil(ratio * N)`` instances of the
whole bag, so parts may overlap. Everything stays on the scores' device; nothing waits
for it, the random part of several averaged heads apart.

Departures from the authors' code, each on purpose:

- at least one instance is kept, whatever the ratios (theirs trains on an empty bag);
- a mask has no order, so the kept instances stay in the bag's (theirs: that of a Python
  set; only a model that minds the order, as TransMIL does, can tell);
- equal scores are settled by position, equal votes by the mean score (theirs: by chance);
- a random ratio below 0.001 stays random (theirs turns into a low mask).

References
----------
Tang et al., "Multiple Instance Learning Framework with Masked Hard Instance Mining
for Whole Slide Image Classification", ICCV 2023, arXiv:2307.15254.
"""

from math import ceil
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from napari_mhim.errors import ConfigError

Fusion = Literal["vote", "mean"]
"""How heads agree: each votes for its top instances, or each brings its share of them."""


def high_mask(
    scores: Tensor,
    ratio: float,
    keep_share: float = 1.0,
    fusion: Fusion = "vote",
    keys: Tensor | None = None,
) -> Tensor:
    """Mark the most salient instances: the easy ones, which the teacher hides.

    Parameters
    ----------
    scores : Tensor, shape (H, N), float
        Teacher's score of each instance by each head; the larger, the more salient.
    ratio : float
        Share of the bag to mark, in [0, 1].
    keep_share : float
        Share of the candidates to mark, in (0, 1]: below 1, the top
        ``ratio / keep_share`` of the bag are candidates, and chance decides.
    fusion : {"vote", "mean"}
        How several heads agree.
    keys : Tensor, shape (N,), float, optional
        Chance: the candidates of smallest key are marked. :func:`random_keys` where
        not given.

    Returns
    -------
    Tensor, shape (N,), bool
        True for ``ceil(ratio * N)`` instances, at most N - 1.

    Raises
    ------
    ConfigError
        If ``ratio`` or ``keep_share`` is out of range.
    """
    _check("mask_ratio_high", ratio)
    if not 0 < keep_share <= 1:
        raise ConfigError(f"high_keep_share must be in (0, 1], got {keep_share}")
    n = scores.shape[-1]
    if keep_share == 1:
        return _fuse(scores, min(ceil(n * ratio), n - 1), fusion)
    share = ratio / keep_share
    if share > 1:  # every instance is a candidate, and `ratio` of them are marked
        share, keep_share = 1.0, ratio
    n_candidates = ceil(n * share)
    candidates = _fuse(scores, n_candidates, fusion)
    if fusion == "mean":  # heads overlap: how many they brought is in the data
        n_candidates = int(candidates.sum())
    keys = random_keys(n, scores.device) if keys is None else keys
    wanted = min(ceil(n_candidates * keep_share), n - 1)
    return _largest((-keys).where(candidates, -torch.inf), wanted)


def low_mask(scores: Tensor, ratio: float, fusion: Fusion = "vote") -> Tensor:
    """Mark the least salient instances, which teach the student little.

    Parameters
    ----------
    scores : Tensor, shape (H, N), float
        Teacher's score of each instance by each head; the larger, the more salient.
    ratio : float
        Share of the bag to mark, in [0, 1].
    fusion : {"vote", "mean"}
        How several heads agree.

    Returns
    -------
    Tensor, shape (N,), bool
        True for ``ceil(ratio * N)`` instances, at most N - 1.

    Raises
    ------
    ConfigError
        If ``ratio`` is out of range.
    """
    _check("mask_ratio_low", ratio)
    n = scores.shape[-1]
    return _fuse(-scores, min(ceil(n * ratio), n - 1), fusion)


def random_mask(keys: Tensor, ratio: float) -> Tensor:
    """Mark instances by chance.

    Parameters
    ----------
    keys : Tensor, shape (N,), float
        Chance, as from :func:`random_keys`: the instances of smallest key are marked.
    ratio : float
        Share of the bag to mark, in [0, 1].

    Returns
    -------
    Tensor, shape (N,), bool
        True for ``ceil(ratio * N)`` instances, at most N - 1.

    Raises
    ------
    ConfigError
        If ``ratio`` is out of range.
    """
    _check("mask_ratio_random", ratio)
    n = keys.shape[0]
    k = min(ceil(n * ratio), n - 1)
    return _largest(-keys, k, _selected(-keys, k) if k > n // 8 else None)


def hybrid_mask(
    scores: Tensor,
    *,
    mask_ratio_high: float = 0.0,
    mask_ratio_low: float = 0.0,
    mask_ratio_random: float = 0.0,
    high_keep_share: float = 1.0,
    fusion: Fusion = "vote",
    keys: Tensor | None = None,
) -> Tensor:
    """Mark what a student goes without: a random, a low and a high part together.

    Parameters
    ----------
    scores : Tensor, shape (H, N), float
        Teacher's score of each instance by each head; the larger, the more salient.
    mask_ratio_high, mask_ratio_low, mask_ratio_random : float
        Share of the bag each part marks, in [0, 1]; parts may overlap.
    high_keep_share : float
        As ``keep_share`` of :func:`high_mask`.
    fusion : {"vote", "mean"}
        How several heads agree.
    keys : Tensor, shape (2, N), float, optional
        Chance of the random part and of the high part; drawn where not given.

    Returns
    -------
    Tensor, shape (N,), bool
        True for withheld instances. Where the parts together would take the whole bag,
        the most salient instance outside the high part is kept.

    Raises
    ------
    ConfigError
        If a ratio is out of range.
    """
    n = scores.shape[-1]
    if keys is None and (mask_ratio_random > 0 or high_keep_share < 1):
        keys = random_keys(2 * n, scores.device).view(2, n)
    high = high_mask(
        scores,
        mask_ratio_high,
        high_keep_share,
        fusion,
        None if keys is None else keys[1],
    )
    mask = high | low_mask(scores, mask_ratio_low, fusion)
    if keys is not None:
        mask = mask | random_mask(keys[0], mask_ratio_random)
    # asking is waiting, but on the CPU
    if mask.device.type == "cpu" and not mask.all():
        return mask
    rescued = scores.mean(dim=0).where(~high, -torch.inf).argmax()
    is_rescued = torch.arange(n, device=mask.device) == rescued
    return mask & ~(is_rescued & mask.all())


def class_confidence(logits: Tensor) -> Tensor:
    """Rank instances by the probability of their likeliest class, however close they are.

    That probability is ``1 / (1 + r)``, r the summed ratios of the other classes to the
    likeliest. Where an instance has a weight of about 1 / N, r is nearly C - 1: in float32
    a bag of 50 000 instances collapses to some hundred probabilities. Instead this gives
    ``-log(r / (C - 1))``, whose two parts, the lead over the second class and how far the
    others fall behind that one, are small numbers with all their digits.

    Parameters
    ----------
    logits : Tensor, shape (N, C), float
        What each instance says of each class; a shift of all classes changes nothing.

    Returns
    -------
    Tensor, shape (N,)
        0 where all classes are alike, no upper bound; rises with that probability.
    """
    ordered = logits.sort(dim=1, descending=True).values  # (N, C)
    lead = ordered[:, 0] - ordered[:, 1]
    behind = torch.expm1(ordered[:, 1:] - ordered[:, 1:2])  # (N, C - 1), first is 0
    return lead - torch.log1p(behind.mean(dim=1))


def random_keys(
    n: int,
    device: torch.device | str = "cpu",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw the numbers by which chance marks instances.

    Parameters
    ----------
    n : int
        How many.
    device : device
        Where they are needed.
    generator : Generator, optional
        Where they come from, on that device; torch's own where not given.

    Returns
    -------
    Tensor, shape (n,), float32
        Uniform in [0, 1).
    """
    return torch.rand(n, device=device, generator=generator)


def _check(name: str, ratio: float) -> None:
    if not 0 <= ratio <= 1:
        raise ConfigError(f"{name} must be in [0, 1], got {ratio}")


def _fuse(scores: Tensor, k: int, fusion: Fusion) -> Tensor:
    heads, n = scores.shape
    if heads == 1:
        return _largest(scores[0], k)
    if fusion == "mean":
        return _largest(scores, k // heads).any(dim=0)  # (N,)
    if k == 0:  # nothing to rank
        return scores.new_zeros(n, dtype=torch.bool)
    votes = _largest(scores, k).sum(dim=0)  # (N,)
    # place of each instance by mean score, 0 for the lowest; ties go to the first
    place = torch.empty_like(votes)
    by_mean = scores.mean(dim=0).argsort(descending=True, stable=True)
    place[by_mean] = torch.arange(n - 1, -1, -1, device=votes.device)
    return _largest(votes * n + place, k)


def _largest(values: Tensor, k: int, least: Tensor | None = None) -> Tensor:
    """Mark the k largest along the last axis, the first of equal ones; (..., N) bool."""
    n = values.shape[-1]
    if k <= 0 or k >= n:
        return torch.full_like(values, k > 0, dtype=torch.bool)
    if least is None:  # (..., 1)
        least = values.topk(k, sorted=False).values.amin(dim=-1, keepdim=True)
    above, level = values > least, values == least
    room = k - above.sum(dim=-1, keepdim=True)
    return above | (level & (level.cumsum(dim=-1) <= room))


def _selected(keys: Tensor, k: int) -> Tensor | None:
    """Give the k-th largest of numbers drawn by chance, shape (1,), where numpy can."""
    if keys.device.type != "cpu" or keys.dtype not in (torch.float32, torch.float64):
        return None
    # half of topk's time; not for scores: many equal ones cost it ten times as much
    return torch.from_numpy(np.partition(keys.numpy(), len(keys) - k)[-k, None])
