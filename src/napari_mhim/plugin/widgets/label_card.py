"""The reader's label of the slide on screen, the reviewed tick and the note."""

from functools import partial

from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
)

from napari_mhim.plugin import slides_words as words
from napari_mhim.plugin.labelling import Labelling
from napari_mhim.plugin.state.labels import NOT_ASSESSABLE, UNCERTAIN
from napari_mhim.plugin.widgets.adjudicate import Adjudicate
from napari_mhim.plugin.widgets.text import boxed, button, label
from napari_mhim.plugin.worklist import Worklist

_ACROSS = 3


class LabelCard(QFrame):  # type: ignore[misc]
    """A button for each class, and what else the reader says of a slide.

    Parameters
    ----------
    worklist : Worklist
        The list at work.
    labelling : Labelling
        What the buttons do.
    """

    def __init__(self, worklist: Worklist, labelling: Labelling) -> None:
        super().__init__()
        self._labelling, self._list = labelling, worklist.list
        boxed(self)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 5, 8, 5)
        column.setSpacing(4)
        self.heading = label()
        column.addWidget(self.heading)
        self.buttons: dict[str, QPushButton] = {}
        self._group = QButtonGroup(self)
        self._group.setExclusive(False)
        self._grid = QGridLayout()
        self._grid.setSpacing(3)
        column.addLayout(self._grid)
        self.adjudicate = Adjudicate(self._list, labelling)
        column.addWidget(self.adjudicate)
        column.addLayout(self._review_row())
        self.seen = label(small=True)
        self.seen.setToolTip("Kept for each slide and reader in the workspace.")
        column.addWidget(self.seen)
        for signal in (
            *(self._list.events.touches, self._list.events.current),
            *(self._list.events.version, self._list.events.reader),
        ):
            signal.connect(self.refresh, max_args=0)
        self._list.events.live_seen.connect(self._show_seen, max_args=0)
        self.refresh()

    def refresh(self) -> None:
        """Show what the list says."""
        slides, row = self._list, self._list.current
        wanted = slides.choices()
        if tuple(self.buttons)[:-1] != wanted:
            self._make_buttons(wanted)
        self.heading.setText(words.yours(slides))
        own = "" if row < 0 else slides.own_label(row)
        for name, one in self.buttons.items():
            one.setEnabled(row >= 0 and (bool(name) or bool(own)))
            one.setChecked(bool(name) and name == own)
        slide = "" if row < 0 else slides.rows[row].slide
        for widget in (self.reviewed, self.note):
            widget.setEnabled(row >= 0)
        self.reviewed.blockSignals(True)
        self.reviewed.setChecked(
            bool(slide) and slides.log.is_reviewed(slide, slides.reader)
        )
        self.reviewed.blockSignals(False)
        if not self.note.hasFocus():
            self.note.setText(slides.log.note(slide, slides.reader) if slide else "")
        self.adjudicate.refresh()
        self._show_seen()

    def _show_seen(self) -> None:
        seen = words.seen(self._list)
        self.seen.setVisible(bool(seen))
        self.seen.setText(seen)

    def _review_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        self.reviewed = QCheckBox("Reviewed (research)")
        self.reviewed.setToolTip("Mark as reviewed (research). Key: Alt+R.")
        self.reviewed.toggled.connect(self._labelling.review)
        self.note = QLineEdit()
        self.note.setPlaceholderText("Note")
        self.note.setToolTip("Kept in the workspace, with your name and the time.")
        self.note.editingFinished.connect(
            lambda: self._labelling.note(self.note.text())
        )
        row.addWidget(self.reviewed)
        row.addWidget(self.note, 1)
        return row

    def _make_buttons(self, wanted: tuple[str, ...]) -> None:
        for one in self.buttons.values():
            self._grid.removeWidget(one)
            one.hide()
            one.deleteLater()
        self.buttons = {}
        for place, name in enumerate((*wanted, "")):
            key, tip = _key_of(name, place)
            made = button(
                f"{key} {name or 'clear'}".strip(),
                tip,
                partial(self._labelling.label, name),
            )
            made.setCheckable(bool(name))
            made.setStyleSheet("font-size: 11px; padding: 2px;")
            self.buttons[name] = made
            self._grid.addWidget(made, place // _ACROSS, place % _ACROSS)


def _key_of(name: str, place: int) -> tuple[str, str]:
    """Give the key of a label, to be pressed with Alt, and what it does."""
    if not name:
        return "⌫", "Take your label back; the history keeps it. Key: Alt+Backspace."
    if name == UNCERTAIN:
        return "0", "You cannot tell. Never trained on. Key: Alt+0."
    if name == NOT_ASSESSABLE:
        return "N", "The slide cannot be judged. Never trained on. Key: Alt+N."
    key = str(place + 1) if place < 9 else ""
    with_alt = f" Key: Alt+{key}." if key else ""
    return key, f"Label the slide on screen {name!r}.{with_alt}"
