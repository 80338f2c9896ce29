"""Which readers agree with each other and with the model, on the slides of the list."""

from itertools import combinations

from napari_mhim.mil.agreement import Agreement, agreement
from napari_mhim.plugin.state.worklist import WorklistState

NAMELESS = "reader without a name"
"""What a reader is called who gave no name."""


def agreements(state: WorklistState) -> list[tuple[str, str, Agreement, bool]]:
    """Compare readers pair by pair, and each, and what was adjudicated, with the model.

    Labels given before the score was seen count where there are any, since a label given
    in its view is no independent one. With *Read first*, only slides that the reader at
    the desk has labelled are compared: the figures must not tell of others.

    Parameters
    ----------
    state : WorklistState
        The list.

    Returns
    -------
    list of (first, second, Agreement, is_blind)
        Pairs with a slide in common; ``is_blind`` tells that no label that counts was
        given with a score in view.
    """
    rows = [row for row in range(len(state)) if not state.is_withheld(row)]
    readers = state.log.readers()
    said = {reader: _labels(state, reader, rows) for reader in readers}
    calls = [state.call(row) for row in rows]
    found = []
    for first, second in combinations(readers, 2):
        one = agreement(said[first][0], said[second][0], state.classes)
        is_blind = said[first][1] and said[second][1]
        found.append((first or NAMELESS, second or NAMELESS, one, is_blind))
    for reader in readers:
        one = agreement(said[reader][0], calls, state.classes)
        found.append((reader or NAMELESS, "model", one, said[reader][1]))
    settled = [state.adjudication(row) for row in rows]
    one = agreement([s.value if s else "" for s in settled], calls, state.classes)
    is_blind = not any(s.revealed for s in settled if s)
    found.append(("adjudicated", "model", one, is_blind))
    return [entry for entry in found if entry[2].kappa.n + entry[2].left_out]


def _labels(
    state: WorklistState, reader: str, rows: list[int]
) -> tuple[list[str], bool]:
    labels, is_blind = [], True
    for row in rows:
        slide = state.rows[row].slide
        blind = state.log.blind_label(slide, reader)
        label = blind or state.log.label(slide, reader)
        is_blind &= bool(blind) or not label
        labels.append(label)
    return labels, is_blind
