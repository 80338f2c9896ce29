"""What is said in the Slides tab: cells of the list, counts, labels, agreement."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from napari_mhim.mil.agreement import Agreement
from napari_mhim.plugin.state.memory import Left
from napari_mhim.plugin.state.progress import number
from napari_mhim.plugin.state.worklist import WorklistState
from napari_mhim.plugin.state.worklist_shown import (
    ALL,
    DISAGREE,
    NOT_LOOKED_AT,
    TO_SETTLE,
    UNREAD,
)
from napari_mhim.plugin.worklist_files import Moved

EMPTY = (
    "No list yet. Open a folder of slides or a label table (CSV with <i>slide</i> and "
    "<i>label</i>), or drop slides, folders, tables and models here. For a single slide, "
    "<b>Analyse</b>; for a first look, <i>File → Open Sample</i>."
)
WITHHELD = "Read first: your label, then the score and the overlays."
"""Stands where a score waits for the reader."""
HELD = "•••"
"""The same in a cell."""
DOCK_CLOSED = "The MHIM dock was closed: open it again, and this window from the menu."
"""Stands in the wide list without a dock."""
NOTHING_TO_LABEL = "Open a slide of the list first: a label is of the slide on screen."
READ_FIRST = (
    "Score, overlays and the labels of others wait until your own label is saved. "
    "Labels before and after are both kept."
)
HIDE_NAMES = (
    "Slides are numbers in the list, the header and messages; pictures of the glass "
    "slide's label are never shown."
)
AGREEMENT = (
    "Cohen's kappa: 1 is full agreement, 0 what chance would give. Uncertain and not "
    "assessable are left out."
)
ADJUDICATE = (
    "Settles what readers differ on: training, evaluation and disagreement lists take this "
    "label before a reader's. Kept with your name and the time; the history stays. Key: Alt+J."
)
SAVE = (
    "Write the list as CSV, to train or evaluate on: the adjudicated label, else yours, "
    "else the table's. Its column label_source says which."
)
FILTER_NAMES = {
    ALL: "All slides",
    UNREAD: "Unread: without your label",
    DISAGREE: "Disagree: label, model or readers",
    TO_SETTLE: "To adjudicate: readers differ",
    NOT_LOOKED_AT: "Not looked at: unopened, or never at 10×",
}
COLUMNS = (
    *("slide", "patient", "label", "readers", "adjudicated"),
    *("role", "score", "seen", "state"),
)
HEADINGS = (
    *("Slide", "Patient", "Label", "Other readers", "Adjudicated"),
    *("Role", "Score", "Seen", "State"),
)
HEADING_TIPS = (
    "File name, or a number where names are hidden.",
    "Patient. A patient's score is the largest of the slides'.",
    "The adjudicated label (⚖), else yours (✎), else the table's: the one training takes. "
    "≠: the model or another reader says otherwise.",
    "Labels of the other readers.",
    "Settles what readers differ on, and goes before their labels.",
    "What the slide was for in this model: a training slide's score is flattering.",
    "Model score (0–1). Not the probability that this patient has disease.",
    "Share of the tissue you have had in view at 10× or more.",
    "Features or result of the chosen model; ✓ reviewed.",
)
ROLES = {
    "not in the cohort": "new",
    "unknown": "?",
}
KEYS = (
    ("Alt+1…9", "label: class"),
    ("Alt+0", "uncertain"),
    ("Alt+N", "not assessable"),
    ("Alt+Backspace", "clear label"),
    ("Alt+PgDn / PgUp", "next / previous slide"),
    ("Alt+R", "reviewed"),
    ("Alt+J", "adjudicate"),
)
"""What the dock binds for the list."""


def cell(state: WorklistState, row: int, column: str) -> str:
    """Give the text of a cell.

    Parameters
    ----------
    state : WorklistState
        The list.
    row : int
        The slide.
    column : str
        One of ``COLUMNS``.

    Returns
    -------
    str
        Plain text.
    """
    if column == "slide":
        return state.name(row)
    if column == "patient":
        return state.patient(row)
    if column == "label":
        return _label_cell(state, row)
    if column == "readers":
        others = state.other_labels(row).items()
        return ", ".join(f"{reader or '?'}: {label}" for reader, label in others)
    if column == "adjudicated":
        return state.adjudicated(row)
    if column == "seen":
        return _percent(state.seen(row))
    if column == "role":
        role = state.role(row)
        return ROLES.get(role, role)
    if column == "score":
        return score(state, row)
    slide = state.rows[row].slide
    tick = " ✓" if state.log.is_reviewed(slide, state.reader) else ""
    return f"{state.state(row)}{tick}".strip()


def _label_cell(state: WorklistState, row: int) -> str:
    own, settled = state.own_label(row), state.adjudicated(row)
    text = f"{own} ✎" if own else state.table_label(row)
    text = f"{settled} ⚖" if settled else text
    return f"{text} ≠" if state.disagrees(row) else text


def _percent(share: float) -> str:
    """Give a share as per cent; "" where it is unknown, and 100 only for all of it."""
    return "" if share != share else f"{int(100 * share)} %"


def two_lines(state: WorklistState, row: int) -> str:
    """Give name, and role and patient below it, for a table that is narrow."""
    below = [cell(state, row, "role")]
    if state.seen(row) > 0:
        below.append(f"{_percent(state.seen(row))} seen")
    # where slides stand below their patient, its name is there
    is_other = state.rows[row].patient != state.rows[row].slide
    if is_other and not (state.by_case or state.hides_names):
        below.append(state.patient(row))
    return f"{state.name(row)}\n{' · '.join(part for part in below if part)}".strip()


def score(state: WorklistState, row: int) -> str:
    """Give a slide's score, or that it waits for the label."""
    if state.is_withheld(row):
        return HELD if state.has_result[row] else ""
    value = state.score(row)
    return "" if value != value else f"{value:.2f}"


