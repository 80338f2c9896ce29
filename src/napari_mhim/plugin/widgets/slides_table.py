"""The list of slides as a table: numpy says which line is which slide, Qt draws what is seen."""

from collections import OrderedDict
from typing import Any

import numpy as np
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSize, Qt, Signal
from qtpy.QtGui import QFont, QIcon, QImage, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
)

from napari_mhim.plugin import slides_words as words
from napari_mhim.plugin.slide_pictures import SlidePictures
from napari_mhim.plugin.state.worklist import WorklistState

_PICTURE = QSize(40, 34)
_LINE_PX = 38
_WIDE_FROM_PX = 470
"""In a narrower table patient and role stand below the name."""
_ALL_FROM_PX = 700
"""In a narrower one the other readers' labels are told by a line's tip."""
_WIDTHS = {
    **{"patient": 90, "label": 78, "readers": 170, "adjudicated": 82},
    **{"role": 60, "score": 42, "seen": 48, "state": 62},
}
_MOST_ICONS = 400
_Role = Qt.ItemDataRole


class SlidesModel(QAbstractTableModel):  # type: ignore[misc]
    """The list as Qt asks for it.

    Parameters
    ----------
    state : WorklistState
        The list.
    pictures : SlidePictures
        Pictures of slides.
    """

    def __init__(self, state: WorklistState, pictures: SlidePictures) -> None:
        super().__init__()
        self._state, self._pictures = state, pictures
        self._icons: OrderedDict[str, QIcon] = OrderedDict()
        self._lines = state.lines
        self.is_wide = False
        self._bold = QFont()
        self._bold.setBold(True)

    def line(self, index: int) -> int:
        """Give what a line shows: a slide's row, or ``-1 - case``."""
        return int(self._lines[index])

    def lines_of(self, rows: list[int]) -> list[int]:
        """Give the lines that show these slides."""
        found: list[int] = np.flatnonzero(np.isin(self._lines, rows)).tolist()
        return found

    def renew(self) -> None:
        """Show other lines, or in another order."""
        self.beginResetModel()
        self._lines = self._state.lines
        self.endResetModel()

    def touch(self, rows: list[int]) -> None:
        """Draw some slides anew, and the lines of patients."""
        if not len(self._lines):
            return
        lines = self.lines_of(rows) if len(rows) < 50 else []
        first, last = (lines[0], lines[-1]) if lines else (0, len(self._lines) - 1)
        # a patient's line stands above the slides: its score may have changed, too
        first = 0 if self._state.by_case else first
        self.dataChanged.emit(
            self.index(first, 0), self.index(last, len(words.COLUMNS) - 1)
        )

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Count the lines."""
        return 0 if parent is not None and parent.isValid() else len(self._lines)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Count the columns."""
        return 0 if parent is not None and parent.isValid() else len(words.COLUMNS)

    def headerData(
        self, section: int, orientation: Any, role: int = _Role.DisplayRole
    ) -> Any:
        """Give a column's heading and tip."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == _Role.DisplayRole:
            return words.HEADINGS[section]
        return words.HEADING_TIPS[section] if role == _Role.ToolTipRole else None

    def data(self, index: QModelIndex, role: int = _Role.DisplayRole) -> Any:
        """Give what a cell shows."""
        line, column = self.line(index.row()), words.COLUMNS[index.column()]
        if line < 0:
            return self._case_data(-1 - line, column, role)
        if role == _Role.DisplayRole:
            if column == "slide" and not self.is_wide:
                return words.two_lines(self._state, line)
            return words.cell(self._state, line, column)
        if role == _Role.DecorationRole and column == "slide":
            return self._icon(self._state.rows[line].path)
        if role == _Role.ToolTipRole:
            return words.tip(self._state, line)
        if role == _Role.FontRole and line == self._state.current:
            return self._bold
        if role == _Role.TextAlignmentRole and column in ("score", "seen"):
            return int(Qt.AlignmentFlag.AlignCenter)
        return None

    def flags(self, index: QModelIndex) -> Any:
        """Let slides be selected; the lines of patients only stand there."""
        if index.isValid() and self.line(index.row()) < 0:
            return Qt.ItemFlag.ItemIsEnabled
        return super().flags(index)

    def sort(
        self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder
    ) -> None:
        """Sort by a column; -1 is the order of the table or folder."""
        name = "" if column < 0 else words.COLUMNS[column]
        is_reversed = bool(name) and order == Qt.SortOrder.DescendingOrder
        if (name, is_reversed) != (self._state.sort, self._state.is_reversed):
            self._state.arrange(sort=name, is_reversed=is_reversed)

    def _case_data(self, case: int, column: str, role: int) -> Any:
        if role == _Role.DisplayRole:
            return words.case_cell(self._state, case, column)
        if role == _Role.TextAlignmentRole and column in ("score", "seen"):
            return int(Qt.AlignmentFlag.AlignCenter)
        return self._bold if role == _Role.FontRole else None

    def _icon(self, path: str) -> QIcon | None:
        if path in self._icons:
            self._icons.move_to_end(path)
            return self._icons[path]
        picture = self._pictures.picture(path)
        if picture is None:
            return None
        height, width, _ = picture.shape
        image = QImage(picture.data, width, height, 3 * width, QImage.Format_RGB888)
        small = QPixmap.fromImage(image).scaled(
            2 * _PICTURE,
            Qt.AspectRatioMode.KeepAspectRatio,
            Qt.TransformationMode.SmoothTransformation,
        )
        icon = QIcon(small)
        # without it Qt tints the picture of a selected line
        icon.addPixmap(small, QIcon.Mode.Selected)
        self._icons[path] = icon
        while len(self._icons) > _MOST_ICONS:
            self._icons.popitem(last=False)
        return self._icons[path]


class _Lines(QStyledItemDelegate):  # type: ignore[misc]
    """Draws a patient's name over the empty cells beside it."""

    def paint(self, painter: Any, option: Any, index: QModelIndex) -> None:
        """Draw one cell."""
        model, table = index.model(), self.parent()
        if index.column() == 0 and model.line(index.row()) < 0:
            option = QStyleOptionViewItem(option)
            end = table.columnViewportPosition(words.COLUMNS.index("score"))
            option.rect.setRight(end - 4)
        super().paint(painter, option, index)


