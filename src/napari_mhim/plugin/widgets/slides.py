"""The Slides tab: the list with search and filters, the reader's label, the queue."""

from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_mhim.plugin import slides_words as words
from napari_mhim.plugin.as_left import AsLeft
from napari_mhim.plugin.labelling import Labelling
from napari_mhim.plugin.moved import MovedSlides
from napari_mhim.plugin.seen import Seen
from napari_mhim.plugin.slide_pictures import SlidePictures
from napari_mhim.plugin.widgets.label_card import LabelCard
from napari_mhim.plugin.widgets.reading_card import ReadingCard
from napari_mhim.plugin.widgets.section import Section
from napari_mhim.plugin.widgets.slides_table import SlidesTable
from napari_mhim.plugin.widgets.text import button, label
from napari_mhim.plugin.worklist import Worklist

_POLL_MS = 80
_KEEP_MS = 3000
"""How often the desk is written down, where it has changed."""
_LOOK_MS = 250
"""How long after the view has moved it is noted what is in it."""
_PICTURE_PX = 88
_FRAMED = "QToolButton { border: 1px solid rgba(128,128,128,110); padding: 3px 6px; }"


class SlidesTab(QWidget):  # type: ignore[misc]
    """Which slides there are, and what is known of each.

    Parameters
    ----------
    worklist : Worklist
        The list at work.
    """

    def __init__(self, worklist: Worklist) -> None:
        super().__init__()
        self.worklist, self._list = worklist, worklist.list
        self.as_left = AsLeft(worklist)
        self.labelling = Labelling(worklist)
        self.moved = MovedSlides(worklist)
        self.seen = Seen(worklist)
        self._pictures = SlidePictures(_PICTURE_PX)
        column = QVBoxLayout(self)
        column.setSpacing(5)
        column.addLayout(self._open_row())
        self.resume = button(
            "", "Open the list and the slide of last time.", self._resume
        )
        column.addWidget(self.resume)
        self.empty = label(words.EMPTY)
        column.addWidget(self.empty)
        self.found = QWidget()
        column.addWidget(self.found, 1)
        column.addStretch(0)
        inner = QVBoxLayout(self.found)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(5)
        inner.addLayout(self._search_row())
        self.counts = label(small=True)
        inner.addWidget(self.counts)
        self.table = SlidesTable(self._list, self._pictures)
        inner.addWidget(self.table, 1)
        inner.addLayout(self._act_row())
        self.why_not = label(small=True)
        inner.addWidget(self.why_not)
        self.card = LabelCard(worklist, self.labelling)
        inner.addWidget(self.card)
        self.reading = Section(
            "Reading",
            "Who reads, label before score, hidden names, agreement.",
            lambda desk: ReadingCard(worklist),
            worklist.desk,
        )
        column.addWidget(self.reading)
        self._start_timers()
        self._connect()
        self.refresh()

    def release(self) -> None:
        """Stop reading; the dock goes."""
        self.seen.release()
        self._pictures.close()
        self.table.release()
        self.worklist.release()
        self.moved.release()
        self.reading.release()

    def refresh(self) -> None:
        """Show what the list says."""
        has_list = bool(len(self._list))
        self.found.setVisible(has_list)
        self.empty.setVisible(not has_list)
        self.reading.setVisible(has_list)
        left = self.as_left.last
        is_new = not has_list and self.worklist.desk.state.slide is None
        self.resume.setVisible(is_new and bool(left.source or left.slide))
        self.resume.setText(words.resume(left))
        self._count()
        self._say_why_not()

    def _open_row(self) -> QHBoxLayout:
        self.folder = button(
            "Open folder …",
            "List the slides of a folder and of those in it; a folder that holds a "
            "cohort.csv is opened as that table.",
            self._ask_folder,
        )
        self.label_table = button(
            "Open table …",
            "List the slides of a label table: CSV with 'slide' and 'label', and "
            "'path', 'patient', 'role', 'site' where they are known.",
            self._ask_table,
        )
        row = QHBoxLayout()
        row.addWidget(self.folder)
        row.addWidget(self.label_table)
        return row

    def _search_row(self) -> QHBoxLayout:
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search")
        self.search.setClearButtonEnabled(True)
        self.search.setToolTip("Words in name, patient, label or role.")
        self.shows = QComboBox()
        for kind, name in words.FILTER_NAMES.items():
            self.shows.addItem(name, kind)
        self.shows.setToolTip("Which slides are listed. A low score never hides one.")
        self.shows.setMinimumContentsLength(8)
        self.shows.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.by_case = QToolButton()
        self.by_case.setText("Cases")
        self.by_case.setCheckable(True)
        self.by_case.setStyleSheet(_FRAMED)
        self.by_case.setToolTip(
            "Slides below their patients. A patient's score is the largest of the slides'."
        )
        row = QHBoxLayout()
        row.addWidget(self.search, 3)
        row.addWidget(self.shows, 3)
        row.addWidget(self.by_case)
        return row

    def _act_row(self) -> QHBoxLayout:
        self.open = button(
            "Open",
            "Open the selected slide, with its result where there is one. Double-click "
            "or Enter does the same.",
            self._open_selected,
        )
        self.analyse = button(
            "Analyse selected",
            "Run the chosen model on the selected slides, one after another. What is "
            "done stays when you cancel.",
            lambda: self.worklist.queue.analyse(self.table.rows()),
        )
        self.find = button(
            "Find moved slides …",
            "Look in a folder, and all below it, for slides that are not where the list "
            "says: by their content, whatever they are called now.",
            self._ask_where_moved,
        )
        row = QHBoxLayout()
        row.addWidget(self.open)
        row.addWidget(self.analyse)
        row.addWidget(self.find)
        return row

    def _start_timers(self) -> None:
        self._poll = QTimer(self)
        self._poll.setInterval(_POLL_MS)
        self._poll.timeout.connect(self._look)
        self._keep = QTimer(self)
        self._keep.setInterval(_KEEP_MS)
        self._keep.timeout.connect(self.as_left.keep)
        self._keep.timeout.connect(self.seen.keep)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_LOOK_MS)
        self._soon.timeout.connect(self._look_closely)
        # psygnal cannot look at what Qt's own functions take
        self.seen.stirred.connect(self._soon.start, check_nargs=False, max_args=0)
        self._soon.start()
        self._keep.start()

    def _connect(self) -> None:
        events, desk = self._list.events, self.worklist.desk
        events.source.connect(self.refresh, max_args=0)
        events.version.connect(self._renewed, max_args=0)
        events.touches.connect(self._touched, max_args=0)
        events.current.connect(self._show_current, max_args=0)
        for signal in (
            *(desk.state.events.slide, desk.state.events.bundle),
            desk.state.job.events.is_busy,
        ):
            signal.connect(self.refresh, max_args=0)
        self.table.opened.connect(self.worklist.open_row)
        self.table.scrolled.connect(self._want)
        self.table.chosen.connect(self._say_why_not)
        self.search.textChanged.connect(lambda text: self._list.arrange(text=text))
        self.shows.currentIndexChanged.connect(
            lambda *_: self._list.arrange(shows=self.shows.currentData())
        )
        self.by_case.toggled.connect(lambda is_on: self._list.arrange(by_case=is_on))

    def _renewed(self) -> None:
        slides = self._list
        inputs = (self.search, self.shows, self.by_case)
        for widget in inputs:
            widget.blockSignals(True)
        if self.search.text() != slides.text:
            self.search.setText(slides.text)
        self.shows.setCurrentIndex(self.shows.findData(slides.shows))
        self.by_case.setChecked(slides.by_case)
        for widget in inputs:
            widget.blockSignals(False)
        self.refresh()

    def _touched(self) -> None:
        self._count()
        self._poll.start()

    def _count(self) -> None:
        slides = self._list
        self.counts.setText(words.counts(slides))
        is_gone = any(slides.state(row) == "no file" for row in slides.problems)
        self.find.setVisible(is_gone)

    def _say_why_not(self) -> None:
        rows = self.table.rows()
        reason = self.worklist.queue.why_not(rows)
        self.analyse.setEnabled(reason is None)
        self.open.setEnabled(len(rows) == 1)
        n = len(rows)
        ready = f"{n} slide{'' if n == 1 else 's'} selected."
        self.why_not.setText(reason or ready)

    def _show_current(self) -> None:
        if self._list.current >= 0:
            self.table.select(self._list.current)

    def _want(self) -> None:
        rows, slides = self.table.rows_in_view(), self._list
        self._pictures.want(
            [slides.rows[row].path for row in rows if slides.state(row) != "no file"]
        )
        self._poll.start()

    def _look(self) -> None:
        """Take what was read meanwhile; rest when there is nothing more to come."""
        self.worklist.poll()
        fresh = self._pictures.take_fresh()
        if fresh:
            self.worklist.take_pictures(fresh)
        if not (self._pictures.is_busy or self.worklist.is_reading):
            self._poll.stop()

    def _look_closely(self) -> None:
        self.seen.look()
        if self.seen.is_waiting:
            self._soon.start()

    def _open_selected(self) -> None:
        rows = self.table.rows()
        if rows:
            self.worklist.open_row(rows[0])

    def _resume(self) -> None:
        self.as_left.open()

    def _ask_folder(self) -> None:
        self._open_chosen(
            QFileDialog.getExistingDirectory(
                self, "Choose a folder of slides", self._start_folder()
            )
        )

    def _ask_table(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self,
            "Open a label table",
            self._start_folder(),
            "Tables (*.csv *.tsv *.txt)",
        )
        self._open_chosen(path)

    def _ask_where_moved(self) -> None:
        path = QFileDialog.getExistingDirectory(
            self, "Look for moved slides in", self._start_folder()
        )
        if path:
            self.moved.find(path)

    def _open_chosen(self, path: Any) -> None:
        if path:
            self.worklist.open([str(path)])

    def _start_folder(self) -> str:
        return self._list.source or self.as_left.last.source
