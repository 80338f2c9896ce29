"""What is said of one patch: its caption in the gallery, and its figures in the inspector."""

from html import escape

from napari_mhim.plugin import words
from napari_mhim.plugin.state.gallery import SORTS, Figures, GalleryState
from napari_mhim.plugin.state.progress import number

PATCHES = (
    "Patches of this slide, by what the model made of them. Click selects, double-click "
    "or Enter flies there, arrow keys step through."
)
NO_PATCH = "Point at a patch on the slide, or click one."
"""Stands in the inspector while there is nothing to tell."""
DOCK_CLOSED = "The MHIM dock was closed. Open it again, and then this gallery."
"""Stands in the wide gallery when there is nothing left to show."""
NONE_SHOWN = "No patch is left: lower the least evidence, or show another kind."
PERCENTILE = (
    "Rank within this slide. There is always a highest patch, also on a normal slide."
)
CONTRIBUTION = "Attention (× mean) times evidence: this patch's push on the score."
STUDENT = "1: the student weighs this patch most. The student gives the score."


def caption(figures: Figures, row: int, sort: str) -> tuple[str, str]:
    """Give the two short lines below a thumbnail: evidence, and what is sorted by.

    Parameters
    ----------
    figures : Figures
        Of the slide.
    row : int
        The patch.
    sort : str
        One of ``SORTS``.

    Returns
    -------
    tuple of str
        Plain text.
    """
    second = {
        "percentile": f"percentile {figures.percentile[row]:.1f}",
        "contribution": f"push {_signed(_contribution(figures, row))}",
        "teacher": f"{'teacher' if _has_teacher(figures) else 'own'} rank "
        f"{number(int(figures.teacher_rank[row]))}",
        "student": f"student rank {number(int(figures.student_rank[row]))}",
    }
    # a thumbnail is narrow
    attention = f"{_times(figures, row).replace('below', '<')} × mean"
    return f"evidence {_signed(figures.evidence[row])}", second.get(sort, attention)


def badge(figures: Figures, row: int) -> str:
    """Give what is written on a thumbnail: its ring, or that it is hidden; else ""."""
    ring = figures.ring(row)
    if ring >= 0:
        return f"ring {ring + 1}"
    return "hidden" if figures.result.mask[row] else ""


def lines(figures: Figures, row: int) -> list[tuple[str, str, str]]:
    """Give the figures of a patch, as the inspector shows them.

    Parameters
    ----------
    figures : Figures
        Of the slide.
    row : int
        The patch.

    Returns
    -------
    list of (name, value, tip)
        Value and tip are rich text. As many lines for every patch of a result.
    """
    result = figures.result
    name = escape(result.classes[result.target])
    push = f"{_signed(_contribution(figures, row))} ({result.evidence_kind} sum)"
    who, tip = _whose(figures)
    return [
        ("attention", f"{_times(figures, row)} × mean", words.ATTENTION),
        ("percentile", f"{figures.percentile[row]:.1f} in slide", PERCENTILE),
        ("evidence", _per_class(figures, row), words.evidence(name)),
        ("contribution", push, f"{CONTRIBUTION} {words.sum_kind(result)}"),
        ("in training", _hidden(figures, row), words.hidden(result)),
        (who, _of(figures.teacher_rank[row], figures), tip),
        ("student's rank", _of(figures.student_rank[row], figures), STUDENT),
    ]


def heading(figures: Figures, row: int, is_hovered: bool) -> str:
    """Say which patch the figures are of."""
    cell_row, cell_col = figures.result.grid.cells[row].tolist()
    whose = "under the mouse" if is_hovered else "selected"
    return (
        f"<b>Patch {number(row + 1)}</b> · row {cell_row + 1}, column {cell_col + 1} "
        f"({whose})"
    )


def count(state: GalleryState) -> str:
    """Say how many patches the gallery shows, of how many, and in which order."""
    if state.figures is None:
        return ""
    if not len(state.rows):
        return NONE_SHOWN
    way = ", the other way round" if state.is_reversed else ""
    drawn = f", drawn with seed {state.seed}" if state.kind == "random" else ""
    place = state.place_of(state.current)
    at = "" if place < 0 else f" Selected: {number(place + 1)}."
    return (
        f"{number(len(state.rows))} of {number(len(state.figures))} patches{drawn}, by "
        f"{SORTS[state.sort]}{way}.{at}"
    )


def _has_teacher(figures: Figures) -> bool:
    return figures.result.score_source == "teacher"


def _whose(figures: Figures) -> tuple[str, str]:
    if _has_teacher(figures):
        return "teacher's rank", "1: the patch the teacher finds easiest."
    return "own rank", "This model has no teacher: 1 is first by its own scores."


def _contribution(figures: Figures, row: int) -> float:
    return float(figures.contribution[row, figures.result.target])


def _per_class(figures: Figures, row: int) -> str:
    result = figures.result
    # the class of interest first: the others are read against it
    order = sorted(range(len(result.classes)), key=lambda c: c != result.target)
    return " · ".join(
        f"{escape(result.classes[c])} {_signed(result.evidence[row, c])}" for c in order
    )


def _hidden(figures: Figures, row: int) -> str:
    if figures.result.mask[row]:
        return "would be hidden"
    ring = figures.ring(row)
    return "not hidden" if ring < 0 else f"not hidden: hard patch, ring {ring + 1}"


def _of(rank: int, figures: Figures) -> str:
    return f"{number(int(rank))} of {number(len(figures))}"


def _times(figures: Figures, row: int) -> str:
    value = float(figures.attention[row])
    if value < 0.01:
        return "below 0.01"
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}"


def _signed(value: float) -> str:
    return f"{float(value):+.2f}".replace("-", "−")
