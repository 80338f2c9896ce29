"""How one reads: who, label before score, names hidden; and how far readers agree."""

from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from napari_mhim.errors import MhimError
from napari_mhim.plugin import slides_words as words
from napari_mhim.plugin.state.agreements import agreements
from napari_mhim.plugin.widgets.text import button, label
from napari_mhim.plugin.worklist import Worklist


class ReadingCard(QWidget):  # type: ignore[misc]
    """Reader, *Read first*, hidden names, agreement, keys.

    Parameters
    ----------
    worklist : Worklist
        The list at work.
    """

    def __init__(self, worklist: Worklist) -> None:
        super().__init__()
        self._worklist, self._list = worklist, worklist.list
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 0, 0, 0)
        column.setSpacing(4)
        row = QHBoxLayout()
        row.addWidget(QLabel("Reader"))
        self.reader = QLineEdit()
        self.reader.setPlaceholderText("your name or initials")
        self.reader.setToolTip("Kept with each label. Another name is a second reader.")
        self.reader.editingFinished.connect(self._name_reader)
        row.addWidget(self.reader, 1)
        column.addLayout(row)
        self.reads_first = QCheckBox("Read first: label before score")
        self.reads_first.setToolTip(words.READ_FIRST)
        self.reads_first.toggled.connect(self._read_first)
        self.hides_names = QCheckBox("Hide names")
        self.hides_names.setToolTip(words.HIDE_NAMES)
        self.hides_names.toggled.connect(self._hide_names)
        for box in (self.reads_first, self.hides_names):
            column.addWidget(box)
        self.agreement = label(small=True)
        self.agreement.setToolTip(words.AGREEMENT)
        column.addWidget(self.agreement)
        self.save = button(
            "Save labels as table …",
            words.SAVE,
            self._ask_where,
        )
        column.addWidget(self.save)
        keys = " · ".join(f"<b>{key}</b> {what}" for key, what in words.KEYS)
        column.addWidget(label(f"Keys: {keys}", small=True))
        events = self._list.events
        for signal in (events.reader, events.reads_first, events.hides_names):
            signal.connect(self.refresh, max_args=0)
        for signal in (events.touches, events.version):
            signal.connect(self._tell, max_args=0)
        self.refresh()

    def release(self) -> None:
        """Stop listening: the list outlives a section that is closed for good."""
        events = self._list.events
        for signal in (events.reader, events.reads_first, events.hides_names):
            signal.disconnect(self.refresh)
        for signal in (events.touches, events.version):
            signal.disconnect(self._tell)

    def refresh(self) -> None:
        """Show what the list says."""
        slides = self._list
        self.reader.setText(slides.reader)
        for box, is_on in (
            (self.reads_first, slides.reads_first),
            (self.hides_names, slides.hides_names),
        ):
            box.blockSignals(True)
            box.setChecked(is_on)
            box.blockSignals(False)
        self._tell()

    def showEvent(self, event: object) -> None:
        """Count agreement when it is looked at."""
        super().showEvent(event)
        self._tell()

    def save_table(self, path: str) -> None:
        """Write the list with the reader's labels; what is wrong with that is told."""
        try:
            self._worklist.save_table(path)
        except MhimError as err:
            self._worklist.desk.state.tell(err)

    def _tell(self) -> None:
        slides = self._list
        reason = "" if len(slides) else "Open a folder or a table first."
        if slides.hides_names:
            reason = "A table holds names: show them first."
        self.save.setEnabled(not reason)
        self.save.setToolTip(reason or words.SAVE)
        # resampling takes some ms: only where somebody looks
        if self.isVisible():
            self.agreement.setText(words.agreements(agreements(slides)))

    def _name_reader(self) -> None:
        if self.reader.text().strip() != self._list.reader:
            self._list.reader = self.reader.text().strip()
            self._list.arrange()

    def _read_first(self, is_on: bool) -> None:
        self._list.reads_first = is_on
        self._list.arrange()

    def _hide_names(self, is_on: bool) -> None:
        self._list.hides_names = is_on

    def _ask_where(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save labels as a table", "cohort.csv", "Tables (*.csv)"
        )
        if path:
            self.save_table(path)