class SlidesTable(QTableView):  # type: ignore[misc]
    """The table: double-click or Enter opens, headings sort.

    Parameters
    ----------
    state : WorklistState
        The list.
    pictures : SlidePictures
        Pictures of slides.
    """

    opened = Signal(int)
    """Emitted with the row of the slide to open."""
    scrolled = Signal()
    """Emitted when other lines are in view."""
    chosen = Signal()
    """Emitted when other slides are selected."""

    def __init__(self, state: WorklistState, pictures: SlidePictures) -> None:
        super().__init__()
        self._state = state
        self.lines = SlidesModel(state, pictures)
        self.setModel(self.lines)
        self._look()
        self.doubleClicked.connect(lambda index: self._open(index.row()))
        self.verticalScrollBar().valueChanged.connect(lambda *_: self.scrolled.emit())
        self.selectionModel().selectionChanged.connect(lambda *_: self.chosen.emit())
        state.events.version.connect(self._renew, max_args=0)
        state.events.touches.connect(self._touch, max_args=0)
        state.events.live_seen.connect(self._touch_current, max_args=0)

    def release(self) -> None:
        """Stop listening: the list outlives the table."""
        self._state.events.version.disconnect(self._renew)
        self._state.events.touches.disconnect(self._touch)
        self._state.events.live_seen.disconnect(self._touch_current)

    def rows(self) -> list[int]:
        """Give the slides selected, from top to bottom."""
        places = sorted(one.row() for one in self.selectionModel().selectedRows())
        lines = [self.lines.line(place) for place in places]
        return [line for line in lines if line >= 0]

    def select(self, row: int) -> None:
        """Select a slide and bring it in view."""
        at = self.lines.lines_of([row])
        if at:
            self.selectRow(at[0])
            self.scrollTo(self.lines.index(at[0], 0))

    def rows_in_view(self) -> list[int]:
        """Give the slides whose lines are seen, and those of a page below."""
        if not self.lines.rowCount():
            return []
        first = max(self.rowAt(0), 0)
        n = self.viewport().height() // _LINE_PX + 2
        last = min(first + 2 * n, self.lines.rowCount())
        lines = [self.lines.line(at) for at in range(first, last)]
        return [line for line in lines if line >= 0]

    def keyPressEvent(self, event: Any) -> None:
        """Open the selected slide on Enter."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._open(self.currentIndex().row())
            return
        super().keyPressEvent(event)

    def resizeEvent(self, event: Any) -> None:
        """Give patient and role columns of their own where there is room."""
        super().resizeEvent(event)
        self.lines.is_wide = self.viewport().width() >= _WIDE_FROM_PX
        has_room = self.viewport().width() >= _ALL_FROM_PX
        for name in ("patient", "role", "seen"):
            self.setColumnHidden(words.COLUMNS.index(name), not self.lines.is_wide)
        for name in ("readers", "adjudicated"):
            self.setColumnHidden(words.COLUMNS.index(name), not has_room)
        self.scrolled.emit()

    def _look(self) -> None:
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.setIconSize(_PICTURE)
        self.setMinimumHeight(170)
        self.verticalHeader().hide()
        # one height for all: Qt would ask each of ten thousand lines for its own
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.verticalHeader().setDefaultSectionSize(_LINE_PX)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setMinimumSectionSize(30)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for name, width in _WIDTHS.items():
            self.setColumnWidth(words.COLUMNS.index(name), width)
        self.setItemDelegate(_Lines(self))
        header.setSortIndicatorClearable(True)
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.setSortingEnabled(True)

    def _open(self, line: int) -> None:
        if 0 <= line < self.lines.rowCount() and self.lines.line(line) >= 0:
            self.opened.emit(self.lines.line(line))

    def _renew(self) -> None:
        selected = self.rows()
        self.lines.renew()
        if not self._state.sort:
            self.horizontalHeader().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        if len(selected) == 1:
            self.select(selected[0])
        self.scrolled.emit()

    def _touch_current(self) -> None:
        if self._state.current >= 0:
            self.lines.touch([self._state.current])

    def _touch(self) -> None:
        self.lines.touch(list(self._state.touched))
