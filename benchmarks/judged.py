"""What arms of a model found on held-out slides, and how sure each figure is."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_mhim.demo.figures import rank_auc

RESAMPLES = 1000
"""Bootstrap samples behind an interval."""
SPECIFICITY = 0.95
"""Share of normal slides that stay below the cut-off of a sensitivity."""


@dataclass(frozen=True)
class Seen:
    """One model on one held-out slide."""

    model: str
    arm: str
    replicate: int
    """Seed of the training."""
    part: str
    """Cohort, or seed and fold: scores are compared within it only."""
    slide: str
    group: int
    """0 without the class, 1 with it in hard form only, 2 in easy form too."""
    score: float
    """Probability of the class of interest."""
    figures: Mapping[str, float]
    """What is defined on this slide, by name."""
    mask_ratio_high: float
    """Share that the mask hides."""


def read_seen(path: Path) -> list[Seen]:
    """Read what an earlier call left; an arm that was cut off on its way is dropped."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        return []
    text = path.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return [Seen(**json.loads(line)) for line in lines]


Statistic = Callable[[Sequence[Seen]], float]
"""One figure of one arm on the slides of one part; NaN where it is not defined."""


def slide_auc(slides: Sequence[Seen], hard_only: bool = False) -> float:
    """Rank slides with the class (or with its hard form only) against those without."""
    scores, groups = _scores(slides)
    positive = groups == 1 if hard_only else groups > 0
    return rank_auc(scores[positive], scores[groups == 0])


def sensitivity(slides: Sequence[Seen]) -> float:
    """Give the share of hard-only slides above the cut-off that 95 % of normal ones keep to.

    Parameters
    ----------
    slides : sequence of Seen
        Slides of one part.

    Returns
    -------
    float
        The share; NaN without hard-only or normal slides.
    """
    scores, groups = _scores(slides)
    normal, hard = scores[groups == 0], scores[groups == 1]
    if not len(normal) or not len(hard):
        return float("nan")
    # the least cut-off that is high enough: of 19 normal slides or fewer none may pass
    cutoff = np.quantile(normal, SPECIFICITY, method="higher")
    return float((hard > cutoff).mean())


def mean_of(name: str, group: int | None = None) -> Statistic:
    """Make the statistic that averages a figure over the slides that have it."""

    def mean(slides: Sequence[Seen]) -> float:
        values = [
            one.figures[name]
            for one in slides
            if name in one.figures and group in (None, one.group)
        ]
        return float(np.mean(values)) if values else float("nan")

    return mean


SIGNALS = ("attention", "evidence", "contribution", "teacher")
STATISTICS: dict[str, Statistic] = {
    "slide AUC": slide_auc,
    "slide AUC, hard only": lambda slides: slide_auc(slides, hard_only=True),
    "sensitivity at .95, hard only": sensitivity,
    **{f"patches, {name}": mean_of(f"{name}, all") for name in SIGNALS},
    **{f"hard patches, {name}": mean_of(f"{name}, hard") for name in SIGNALS},
    "hard set, precision": mean_of("precision"),
    "hard set, recall": mean_of("recall"),
    "hard set, by chance": mean_of("chance"),
    "mask hides of the easy": mean_of("easy hidden"),
    "mask hides of the hard": mean_of("hard hidden"),
    "rings on a normal slide": mean_of("rings"),
}
"""Figures of the table, in its order."""


def table(
    seen: Sequence[Seen], against: str, draw_parts: bool, resamples: int = RESAMPLES
) -> list[str]:
    """Give two tables in Markdown: every arm's figures, and what they gain over one arm.

    Parameters
    ----------
    seen : sequence of Seen
        One model's, all arms; parts that an arm lacks are left out of all.
    against : str
        Arm that the others are compared with.
    draw_parts : bool
        Whether parts are resampled, too: cohorts are, folds of one data set are not.
    resamples : int
        Bootstrap samples.

    Returns
    -------
    list of str
        The lines.
    """
    by_arm: dict[str, dict[str, list[Seen]]] = {}
    for one in seen:
        by_arm.setdefault(one.arm, {}).setdefault(one.part, []).append(one)
    parts = sorted(set.intersection(*(set(found) for found in by_arm.values())))
    first = next(iter(by_arm))
    samples = draws([by_arm[first][part] for part in parts], draw_parts, resamples)
    slides = [one for part in parts for one in by_arm[first][part]]
    counts = np.bincount([one.group for one in slides], minlength=3)
    lines = [
        f"{len(parts)} parts, held out: {counts[0]} without the class, {counts[1]} with "
        f"the hard form only, {counts[2]} with the easy form",
        "",
    ]
    values = {
        name: {
            arm: _sampled(statistic, [found[part] for part in parts], samples)
            for arm, found in by_arm.items()
        }
        for name, statistic in STATISTICS.items()
    }
    lines += _markdown("", values, list(by_arm), None)
    if against in by_arm:
        others = [arm for arm in by_arm if arm != against]
        lines += ["", *_markdown(f"minus {against}", values, others, against)]
    return [*lines, "", *_each_part(by_arm, parts)]


