"""The keys the dock binds in the viewer while it is open."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QKeyEvent, QKeySequence
from qtpy.QtWidgets import QShortcut, QWidget

from napari_mhim.plugin.canvas import Canvas
from napari_mhim.plugin.flying import magnify
from napari_mhim.plugin.labelling import Labelling
from napari_mhim.plugin.overlays import (
    ATTENTION,
    EVIDENCE,
    HARD,
    HIDDEN,
    SLIDE,
    TRUTH,
)
from napari_mhim.plugin.state.labels import NOT_ASSESSABLE
from napari_mhim.plugin.words import NO_SCALE
from napari_mhim.plugin.worklist import Worklist

Act = tuple[str, Callable[[], object]]
"""What a key does in words, for napari's list of keys, and what it calls."""
MAGNIFICATIONS = {"F5": 5, "F6": 10, "F7": 20, "F8": 40}
LAYER_KEYS = {
    **{"Alt-E": EVIDENCE, "Alt-A": ATTENTION, "Alt-M": HIDDEN},
    **{"Alt-K": HARD, "Alt-T": TRUTH},
}


class HelpKeepsOff(QObject):  # type: ignore[misc]
    """Lets Alt+H reach the viewer: napari's *Help* menu would open on it.

    Only the window that holds the dock is watched, and only this one key.
    """

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Claim Alt+H before the menu bar's shortcut does."""
        if event.type() != QEvent.Type.ShortcutOverride:
            return False
        pressed = _as_key_event(event)
        is_ours = (
            pressed is not None
            and pressed.key() == Qt.Key.Key_H
            and pressed.modifiers() == Qt.KeyboardModifier.AltModifier
        )
        if is_ours:
            event.accept()
        return bool(is_ours)


def _as_key_event(event: QEvent) -> QKeyEvent | None:
    """Give the event as what it is; None where that cannot be told.

    PyQt hands out the wrapper of a mouse event that is long gone, if somebody still holds
    it and the new event lies at the same address.
    """
    if isinstance(event, QKeyEvent):
        return event
    try:
        from qtpy import sip
    except ImportError:  # PySide
        return None
    return sip.wrapinstance(sip.unwrapinstance(event), QKeyEvent)


def bind(viewer: Any, canvas: Canvas, next_ring: Any, previous_ring: Any) -> list[str]:
    """Bind the dock's keys; each says in napari's list of keys what it does.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    canvas : Canvas
        What the keys act on.
    next_ring, previous_ring : callable
        What *N* and *Shift+N* do.

    Returns
    -------
    list of str
        The keys, for :func:`unbind`.
    """

    def next_patch(viewer: Any) -> None:
        """Fly to the next hard patch."""
        next_ring()

    def previous_patch(viewer: Any) -> None:
        """Fly to the hard patch before."""
        previous_ring()

    def overlays_off(viewer: Any) -> Iterator[None]:
        """Hide the overlays while the key is held."""
        canvas.hold_overlays_off()
        yield
        canvas.let_overlays_back()

    keys: dict[str, Callable[[Any], Any]] = {
        "N": next_patch,
        "Shift-N": previous_patch,
        "Alt-H": overlays_off,
    }
    for key, act in keys.items():
        viewer.bind_key(key, act, overwrite=True)
    return list(keys)


def looking(canvas: Canvas) -> dict[str, Act]:
    """Give the keys of magnification and layers: what each does in words, and what it calls."""
    acts: dict[str, Act] = {"F9": ("Show the whole slide.", canvas.look_at_all)}
    for key, times in MAGNIFICATIONS.items():
        what = f"Look at the slide at {times}×."
        acts[key] = what, partial(_magnify, canvas, times)
    for key, part in LAYER_KEYS.items():
        acts[key] = f"Show or hide the layer: {part}.", partial(_toggle, canvas, part)
    return acts


def _magnify(canvas: Canvas, times: int) -> None:
    slide = canvas.layers().get(SLIDE)
    if slide is not None and not magnify(canvas.viewer, slide, times):
        canvas.state.problem = NO_SCALE


def _toggle(canvas: Canvas, part: str) -> None:
    layer = canvas.layers().get(part)
    if layer is not None:
        layer.visible = not layer.visible


def bind_list(
    viewer: Any,
    dock: QWidget,
    worklist: Worklist,
    labelling: Labelling,
    more: Mapping[str, Act],
) -> list[str]:
    """Bind the keys of the list: in the viewer, and where the dock has the focus.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    dock : QWidget
        The dock; its shortcuts go with it.
    worklist, labelling : Worklist, Labelling
        What the keys act on.
    more : mapping of str to (str, callable)
        Further keys, what each does in words, and what it calls.

    Returns
    -------
    list of str
        The viewer's keys, for :func:`unbind`.
    """
    acts: dict[str, Act] = {
        "Alt-PageDown": ("Open the next slide.", lambda: worklist.step(1)),
        "Alt-PageUp": ("Open the slide before.", lambda: worklist.step(-1)),
        "Alt-Backspace": ("Take the label back.", lambda: labelling.label("")),
        "Alt-N": ("Not assessable.", lambda: labelling.label(NOT_ASSESSABLE)),
        "Alt-Return": ("Run the model on the slide.", worklist.desk.runs.predict),
        "Alt-C": ("Cancel the job.", worklist.desk.runs.cancel),
        "Alt-R": ("Mark as reviewed, or not.", labelling.toggle_reviewed),
    }
    for number in range(10):
        what = f"Label: class {number}." if number else "Label: uncertain."
        acts[f"Alt-{number}"] = (what, partial(labelling.label_number, number))
    acts |= more
    for key, (what, act) in acts.items():
        viewer.bind_key(key, _for_viewer(act, what), overwrite=True)
        # a table or a field that has the focus keeps keys from the viewer
        shortcut = QShortcut(QKeySequence(_for_qt(key)), dock)
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        shortcut.activated.connect(act)
    return list(acts)


def _for_viewer(act: Callable[[], object], what: str) -> Callable[[Any], None]:
    def run(viewer: Any) -> None:
        act()

    run.__doc__ = what  # napari's list of keys shows it
    return run


def _for_qt(key: str) -> str:
    names = {"PageDown": "PgDown", "PageUp": "PgUp"}
    return "+".join(names.get(part, part) for part in key.split("-"))


def unbind(viewer: Any, keys: list[str]) -> None:
    """Take the dock's keys away again."""
    for key in keys:
        viewer.bind_key(key, None)
