"""A wall of thumbnails: only what is seen is laid out, painted and read.

Qt's own list view lays all its items out, which takes a second for 200 000 of them.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QPoint,
    QRect,
    QSize,
    Qt,
    QTimer,
    Signal,
)
from qtpy.QtGui import QColor, QImage, QPainter, QPen, QRegion
from qtpy.QtWidgets import QAbstractItemView, QSizePolicy, QWidget

from napari_mhim.plugin import patch_words
from napari_mhim.plugin.palette import EVIDENCE_MAP, RING_IN_VIEW_COLOUR
from napari_mhim.plugin.state.gallery import GalleryState
from napari_mhim.plugin.thumbnails import Thumbnails

_LEAST_THUMB = 86
_GAP = 5
_STRIP = 4
"""Height of the strip of evidence colour below a thumbnail."""
_FONT_PX = 11
_BELOW = 4  # room for the frame of the current patch
_POLL_MS = 40
_GLASS = QColor(215, 215, 215)


class PatchModel(QAbstractListModel):  # type: ignore[misc]
    """The patches of a gallery in its order; rows are places, not rows of the bag.

    Parameters
    ----------
    state : GalleryState
        What is shown.
    """

    def __init__(self, state: GalleryState, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._state = state
        self._rows = state.rows
        state.events.version.connect(self._refresh, max_args=0)

    def release(self) -> None:
        """Stop listening to the state."""
        self._state.events.version.disconnect(self._refresh)

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Count the patches shown."""
        return 0 if parent.isValid() else len(self._rows)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Give caption, tip or, as ``UserRole``, the patch's row in the bag."""
        figures = self._state.figures
        if figures is None or not 0 <= index.row() < len(self._rows):
            return None
        row = int(self._rows[index.row()])
        if role == Qt.ItemDataRole.UserRole:
            return row
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return "\n".join(patch_words.caption(figures, row, self._state.sort))
        if role == Qt.ItemDataRole.ToolTipRole:
            found = patch_words.lines(figures, row)
            said = [f"{name}: <b>{value}</b>" for name, value, _ in found]
            return "<br>".join([f"Patch {row + 1}", *said])
        return None

    def _refresh(self) -> None:
        self.beginResetModel()
        self._rows = self._state.rows
        self.endResetModel()