def _each_part(
    by_arm: Mapping[str, Mapping[str, list[Seen]]], parts: Sequence[str]
) -> list[str]:
    """Give the slide AUC of every part, that of hard-only slides after it."""
    lines = [f"| slide AUC | {' | '.join(by_arm)} |", "|---" * (len(by_arm) + 1) + "|"]
    for part in parts:
        cells = []
        for found in by_arm.values():
            every, hard = slide_auc(found[part]), slide_auc(found[part], hard_only=True)
            cells.append(f"{every:.2f}" + (f", {hard:.2f}" if hard == hard else ""))
        lines.append(f"| {part} | {' | '.join(cells)} |")
    return lines


def _markdown(
    title: str,
    values: Mapping[str, Mapping[str, np.ndarray]],
    arms: Sequence[str],
    against: str | None,
) -> list[str]:
    lines = [f"| {title} | {' | '.join(arms)} |", "|---" * (len(arms) + 1) + "|"]
    for name, by_arm in values.items():
        if all(np.isnan(by_arm[arm][0]) for arm in arms):
            continue
        cells = [
            _cell(by_arm[arm], "{:.2f}")
            if against is None
            else _cell(by_arm[arm] - by_arm[against], "{:+.2f}")
            for arm in arms
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


Draw = list[tuple[int, np.ndarray]]
"""A sample: parts, and which slides of each."""


def draws(
    parts: Sequence[Sequence[Seen]], draw_parts: bool, resamples: int
) -> list[Draw]:
    """Give samples of slides, the first of them the set itself.

    Parameters
    ----------
    parts : sequence of sequences of Seen
        Slides of each part.
    draw_parts : bool
        Whether parts are drawn first.
    resamples : int
        Samples to draw, each kind of slide for itself.

    Returns
    -------
    list of Draw
        ``1 + resamples`` of them.
    """
    rng = np.random.default_rng(0)
    groups = [np.array([one.group for one in part]) for part in parts]
    names = [tuple(one.slide for one in part) for part in parts]
    found = [[(i, np.arange(len(part))) for i, part in enumerate(parts)]]
    for _ in range(resamples):
        chosen = range(len(parts))
        if draw_parts:
            chosen = rng.integers(0, len(parts), len(parts))
        # a fold trained with several seeds is one set of slides: it is drawn once
        drawn: dict[tuple[str, ...], np.ndarray] = {}
        sample = []
        for i in chosen:
            key = names[i] if not draw_parts else (*names[i], str(len(sample)))
            if key not in drawn:
                drawn[key] = _redraw(groups[i], rng)
            sample.append((int(i), drawn[key]))
        found.append(sample)
    return found


def _redraw(groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    return np.concatenate([rng.choice(some, len(some)) for some in members])


def _sampled(
    statistic: Statistic, parts: Sequence[Sequence[Seen]], samples: Sequence[Draw]
) -> np.ndarray:
    """Give the statistic of each sample, a mean over its parts, shape (samples,)."""
    means = np.full(len(samples), np.nan)
    for row, sample in enumerate(samples):
        values = [statistic([parts[i][j] for j in at]) for i, at in sample]
        known = [value for value in values if value == value]
        if known:
            means[row] = np.mean(known)
    return means


def _cell(sample: np.ndarray, form: str) -> str:
    if np.isnan(sample[0]):
        return "–"
    low, high = np.nanquantile(sample[1:], [0.025, 0.975])
    value, low, high = (form.format(each) for each in (sample[0], low, high))
    return f"{value} ({low} to {high})"


def _scores(slides: Sequence[Seen]) -> tuple[np.ndarray, np.ndarray]:
    return (
        np.array([one.score for one in slides]),
        np.array([one.group for one in slides]),
    )