def case_cell(state: WorklistState, case: int, column: str) -> str:
    """Give the text of a patient's line: name, worst label, largest score."""
    if column == "slide":
        n = int((state.case == case).sum())
        parts = [state.case_name(case), f"{n} slide{'' if n == 1 else 's'}"]
        label = state.case_label(case)
        return " · ".join([*parts, label] if label else parts)
    if column == "score":
        value = state.case_score(case)
        return "" if value != value else f"{value:.2f}"
    return ""


def tip(state: WorklistState, row: int) -> str:
    """Give what is told of a slide when the mouse rests on it, as rich text."""
    one = state.rows[row]
    lines = [f"<b>{escape(state.name(row))}</b>, patient {escape(state.patient(row))}"]
    if not state.hides_names and one.path:
        lines.append(escape(one.path))
    if label := _labels_told(state, row):
        lines.append(label)
    if state.is_withheld(row):
        lines.append(WITHHELD)
    elif row in state.summaries:
        lines.append(model_told(state, row))
    if state.seen(row) == state.seen(row):
        lines.append(f"{_percent(state.seen(row))} of the tissue seen at 10× or more")
    if note := state.log.note(one.slide, state.reader):
        lines.append(f"Note: {escape(note)}")
    if row in state.problems:
        lines.append(escape(problem(state, row)))
    return "<br>".join(lines)


def problem(state: WorklistState, row: int) -> str:
    """Say what is wrong with a slide, "" when nothing is; names as the list shows them."""
    text = state.problems.get(row, "")
    if not text or not state.hides_names:
        return text
    return "the file cannot be used (names are hidden: show them to read why)"


def model_told(state: WorklistState, row: int) -> str:
    """Say what the model makes of a slide, in one line of rich text."""
    found = state.summaries[row]
    name = escape(found.classes[found.target])
    line = f"Model: {name} {found.score:.2f}"
    if found.cutoff is None:
        return line + "."
    side = "above" if found.score >= found.cutoff.value else "below"
    return f"{line}, {side} the cut-off {found.cutoff.value:.2f}."


def counts(state: WorklistState) -> str:
    """Say what the list holds, and how much of it is shown."""
    if not len(state):
        return ""
    n, shown = len(state), int((state.lines >= 0).sum())
    slides = f"{number(n)} slide{'' if n == 1 else 's'}"
    if shown < n:
        slides = f"{number(shown)} of {slides}"
    patients = len(state.patients)
    parts = [f"{slides}, {number(patients)} patient{'' if patients == 1 else 's'}"]
    parts.append(f"{number(int(state.has_result.sum()))} results")
    read = sum(bool(state.own_label(row)) for row in range(n))
    if read:
        parts.append(f"{number(read)} labelled")
    return " · ".join(parts)


def yours(state: WorklistState) -> str:
    """Say whose label is asked for, or what it is; rich text for above the buttons."""
    row = state.current
    if row < 0:
        return "<b>Your label</b> of the slide on screen"
    own = state.own_label(row)
    line = f"<b>Your label</b> of {escape(state.name(row))}: "
    if not own:
        line += "none yet"
    else:
        line += f"<b>{escape(own)}</b>"
    if state.is_withheld(row):
        return f"{line}<br>{WITHHELD}"
    if row in state.summaries:
        line += f"<br>{model_told(state, row)}"
    return line


