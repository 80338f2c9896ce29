"""The inspector: the figures of the patch under the mouse, or of the current one."""

from typing import Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QFrame, QGridLayout, QLabel, QSizePolicy, QWidget

from napari_mhim.plugin import patch_words
from napari_mhim.plugin.state.gallery import GalleryState
from napari_mhim.plugin.widgets.text import boxed, label

_LAST_LINE = 20
_PAUSE_MS = 25  # a mouse moves more often than anyone reads


class Inspector(QFrame):  # type: ignore[misc]
    """A small table of one patch's figures; each says what it means when pointed at.

    Parameters
    ----------
    state : GalleryState
        Says which patch.
    """

    def __init__(self, state: GalleryState, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._state = state
        boxed(self)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(8, 5, 8, 5)
        self._grid.setVerticalSpacing(1)
        self._grid.setColumnStretch(1, 1)
        # where there is room to spare, the lines stay together
        self._grid.setRowStretch(_LAST_LINE, 1)
        self.heading = label()
        self._grid.addWidget(self.heading, 0, 0, 1, 2)
        self.rows: list[tuple[QLabel, QLabel]] = []
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_PAUSE_MS)
        self._soon.timeout.connect(self.refresh)
        for event in self._events():
            event.connect(self._later, max_args=0)
        self.refresh()

    def release(self) -> None:
        """Stop listening to the state."""
        for event in self._events():
            event.disconnect(self._later)

    def text(self) -> str:
        """Give all that is shown, a line for each figure."""
        shown = [f"{name.text()}: {value.text()}" for name, value in self.rows]
        return "\n".join([self.heading.text(), *shown])

    def refresh(self) -> None:
        """Show the figures of the patch to tell about."""
        state, figures = self._state, self._state.figures
        row = state.inspected
        if figures is None or not 0 <= row < len(figures):
            self.heading.setText(patch_words.NO_PATCH)
            for _, value in self.rows:
                value.setText("–")
            return
        self.heading.setText(
            patch_words.heading(figures, row, is_hovered=state.hovered >= 0)
        )
        found = patch_words.lines(figures, row)
        while len(self.rows) < len(found):
            self._add_row()
        for (name, value), (called, said, tip) in zip(self.rows, found, strict=True):
            name.setText(called)
            value.setText(said)
            for widget in (name, value):
                widget.setToolTip(tip)

    def _events(self) -> list[Any]:
        events = self._state.events
        return [events.hovered, events.current, events.figures]

    def _later(self) -> None:
        if not self._soon.isActive():
            self._soon.start()

    def _add_row(self) -> None:
        name, value = QLabel(), label()
        name.setStyleSheet("font-size: 11px;")
        name.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Minimum)
        value.setStyleSheet("font-size: 11px; font-weight: bold;")
        value.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        at = len(self.rows) + 1
        self._grid.addWidget(name, at, 0, Qt.AlignmentFlag.AlignTop)
        self._grid.addWidget(value, at, 1)
        self.rows.append((name, value))
