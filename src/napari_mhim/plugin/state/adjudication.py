"""When a label that settles what readers differ on can be given."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_mhim.plugin.state.worklist import WorklistState


def why_not(state: "WorklistState", row: int) -> str | None:
    """Say why no label can be settled now.

    Parameters
    ----------
    state : WorklistState
        The list.
    row : int
        The slide, -1 for none.

    Returns
    -------
    str or None
        One sentence with the way out; None when it can. What was settled once can be
        changed or taken back, also where readers agree by now.
    """
    if row < 0:
        return "Open a slide of the list first."
    if state.is_withheld(row):
        return "Give your own label first: the others' are withheld until then."
    if not state.reader:
        return "Give your name under Reading first: it is kept with what is settled."
    if not (state.adjudicated(row) or state.readers_differ(row)):
        return "Readers do not differ on this slide: there is nothing to settle."
    return None