def seen(state: WorklistState) -> str:
    """Say how much of the slide on screen was looked at closely, "" where unknown."""
    share = float("nan") if state.current < 0 else state.seen(state.current)
    if share != share:
        return ""
    return f"{_percent(share)} of the tissue seen at 10× or more"


def to_settle(state: WorklistState) -> str:
    """Say what readers differ on for the slide on screen, or who settled it, as rich text."""
    row = state.current
    if row < 0 or state.is_withheld(row):
        return ""
    said = state.adjudication(row)
    if said is not None:
        return f"<b>Adjudicated</b> by {escape(said.reader)}, {said.time[:10]}"
    if not state.readers_differ(row):
        return ""
    own = state.own_label(row)
    labels = {**({"you": own} if own else {}), **state.other_labels(row)}
    told = ", ".join(
        f"{escape(reader or 'reader without a name')} {escape(label)}"
        for reader, label in labels.items()
    )
    return f"<b>Readers differ</b>: {told}"


def resume(left: Left) -> str:
    """Say what opening the desk as it was left would open."""
    text = "Open where you left off"
    if left.hides_names:
        return f"{text} (names hidden)"
    names = [Path(one).name for one in (left.slide, left.source) if one]
    return f"{text}: {', '.join(names)}" if names else text


def opened_notes(state: WorklistState) -> list[str]:
    """Say what to know of a list that was just opened, one sentence each."""
    notes = []
    if gone := sum(state.state(row) == "no file" for row in state.problems):
        notes.append(
            f"{number(gone)} of {number(len(state))} slides are not where the list says: "
            "use 'Find moved slides'."
        )
    if state.log.damaged:
        notes.append(
            f"{state.log.damaged} damaged line(s) of labels.jsonl were left out; they "
            "are still in the file."
        )
    return notes


def agreements(found: Sequence[tuple[str, str, Agreement, bool]]) -> str:
    """Say how far judges agree, as rich text.

    Parameters
    ----------
    found : sequence of (first, second, Agreement, is_blind)
        The judges, and whether all labels were given before the score was seen.

    Returns
    -------
    str
        One line for each pair.
    """
    if not found:
        return "Agreement is told once two have judged the same slides."
    lines = []
    for first, second, one, is_blind in found:
        n = one.kappa.n
        line = f"{escape(first)} – {escape(second)}: kappa {one.kappa}"
        if n and one.kappa.value == one.kappa.value:
            line += f", same class on {one.n_same}"
        if one.left_out:
            line += f"; {one.left_out} left out"
        if not is_blind:
            line += ". <i>Some labels were given with the score in view.</i>"
        lines.append(line)
    return "<br>".join(lines)


def moved(found: Sequence[Moved], n_wanted: int) -> str:
    """Say how many moved slides were found, and how sure that is."""
    sure = sum(one.is_sure for one in found)
    text = f"{number(len(found))} of {number(n_wanted)} moved slides found"
    if len(found) > sure:
        text += f"; {len(found) - sure} by name only, since they were never opened here"
    return text + "."


def other_file(name: str) -> str:
    """Say that a result is of another file of the same name."""
    return f"The result of {name!r} is of another file of that name; run the model on this one."


def changed(name: str) -> str:
    """Say that a slide's file is not the one that was opened before."""
    return (
        f"The file of {name!r} is not the one opened under that name before: labels and "
        "notes may be of another slide."
    )


def end_of_list(by: int, n: int) -> str:
    """Say that there is no further slide."""
    if not n:
        return "Open a folder or a table first: there is no list of slides."
    return (
        "This is the last slide shown." if by > 0 else "This is the first slide shown."
    )


def no_such_class(key: int, classes: Sequence[str]) -> str:
    """Say that a key stands for no class."""
    if not classes:
        return "No classes are known: choose a model, or open a table with labels."
    return f"Alt+{key} is no class: there are {len(classes)} ({', '.join(classes)})."


def _labels_told(state: WorklistState, row: int) -> str:
    parts = []
    if own := state.own_label(row):
        last = state.log.last(state.rows[row].slide, state.reader, "label")
        when = "after" if last is not None and last.revealed else "before"
        parts.append(f"You: {escape(own)} ({when} seeing a score)")
    if table := state.table_label(row):
        parts.append(f"Table: {escape(table)}")
    if (said := state.adjudication(row)) is not None:
        parts.append(f"Adjudicated: {escape(said.value)} by {escape(said.reader)}")
    parts += [
        f"{escape(reader or 'reader without a name')}: {escape(label)}"
        for reader, label in state.other_labels(row).items()
    ]
    return " · ".join(parts)