class Wall(QAbstractItemView):  # type: ignore[misc]
    """Thumbnails in as many columns as fit, scrolled by pixels.

    Parameters
    ----------
    state : GalleryState
        What is shown; the wall makes the patch selected the current one.
    thumbnails : Thumbnails
        Where pictures come from.
    """

    flown = Signal()
    """The current patch was double-clicked, or Enter was pressed on it."""
    stepped = Signal()
    """Another patch became current by the keyboard."""

    def __init__(self, state: GalleryState, thumbnails: Thumbnails) -> None:
        super().__init__()
        self._state, self._thumbnails = state, thumbnails
        self.setModel(PatchModel(state, self))
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName("Gallery of patches")
        font = self.font()
        font.setPixelSize(_FONT_PX)
        self.setFont(font)
        self.doubleClicked.connect(self.flown)
        self._poll = QTimer(self)
        self._poll.setInterval(_POLL_MS)
        self._poll.timeout.connect(self._show_fresh)
        state.events.version.connect(self._follow, max_args=0)
        state.events.current.connect(self._follow, max_args=0)

    def release(self) -> None:
        """Stop listening to the state, and reading."""
        self._poll.stop()
        self.model().release()
        self._state.events.version.disconnect(self._follow)
        self._state.events.current.disconnect(self._follow)

    # what Qt asks of a view of items

    def columns(self) -> int:
        """Count the patches side by side."""
        return max(1, int(self.viewport().width()) // (_LEAST_THUMB + 2 * _GAP))

    def cell(self) -> QSize:
        """Give the room of one patch: thumbnail, strip and two lines; columns fill the wall."""
        lines = 2 * self.fontMetrics().height()
        width = self.viewport().width() // self.columns()
        return QSize(width, width + _STRIP + lines)

    def visualRect(self, index: QModelIndex) -> QRect:
        """Give where an item is, in the viewport."""
        if not index.isValid():
            return QRect()
        cell = self.cell()
        line, column = divmod(index.row(), self.columns())
        top = line * cell.height() - self.verticalOffset()
        return QRect(QPoint(self._margin() + column * cell.width(), top), cell)

    def indexAt(self, point: QPoint) -> QModelIndex:
        """Give the item at a place of the viewport."""
        cell, columns = self.cell(), self.columns()
        column = (point.x() - self._margin()) // cell.width()
        line = (point.y() + self.verticalOffset()) // cell.height()
        place = line * columns + column
        if not (0 <= column < columns and 0 <= place < self.model().rowCount()):
            return QModelIndex()
        return self.model().index(place, 0)

    def scrollTo(self, index: QModelIndex, hint: Any = None) -> None:
        """Scroll as little as makes an item visible."""
        rect, bar = self.visualRect(index), self.verticalScrollBar()
        if not index.isValid():
            return
        if rect.top() < 0:
            bar.setValue(bar.value() + rect.top())
        elif rect.bottom() > self.viewport().height():
            bar.setValue(bar.value() + rect.bottom() - self.viewport().height())

    def moveCursor(self, action: Any, modifiers: Any) -> QModelIndex:
        """Give where a key leads: one patch on, a line, a page, an end."""
        last, columns = self.model().rowCount() - 1, self.columns()
        if last < 0:
            return QModelIndex()
        page = columns * max(1, self.viewport().height() // self.cell().height())
        actions = QAbstractItemView.CursorAction
        steps = {
            actions.MoveLeft: -1,
            actions.MovePrevious: -1,
            actions.MoveRight: 1,
            actions.MoveNext: 1,
            actions.MoveUp: -columns,
            actions.MoveDown: columns,
            actions.MovePageUp: -page,
            actions.MovePageDown: page,
            actions.MoveHome: -last,
            actions.MoveEnd: last,
        }
        now = self.currentIndex().row()
        to = 0 if now < 0 else now + steps.get(action, 0)
        # a line further than the last is the same place, not the last patch
        if action in (actions.MoveUp, actions.MoveDown) and not 0 <= to <= last:
            to = max(now, 0)
        return self.model().index(min(max(to, 0), last), 0)

    def horizontalOffset(self) -> int:
        """Give 0: nothing is scrolled sideways."""
        return 0

    def verticalOffset(self) -> int:
        """Give how far down the wall is scrolled, in pixels."""
        return int(self.verticalScrollBar().value())

    def isIndexHidden(self, index: QModelIndex) -> bool:
        """Give False: all are shown."""
        return False

    def setSelection(self, rect: QRect, command: Any) -> None:
        """Select the item at a rectangle's corner."""
        index = self.indexAt(rect.topLeft())
        if index.isValid():
            self.selectionModel().select(index, command)

    def visualRegionForSelection(self, selection: Any) -> QRegion:
        """Give where selected items are."""
        region = QRegion()
        for index in selection.indexes():
            region += QRegion(self.visualRect(index))
        return region

    def updateGeometries(self) -> None:
        """Fit the scroll bar to what there is."""
        lines = -(-self.model().rowCount() // self.columns())
        height, cell = self.viewport().height(), self.cell().height()
        bar = self.verticalScrollBar()
        bar.setPageStep(height)
        bar.setSingleStep(max(1, cell // 4))
        bar.setRange(0, max(0, lines * cell - height))
        super().updateGeometries()

    def scrollContentsBy(self, dx: int, dy: int) -> None:
        """Paint what has come into view."""
        self.viewport().update()

    def resizeEvent(self, event: Any) -> None:
        """Lay out anew, and keep the current patch in sight."""
        super().resizeEvent(event)
        self.updateGeometries()
        self.scrollTo(self.currentIndex())

    def currentChanged(self, current: QModelIndex, previous: QModelIndex) -> None:
        """Make what is selected the current patch."""
        super().currentChanged(current, previous)
        row = self.model().data(current, Qt.ItemDataRole.UserRole)
        if row is not None:
            self._state.current = row

    def keyPressEvent(self, event: Any) -> None:
        """Fly on Enter; step on arrows."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.flown.emit()
            return
        before = self._state.current
        super().keyPressEvent(event)
        if self._state.current != before:
            self.stepped.emit()

    def paintEvent(self, event: Any) -> None:
        """Paint the visible patches, and ask for the pictures that are missing."""
        painter = QPainter(self.viewport())
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        rows = self.visible_rows()
        for place, row in rows:
            self._paint(painter, self.visualRect(self.model().index(place, 0)), row)
        painter.end()
        self._thumbnails.want([row for _, row in rows])
        if self._thumbnails.is_reading and not self._poll.isActive():
            self._poll.start()

    def visible_rows(self) -> list[tuple[int, int]]:
        """Give place in the gallery and row of the bag of each visible patch."""
        columns, cell = self.columns(), self.cell().height()
        first = self.verticalOffset() // cell * columns
        lines = self.viewport().height() // cell + 2
        shown: NDArray[np.int64] = self._state.rows[first : first + lines * columns]
        return list(enumerate(shown.tolist(), start=first))

    def _paint(self, painter: QPainter, rect: QRect, row: int) -> None:
        figures = self._state.figures
        if figures is None:
            return
        at = rect.topLeft() + QPoint(_GAP, _GAP)
        side = rect.width() - 2 * _GAP
        box = QRect(at, QSize(side, side))
        self._paint_picture(painter, box, row)
        limit = float(figures.result.evidence_limits[figures.result.target])
        push = float(figures.contribution[row, figures.result.target])
        share = min(max((push / limit + 1) / 2, 0.0), 1.0)
        strip = QRect(box.left(), box.bottom() + 1, side, _STRIP)
        red, green, blue, alpha = EVIDENCE_MAP.at(share).tolist()
        painter.fillRect(strip, QColor(255, 255, 255))
        painter.fillRect(strip, QColor.fromRgbF(red, green, blue, alpha))
        self._paint_badge(painter, box, patch_words.badge(figures, row))
        painter.setPen(self.palette().text().color())
        height = self.fontMetrics().height()
        for line, text in enumerate(
            patch_words.caption(figures, row, self._state.sort)
        ):
            top = strip.bottom() + _BELOW + line * height
            room = QRect(rect.left() + 1, top, rect.width() - 2, height)
            painter.drawText(room, Qt.AlignmentFlag.AlignCenter, text)
        if row == self._state.current:
            painter.setPen(QPen(QColor(RING_IN_VIEW_COLOUR), 3))
            painter.drawRect(box.adjusted(-2, -2, 1, 1 + _STRIP))

    def _paint_picture(self, painter: QPainter, box: QRect, row: int) -> None:
        picture = self._thumbnails.picture(row)
        if picture is None:
            painter.fillRect(box, _GLASS)
            return
        height, width = picture.shape[:2]
        form = QImage.Format.Format_RGB888
        image = QImage(picture.data, width, height, 3 * width, form)
        # a patch that is not square keeps its shape
        size = QSize(width, height).scaled(
            box.size(), Qt.AspectRatioMode.KeepAspectRatio
        )
        target = QRect(QPoint(0, 0), size)
        target.moveCenter(box.center())
        painter.drawImage(target, image)

    def _paint_badge(self, painter: QPainter, box: QRect, text: str) -> None:
        if not text:
            return
        room = self.fontMetrics().boundingRect(text).size() + QSize(8, 2)
        pill = QRect(box.topLeft() + QPoint(2, 2), room)
        is_ring = text.startswith("ring")
        painter.fillRect(pill, QColor(0, 0, 0) if is_ring else QColor(89, 89, 89))
        painter.setPen(QColor(255, 255, 255))
        painter.drawText(pill, Qt.AlignmentFlag.AlignCenter, text)

    def _margin(self) -> int:
        used = self.columns() * self.cell().width()
        return max(0, int(self.viewport().width() - used) // 2)

    def _show_fresh(self) -> None:
        if self._thumbnails.take_fresh():
            self.viewport().update()
        elif not self._thumbnails.is_reading:
            self._poll.stop()

    def _follow(self) -> None:
        """Select what the state says is current, where it is shown."""
        place = self._state.place_of(self._state.current)
        index = self.model().index(place, 0) if place >= 0 else QModelIndex()
        if index != self.currentIndex():
            self.setCurrentIndex(index)
        if place >= 0:
            self.scrollTo(index)
        self.viewport().update()
