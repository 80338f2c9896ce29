"""Which slides of a list are shown, and what they are sorted by."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_mhim.plugin.state.worklist import WorklistState

ALL, UNREAD, DISAGREE, NOT_LOOKED_AT = "all", "unread", "disagree", "not looked at"
TO_SETTLE = "to settle"
FILTERS = (ALL, UNREAD, DISAGREE, TO_SETTLE, NOT_LOOKED_AT)
"""What can be shown. None of them leaves a slide out because its score is low."""
SORTS = (
    *("slide", "patient", "label", "readers", "adjudicated"),
    *("role", "score", "seen", "state"),
)
"""What slides can be sorted by; "" is the order of the table or folder."""
_SORT_STATES = ("failed", "no file", "", "features", "result", "waiting", "running")


def rows(state: "WorklistState") -> NDArray[np.int64]:
    """Give the slides that filter and search leave, in the list's order.

    Parameters
    ----------
    state : WorklistState
        The list.

    Returns
    -------
    ndarray, shape (M,), int64
        Their rows.
    """
    return np.flatnonzero([_is_shown(state, row) for row in range(len(state))])


def keys(
    state: "WorklistState", rows: NDArray[np.int64]
) -> tuple[NDArray, NDArray[np.bool_]]:
    """Give what slides are sorted by.

    Parameters
    ----------
    state : WorklistState
        The list; its ``sort`` says by what.
    rows : ndarray, shape (M,), int64
        The slides.

    Returns
    -------
    tuple of (ndarray of shape (M,), ndarray of shape (M,), bool)
        Numbers or text, and True where there is nothing to sort by.
    """
    listed = rows.tolist()
    if state.sort in ("score", "seen"):
        number = {"score": state.score, "seen": state.seen}[state.sort]
        numbers = np.array([number(row) for row in listed], np.float64)
        return numbers, np.isnan(numbers)
    if state.sort == "state":
        places = [_SORT_STATES.index(state.state(row)) for row in listed]
        return np.array(places, np.int64), np.zeros(len(rows), bool)
    if not state.sort:
        return np.arange(len(rows)), np.zeros(len(rows), bool)
    give = {
        "slide": state.name,
        "patient": state.patient,
        "label": state.label,
        "readers": lambda row: ", ".join(state.other_labels(row).values()),
        "adjudicated": state.adjudicated,
        "role": state.role,
    }[state.sort]
    texts = np.array([give(row).lower() for row in listed], dtype=str)
    return texts, texts == ""


def _is_shown(state: "WorklistState", row: int) -> bool:
    if state.shows == UNREAD and state.own_label(row):
        return False
    if state.shows == DISAGREE and not state.disagrees(row):
        return False
    if state.shows == TO_SETTLE and (
        state.adjudicated(row) or not state.readers_differ(row)
    ):
        return False
    if state.shows == NOT_LOOKED_AT and state.was_looked_at(row):
        return False
    words = (state.name(row), state.patient(row), state.label(row), state.role(row))
    text = " ".join(words).lower()
    return all(part in text for part in state.text.lower().split())
