"""How well a model does on phantom slides, whose lesions are known: slides and patches."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mhim.mil.evaluate import Interval
from napari_mhim.mil.result import SlideResult, hard_instances
from napari_mhim.phantom import KINDS, PhantomTruth

RESAMPLES = 2000
"""Bootstrap samples behind an interval."""
WIDTH = 30
"""Characters of a column of the report."""


@dataclass(frozen=True)
class Judged:
    """One model on one slide, held against the truth; NaN where a figure is not defined."""

    score: float
    """Probability of tumour."""
    n_easy: int
    """Patches on easy lesions."""
    n_hard: int
    """Patches on hard lesions."""
    attention_auc: float
    """Lesion patches against the others of the slide, by attention."""
    evidence_auc: float
    """The same by evidence."""
    hard_attention_auc: float
    """Hard-lesion patches against lesion-free ones, by attention."""
    hard_evidence_auc: float
    """The same by evidence."""
    precision: float
    """Share of the hard patches shown that lie on hard lesions."""
    recall: float
    """Share of the patches on hard lesions that are among the hard patches shown."""
    easy_hidden: float
    """Share of the patches on easy lesions that the teacher's mask hides."""
    hard_hidden: float
    """Share of the patches on hard lesions that it hides."""
    rings: float
    """Hard patches shown on a slide without lesions."""

    @property
    def group(self) -> int:
        """Give 0 for a slide without lesions, 1 with hard ones only, 2 with easy ones."""
        return 2 if self.n_easy else int(self.n_hard > 0)


def judge(result: SlideResult, truth: PhantomTruth) -> Judged:
    """Hold one result against the truth of its slide.

    Parameters
    ----------
    result : SlideResult
        What a model saw.
    truth : PhantomTruth
        Where the slide's lesions are.

    Returns
    -------
    Judged
        The figures.
    """
    kinds = truth.patch_labels(result.grid)
    evidence = result.evidence[:, result.target]
    attention = result.attention.mean(axis=0)
    clean, easy, hard = kinds == 0, kinds == KINDS["easy"], kinds == KINDS["hard"]
    shown = hard_instances(result).index
    right = float(hard[shown].sum())
    nan = float("nan")
    return Judged(
        score=result.score,
        n_easy=int(easy.sum()),
        n_hard=int(hard.sum()),
        attention_auc=rank_auc(attention[~clean], attention[clean]),
        evidence_auc=rank_auc(evidence[~clean], evidence[clean]),
        hard_attention_auc=rank_auc(attention[hard], attention[clean]),
        hard_evidence_auc=rank_auc(evidence[hard], evidence[clean]),
        # no ring is no claim, so it has no precision; what it misses counts in the recall
        precision=right / len(shown) if hard.any() and len(shown) else nan,
        recall=right / float(hard.sum()) if hard.any() else nan,
        easy_hidden=float(result.mask[easy].mean()) if easy.any() else nan,
        hard_hidden=float(result.mask[hard].mean()) if hard.any() else nan,
        rings=float(len(shown)) if clean.all() else nan,
    )


def rank_auc(positive: NDArray, negative: NDArray) -> float:
    """Give the share of (positive, negative) pairs in order, ties half; NaN without pairs."""
    if not len(positive) or not len(negative):
        return float("nan")
    pairs = positive[:, None] - negative[None]
    return float((pairs > 0).mean() + 0.5 * (pairs == 0).mean())


Statistic = Callable[[Sequence[Judged]], float]
"""One figure of one model on several slides; NaN where it is not defined."""


def slide_auc(slides: Sequence[Judged], hard_only: bool = False) -> float:
    """Rank slides with lesions (or with hard ones only) against slides without.

    Parameters
    ----------
    slides : sequence of Judged
        One model's slides.
    hard_only : bool
        Whether slides with easy lesions are left out.

    Returns
    -------
    float
        Area under the ROC curve.
    """
    scores = np.array([slide.score for slide in slides])
    groups = np.array([slide.group for slide in slides])
    positive = groups == 1 if hard_only else groups > 0
    return rank_auc(scores[positive], scores[groups == 0])


def mean_of(name: str) -> Statistic:
    """Make the statistic that averages a field of ``Judged`` where it is defined."""

    def mean(slides: Sequence[Judged]) -> float:
        values = np.array([getattr(slide, name) for slide in slides])
        values = values[~np.isnan(values)]
        return float(values.mean()) if len(values) else float("nan")

    return mean


STATISTICS: dict[str, Statistic] = {
    "slide AUC": slide_auc,
    "slide AUC, hard lesions only": lambda slides: slide_auc(slides, hard_only=True),
    "patch AUC, attention": mean_of("attention_auc"),
    "patch AUC, evidence": mean_of("evidence_auc"),
    "  hard patches, attention": mean_of("hard_attention_auc"),
    "  hard patches, evidence": mean_of("hard_evidence_auc"),
    "hard set, precision": mean_of("precision"),
    "hard set, recall": mean_of("recall"),
    "mask hides of the easy": mean_of("easy_hidden"),
    "mask hides of the hard": mean_of("hard_hidden"),
    "rings on a normal slide": mean_of("rings"),
}
"""Figures of the report, in its order; all but the first two are means over slides."""


def draw(slides: Sequence[Judged], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw slides with replacement, each kind of slide for itself.

    Parameters
    ----------
    slides : sequence of Judged
        What is drawn from.
    rng : Generator
        Where chance comes from.

    Returns
    -------
    ndarray, shape (len(slides),), int64
        Positions; as many of each ``group`` as there are.
    """
    groups = np.array([slide.group for slide in slides])
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    return np.concatenate([rng.choice(found, len(found)) for found in members])


def figures(slides: Sequence[Judged]) -> dict[str, Interval]:
    """Give every statistic of one model with its interval over slides.

    Parameters
    ----------
    slides : sequence of Judged
        One model's held-out slides.

    Returns
    -------
    dict of str to Interval
        By the names of ``STATISTICS``; bootstrap, seeded; n counts the slides.
    """
    rng = np.random.default_rng(0)
    samples = [[slides[i] for i in draw(slides, rng)] for _ in range(RESAMPLES)]
    found = {}
    for name, statistic in STATISTICS.items():
        value = statistic(slides)
        drawn = np.array([statistic(sample) for sample in samples])
        low, high = (
            np.nanquantile(drawn, [0.025, 0.975]) if value == value else (value, value)
        )
        reason = "" if value == value else "there is no such slide"
        found[name] = Interval(value, float(low), float(high), len(slides), reason)
    return found


def report(columns: Mapping[str, Mapping[str, Interval]]) -> str:
    """Lay figures of several models out side by side.

    Parameters
    ----------
    columns : mapping of str to mapping
        Model's name and its :func:`figures`.

    Returns
    -------
    str
        A table of plain text, one line a figure: value and 95 % interval.
    """
    head = " " * WIDTH + "".join(name.ljust(WIDTH) for name in columns)
    lines = [head.rstrip()]
    for name in STATISTICS:
        cells = [_cell(column[name]).ljust(WIDTH) for column in columns.values()]
        lines.append((name.ljust(WIDTH) + "".join(cells)).rstrip())
    return "\n".join(lines)


def _cell(found: Interval) -> str:
    if found.reason:
        return f"– ({found.reason})"
    return f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"
