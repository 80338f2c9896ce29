"""The keys the dock binds in the viewer while it is open."""

from collections.abc import Callable, Iterator
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt

from napari_mhim.plugin.canvas import Canvas


class HelpKeepsOff(QObject):  # type: ignore[misc]
    """Lets Alt+H reach the viewer: napari's *Help* menu would open on it.

    Only the window that holds the dock is watched, and only this one key.
    """

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Claim Alt+H before the menu bar's shortcut does."""
        if event.type() != QEvent.Type.ShortcutOverride:
            return False
        is_ours = (
            event.key() == Qt.Key.Key_H
            and event.modifiers() == Qt.KeyboardModifier.AltModifier
        )
        if is_ours:
            event.accept()
        return bool(is_ours)


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


def unbind(viewer: Any, keys: list[str]) -> None:
    """Take the dock's keys away again."""
    for key in keys:
        viewer.bind_key(key, None)
