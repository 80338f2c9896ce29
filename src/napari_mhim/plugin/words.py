"""The words on screen, in one place: what is said of a score, and what is never said.

A score is not a probability of disease, "below the cut-off" is not "negative", and
attention is not evidence. Texts with ``<b>`` and ``<i>`` are rich text; names that come
from files are escaped.
"""

from html import escape

from napari_mhim.export import words as paper
from napari_mhim.mil.result import SlideResult

Named = tuple[str, SlideResult]
"""What a result is called, and the result."""

BANNER = paper.NOTICE
"""Stands on every tab."""
SCORE = paper.SCORE
"""Below every score."""
ATTENTION, HARD, ROLES = paper.ATTENTION, paper.HARD, paper.ROLES

NO_RESULT = (
    "No result yet. Run a model in <b>Analyse</b>, or try a slide of "
    "<i>File → Open Sample</i>."
)
HELD_BACK = (
    "Read first: label the slide (<b>Alt+1…9</b>, or in <b>Slides</b>); its score and "
    "overlays come then."
)
"""Stands in the Review tab while a result waits for the reader's label."""

NO_MPP = "No µm: this slide does not say its micrometres per pixel."
"""The badge of a slide in pixels."""

TISSUE = (
    "What is looked at on this slide, and what is left out of it, as shares of the slide. "
    "Saved with the slide; the next run uses it."
)
METHOD = (
    "What training would hide at other ratios, and the score of the patches that are "
    "left. It is a mask of training, seen at inference: nothing was hidden for the score "
    "above."
)
WHAT_IF = (
    "Mark an area, and see the score without it, or with nothing else. It shows what the "
    "model uses, not what caused the disease."
)
COMPARE = (
    "The same slide by another model, on the same patches: one after the other in the same "
    "colours, side by side, or the difference."
)
DIFFERENCE = (
    "Where B pushes the score more (+) or less (−) than A. Each model has a scale of its "
    "own: the pattern counts, not the number."
)
REPORT = (
    "Files of this result to keep or to pass on. They are no pathology report; areas left "
    "out are listed with their reasons, and the score without them."
)
TRUTH = "Where the made slide really holds a lesion. Only made slides know this."
SLIDE = "The slide itself."

SHORT_ROLES = {
    "train": "training slide",
    "val": "validation slide",
    "test": "held-out slide",
    "unknown": "role unknown",
    "not in the cohort": "held-out slide",
}
"""The same in the header."""

NO_SCALE = "The slide does not say its µm per pixel: give them in Analyse, then 10× has a meaning."
KEYS = (
    ("N", "next patch (ring)"),
    ("Shift+N", "previous patch (ring)"),
    ("Alt+→ / ←", "next / previous patch of the gallery"),
    ("Alt+H", "hold: overlays off"),
    ("Alt+E / A / M / K / T", "evidence / attention / mask / rings / truth on or off"),
    ("F5 / F6 / F7 / F8", "5× / 10× / 20× / 40×"),
    ("F9", "whole slide"),
    ("Alt+D / B / Z / X", "what if: draw / paint / undo / exclude"),
    ("Alt+Return", "run the model"),
    ("Alt+C", "cancel the job"),
)
"""What the dock binds in the viewer."""


def evidence(name: str) -> str:
    """Say what the evidence layer of a class shows."""
    return paper.evidence(_italic(name))


def hidden(result: SlideResult) -> str:
    """Say what "hidden by teacher" means on this slide; rich text."""
    return escape(paper.hidden(result), quote=False)


def sum_kind(result: SlideResult) -> str:
    """Say whether the evidence of all patches adds up to the score."""
    return paper.sum_kind(result)


def no_rings(name: str) -> str:
    """Say that a slide has no hard patch for a class."""
    return paper.no_rings(_italic(name))


def score_line(result: SlideResult) -> str:
    """Say a slide's score, as the score card does.

    Parameters
    ----------
    result : SlideResult
        What the model saw.

    Returns
    -------
    str
        Rich text: score, cut-off and where it was set, role, calibration.
    """
    line = paper.score_line(result, _bold, _italic)
    if result.excluding is None or result.excluded is None:
        return line
    return (
        f"{line} Without the {int(result.excluded.sum())} patches in excluded areas: "
        f"{result.excluding[result.target]:.2f}."
    )


def other_scores(result: SlideResult) -> str:
    """Give the scores of all classes where there are more than two, else ""."""
    if len(result.classes) <= 2:
        return ""
    pairs = zip(result.classes, result.probabilities, strict=True)
    return " · ".join(f"{escape(name)} {value:.2f}" for name, value in pairs)


def comparison(shown: str, first: Named, second: Named) -> str:
    """Say both scores beside each other.

    Parameters
    ----------
    shown : str
        Name of the one whose evidence is on the slide.
    first, second : tuple of str and SlideResult
        What each is called, and what it saw.

    Returns
    -------
    str
        Rich text.
    """
    return (
        f"Shown: <b>{escape(shown)}</b>. {_both_scores(first, second)}. Same colours for "
        "both."
    )


def difference(first: Named, second: Named) -> str:
    """Say what the difference of two models' evidence shows, and both scores; rich text."""
    return (
        "Shown: <b>B − A</b>: orange where B pushes more, blue where A does. "
        f"{_both_scores(first, second)}."
    )


