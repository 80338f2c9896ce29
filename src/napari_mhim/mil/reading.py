"""Answers to what a reader asks of one slide: the model and the embedded bag stay in memory.

The instances are embedded once; every answer judges a part of them. For models that know
what each instance brings (AB-MIL, DSMIL, CLAM, pooling) an answer takes milliseconds, for
a transformer seconds: the mask, which needs no judgement, always comes first.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from napari_mhim.errors import FeatureMismatchError, StoreError
from napari_mhim.mil.bags import Bag, is_finite
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.masking import (
    high_mask,
    hybrid_mask,
    low_mask,
    random_keys,
    random_mask,
)
from napari_mhim.mil.questions import (
    HIGH,
    LOW,
    RANDOM,
    Answer,
    Curve,
    Excluding,
    Hidden,
    HideBy,
    HideMore,
    HowUnlike,
    Question,
    Score,
    Unlike,
    Without,
)
from napari_mhim.mil.scoring import as_array, reduce_heads, resident
from napari_mhim.mil.temperature import tempered
from napari_mhim.mil.unlike import agreement, distance
from napari_mhim.settings import resolve_device


class Reading:
    """One model on one slide, ready to answer.

    Parameters
    ----------
    bundle : Bundle
        The model.
    bag : Bag
        The slide's features.
    device : str
        One of ``settings.DEVICES``.

    Raises
    ------
    FeatureMismatchError
        If the features are of another encoder or scale.
    StoreError
        If they hold NaN.
    """

    @torch.no_grad()
    def __init__(self, bundle: Bundle, bag: Bag, device: str = "auto") -> None:
        bundle.check(bag)
        if not is_finite(bag.features):
            raise StoreError(
                f"features of slide {bag.name!r} hold NaN or infinite numbers; extract "
                "the slide again"
            )
        device = resolve_device(device)
        self._bundle = bundle
        self._fusion = bundle.config.head_fusion
        self._student = bundle.student(device)
        teacher = bundle.teacher(device)
        x = resident([bag], device)[0].to(device)
        embedded = self._student.embed(x)  # (N, D)
        # a recipe that says nothing of it masks by the model's own scores
        kind = bundle.config.recipe_settings.get("instance_scores", "own")
        own = self._student.aggregate(embedded)
        self._own_scores = own.scores_by(kind)  # (H, N)
        self._scores = (
            self._own_scores if teacher is None else teacher(x).scores_by(kind)
        )
        self._judge = self._student.parts(embedded)
        self._mean = as_array(x.mean(dim=0))  # (in_dim,)
        self._answers: dict[type, Callable[..., Iterator[Answer]]] = {
            HideBy: self._hide_by,
            Without: self._without,
            Excluding: self._without,
            HideMore: self._hide_more,
            HowUnlike: self._how_unlike,
        }

    def __len__(self) -> int:
        """Count the patches."""
        return self._scores.shape[1]

    def answer(self, question: Question) -> Iterator[Answer]:
        """Answer a question; what is quick comes first.

        Parameters
        ----------
        question : Question
            One of :mod:`napari_mhim.mil.questions`.

        Yields
        ------
        Answer
            As the question says.

        Raises
        ------
        FeatureMismatchError
            If it speaks of another number of patches, or leaves none.
        """
        yield from self._answers[type(question)](question)

    def _hide_by(self, question: HideBy) -> Iterator[Answer]:
        parts, hidden = self._parts(question)
        yield Hidden(parts.cpu().numpy())
        yield self._score(~hidden)

    def _without(self, question: Without) -> Iterator[Answer]:
        if len(question.rows) != len(self):
            raise FeatureMismatchError(
                f"the marked area speaks of {len(question.rows)} patches, the slide's "
                f"features have {len(self)}; run the model on the slide again"
            )
        kept = torch.from_numpy(~question.rows)
        if not kept.any():
            raise FeatureMismatchError(
                f"the marked area covers all {len(self)} patches and leaves nothing to "
                "score; mark less"
            )
        yield self._score(kept.to(self._scores.device))

    def _hide_more(self, question: HideMore) -> Iterator[Answer]:
        rows, scores = [], self._scores_for(question)
        for share in question.shares:
            hidden = high_mask(scores, share, fusion=self._fusion)
            rows.append(self._score(~hidden).probabilities)
        yield Curve(np.asarray(question.shares, np.float64), np.stack(rows))

    def _how_unlike(self, question: HowUnlike) -> Iterator[Answer]:
        yield Unlike(self._distance(), self._agreement())

    def _parts(self, question: HideBy) -> tuple[Tensor, Tensor]:
        """Give the bits of each patch, shape (N,) uint8, and what is hidden, (N,) bool."""
        n, device = len(self), self._scores.device
        scores = self._scores_for(question)
        # the same draw whatever the ratios: a slider moves the mask and not the dice
        generator = torch.Generator().manual_seed(question.seed)
        keys = random_keys(2 * n, generator=generator).view(2, n).to(device)
        high = high_mask(
            scores,
            question.mask_ratio_high,
            question.high_keep_share,
            self._fusion,
            keys[1],
        )
        low = low_mask(scores, question.mask_ratio_low, self._fusion)
        random = random_mask(keys[0], question.mask_ratio_random)
        hidden = hybrid_mask(
            scores,
            mask_ratio_high=question.mask_ratio_high,
            mask_ratio_low=question.mask_ratio_low,
            mask_ratio_random=question.mask_ratio_random,
            high_keep_share=question.high_keep_share,
            fusion=self._fusion,
            keys=keys,
        )
        parts = (HIGH * high + LOW * low + RANDOM * random) * hidden
        return parts.to(torch.uint8), hidden

    def _scores_for(self, question: HideBy | HideMore) -> Tensor:
        """Give the scores that a question masks by, shape (H, N)."""
        if question.scores is None:
            return self._scores
        if question.scores.shape != (len(self),):
            raise FeatureMismatchError(
                f"the epoch's scores speak of {len(question.scores)} patches, the slide's "
                f"features have {len(self)}; choose the finished model's own"
            )
        return torch.from_numpy(question.scores)[None].to(self._scores.device)

    @torch.no_grad()
    def _score(self, kept: Tensor) -> Score:
        scaled = tempered(as_array(self._judge(kept)), self._bundle.config.temperature)
        return Score(scaled.astype(np.float32), int(kept.sum()))

    def _distance(self) -> float:
        return distance(self._mean, self._bundle.statistics())

    def _agreement(self) -> float:
        if not self._bundle.config.has_teacher:
            return float("nan")
        own, guide = (
            as_array(reduce_heads(one, self._fusion))
            for one in (self._own_scores, self._scores)
        )
        return agreement(own, guide)
