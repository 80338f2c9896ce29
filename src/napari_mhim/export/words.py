"""The sentences of what leaves: plain text, the same as on screen.

A score is not a probability of disease, "below the cut-off" is not "negative", and
attention is not evidence.
"""

from collections.abc import Callable

from napari_mhim.mil.result import SlideResult

Mark = Callable[[str], str]
"""Puts a name into a sentence: as it is on paper, escaped and in bold on a screen."""

NOTICE = "Research use only. Not for diagnosis."
"""Stands on every picture, at the head of every table and on every page."""
SCORE = "Model score (0–1). Not the probability that this patient has disease."
"""Below every score."""
ATTENTION = (
    "How much weight the model gave this patch. High weight can speak for or against "
    "a class."
)
PERCENTILE = (
    "Rank within this slide. There is always a highest patch, also on a normal slide."
)
HARD = (
    "Patches the student weighs most among those not hidden. “Hard” is for the training "
    "method: not difficult for you, not wrong, not a finding."
)
WHAT_IF = "Shows what the model uses, not what caused the disease."
ROLES = {
    "train": "Training slide: the model has learnt from it, so its score is flattering.",
    "val": "Validation slide: used to choose the model and its cut-off.",
    "test": "Held-out slide.",
    "unknown": "Not known whether the model was trained on this slide.",
    "not in the cohort": "Held-out slide: not in the model's cohort.",
}
"""What a slide's role in the model means for its score."""


def banner(result: SlideResult) -> str:
    """Give the line at the top of everything: the notice, the model and its version."""
    return f"{NOTICE} Model {result.bundle}, {result.bundle_id}"


def evidence(name: str) -> str:
    """Say what the evidence of a class is."""
    return (
        f"Pushes the score towards (+) or away from (−) {name}. "
        "Colour limits are the same for every slide."
    )


def sum_kind(result: SlideResult) -> str:
    """Say whether the evidence of all patches adds up to the score."""
    if result.evidence_kind == "exact":
        return "Exact sum: the patches' mean is the score before scaling to 0–1."
    return "Approximate: the patches' mean is only near the score."


def hidden(result: SlideResult) -> str:
    """Say what "hidden by teacher" means on this slide."""
    text = (
        f"Would be hidden in training at β_h = {result.mask_ratio_high:.2f}. "
        "Nothing was hidden for the score above."
    )
    if result.score_source != "teacher":
        text += " This model has no teacher: its own scores stand in."
    if found := result.provenance.get("easy share", ""):
        text += f" The share was found in training: {found}."
    return text


def no_rings(name: str) -> str:
    """Say that a slide has no hard patch for a class."""
    return f"No remaining patch supports {name}."


def score_line(result: SlideResult, bold: Mark = str, italic: Mark = str) -> str:
    """Say a slide's score: cut-off and where it was set, role, calibration.

    Parameters
    ----------
    result : SlideResult
        What the model saw.
    bold, italic : callable
        How a screen marks the class's name where it begins the sentence, and later.

    Returns
    -------
    str
        Plain text, but for the marks.
    """
    name = result.classes[result.target]
    calibrated = "Calibrated." if result.calibrated else "Not calibrated."
    return (
        f"{bold(capital(name))}: score {result.score:.2f}{_cutoff(result, italic(name))} "
        f"{ROLES[result.role]} {calibrated}"
    )


def side(result: SlideResult, score: float) -> str:
    """Say on which side of the cut-off a score is, "" where there is none."""
    if result.cutoff is None:
        return ""
    is_above = score >= result.cutoff.value
    return f"{'above' if is_above else 'below'} the cut-off {result.cutoff.value:.2f}"


def below(name: str) -> str:
    """Say what a score below the cut-off does not say."""
    return f"This does not exclude {name}."


def capital(name: str) -> str:
    """Give a name as a sentence begins."""
    return name[:1].upper() + name[1:]


def _cutoff(result: SlideResult, name: str) -> str:
    cutoff = result.cutoff
    if cutoff is None:
        return ". No cut-off is stored with this model."
    kind = {"validation": "validation slide"}.get(cutoff.where, f"{cutoff.where} slide")
    plural = "" if cutoff.n == 1 else "s"
    origin = f"set on {cutoff.n} {kind}{plural}" if cutoff.n else "set by hand"
    if result.score >= cutoff.value:
        return f", above the cut-off {cutoff.value:.2f} ({origin})."
    return f". Below cut-off ({cutoff.value:.2f}, {origin}). {below(name)}"