def who_is_right(first: Named, second: Named, has_it: bool) -> str:
    """Say which of two models comes to the truth of a made slide.

    Parameters
    ----------
    first, second : tuple of str and SlideResult
        What each is called, and what it saw.
    has_it : bool
        Whether the slide holds a lesion.

    Returns
    -------
    str
        One sentence, "" where one of them has no cut-off.
    """
    if first[1].cutoff is None or second[1].cutoff is None:
        return ""
    pair = (first, second)
    right = [escape(name) for name, one in pair if is_above(one) == has_it]
    wrong = [escape(name) for name, one in pair if is_above(one) != has_it]
    truth = "This made slide holds" + (" a lesion" if has_it else " no lesion")
    if not wrong:
        return f"{truth}: both are right."
    if not right:
        return f"{truth}: both are wrong."
    return f"{truth}: <b>{right[0]} is right, {wrong[0]} is wrong here.</b>"


def disagreement(first: Named, second: Named) -> str:
    """Say whether two models come to the same side of their cut-offs, "" without one."""
    (one, a), (other, b) = first, second
    if a.cutoff is None or b.cutoff is None:
        return ""
    if is_above(a) == is_above(b):
        return "Both come to the same side of their cut-offs."
    above, below = (one, other) if is_above(a) else (other, one)
    return (
        f"<b>They disagree</b>: {escape(above)} is above its cut-off, {escape(below)} "
        "below. Neither is the truth."
    )


def beside(name: str, result: SlideResult) -> str:
    """Say whose result a second window shows, plain text."""
    target = result.classes[result.target]
    return (
        f"{name}. {paper.capital(target)}: score {result.score:.2f}{_side(result)}. The same "
        f"colours as in the first window; the two move together. {BANNER}"
    )


def is_above(result: SlideResult) -> bool:
    """Tell whether a score reaches its cut-off; there must be one."""
    assert result.cutoff is not None
    return result.score >= result.cutoff.value


def what_if(
    result: SlideResult, score: float | None, n_patches: int, keeps_only: bool
) -> str:
    """Say the score without a marked area, or with nothing else.

    Parameters
    ----------
    result : SlideResult
        What the model saw of the whole slide.
    score : float or None
        Score without the area (or with it alone); None while it is worked out.
    n_patches : int
        Patches in the area.
    keeps_only : bool
        Whether the area is all that was kept.

    Returns
    -------
    str
        Rich text.
    """
    how = "with only" if keeps_only else "without"
    plural = "" if n_patches == 1 else "es"
    change = _change(result.score, score)
    return (
        f"Score {how} the marked area ({n_patches} patch{plural}): {change}. "
        "Shows what the model uses, not what caused the disease."
    )


def _change(before: float, after: float | None) -> str:
    """Say both scores with as many digits as tell them apart, four at most."""
    if after is None:
        return f"{before:.2f} → pending"
    apart = (n for n in (2, 3, 4) if f"{before:.{n}f}" != f"{after:.{n}f}")
    digits = next(apart, 2)
    step = f"{after - before:+.{digits}f}".replace("-", "−")
    if abs(after - before) < 0.5e-4:
        step = "changes by less than 0.0001"
    return f"<b>{before:.{digits}f} → {after:.{digits}f}</b> ({step})"


def excluded(result: SlideResult, n_areas: int, score: float | None) -> str:
    """Say what leaving areas out for good comes to; the original score comes first.

    Parameters
    ----------
    result : SlideResult
        What the model saw of the whole slide.
    n_areas : int
        Areas left out.
    score : float or None
        Score without them; None while it is worked out.

    Returns
    -------
    str
        Rich text.
    """
    left = _change(result.score, score)
    areas = "1 area" if n_areas == 1 else f"{n_areas} areas"
    return (
        f"Original score → with {areas} excluded: {left}. "
        "Excluded areas are left out of training, too."
    )


def inside(labels: dict[str, int]) -> str:
    """Say how many rings lie in which lesions: ``{"hard": 11, "easy": 2, "none": 7}``."""
    return "Rings inside: " + ", ".join(f"{k} {n}" for k, n in labels.items()) + "."


def time_left(seconds: float | None) -> str:
    """Say how long a job will still take, "" when nobody knows.

    Parameters
    ----------
    seconds : float or None
        Estimate.

    Returns
    -------
    str
        For instance ``"about 4 min left"``.
    """
    if seconds is None:
        return ""
    return f"about {duration(seconds)} left"


def duration(seconds: float) -> str:
    """Give a duration in one unit a person would use: ``"40 s"``, ``"4 min"``, ``"2.5 h"``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def memory(mib: float) -> str:
    """Say how much memory is held.

    Parameters
    ----------
    mib : float
        In MiB.

    Returns
    -------
    str
        ``"812 MiB"`` or ``"1.2 GiB"``.
    """
    return f"{mib:.0f} MiB" if mib < 1000 else f"{mib / 1024:.1f} GiB"


def _bold(name: str) -> str:
    return f"<b>{escape(name)}</b>"


def _italic(name: str) -> str:
    return f"<i>{escape(name)}</i>"


def _both_scores(first: Named, second: Named) -> str:
    return " · ".join(
        f"{escape(name)} {one.score:.2f}{_side(one)}" for name, one in (first, second)
    )


def _side(result: SlideResult) -> str:
    if result.cutoff is None:
        return ""
    side = "above" if is_above(result) else "below"
    return f" ({side} its cut-off {result.cutoff.value:.2f})"
