"""What readers differ on for the slide on screen, and the label that settles it."""

from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_mhim.plugin import slides_words as words
from napari_mhim.plugin.labelling import Labelling
from napari_mhim.plugin.state.adjudication import why_not
from napari_mhim.plugin.state.worklist import WorklistState
from napari_mhim.plugin.widgets.text import label

_NONE = "not settled"


class Adjudicate(QWidget):  # type: ignore[misc]
    """There only where readers differ, or did.

    Parameters
    ----------
    slides : WorklistState
        The list.
    labelling : Labelling
        What the choice does.
    """

    def __init__(self, slides: WorklistState, labelling: Labelling) -> None:
        super().__init__()
        self._list, self._labelling = slides, labelling
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 2, 0, 0)
        column.setSpacing(2)
        self.told = label()
        column.addWidget(self.told)
        row = QHBoxLayout()
        row.addWidget(QLabel("Adjudicated"))
        self.choice = QComboBox()
        self.choice.activated.connect(self._choose)
        row.addWidget(self.choice, 1)
        column.addLayout(row)

    def refresh(self) -> None:
        """Show what the list says."""
        slides, row = self._list, self._list.current
        told = words.to_settle(slides)
        self.setVisible(bool(told))
        if not told:
            return
        self.told.setText(told)
        reason = why_not(slides, row)
        self.choice.setEnabled(reason is None)
        self.choice.setToolTip(reason or words.ADJUDICATE)
        wanted = (_NONE, *slides.choices())
        if tuple(map(self.choice.itemText, range(self.choice.count()))) != wanted:
            self.choice.clear()
            self.choice.addItems(wanted)
        # "activated" is the user's choice alone: this is not heard
        self.choice.setCurrentText(slides.adjudicated(row) or _NONE)

    def ask(self) -> None:
        """Open the choice, where there is one; else say why there is none."""
        reason = why_not(self._list, self._list.current)
        if reason is not None or not self.isVisible():
            self._labelling.noted.emit(reason or words.ADJUDICATE)
            return
        self.choice.setFocus()
        self.choice.showPopup()

    def _choose(self, place: int) -> None:
        self._labelling.adjudicate(self.choice.itemText(place) if place else "")
        self.refresh()
