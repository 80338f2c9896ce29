"""The list of slides in a window of its own, with all its columns; the same list as the dock's."""

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QDockWidget, QVBoxLayout, QWidget

from napari_mhim.plugin import show, slides_words, words
from napari_mhim.plugin.slide_pictures import SlidePictures
from napari_mhim.plugin.widgets.slides_table import SlidesTable
from napari_mhim.plugin.widgets.text import label

if TYPE_CHECKING:
    import napari

_SIZE = (900, 620)
_POLL_MS = 80
_PICTURE_PX = 88


class WideWorklist(QWidget):  # type: ignore[misc]
    """The table with patient and role in columns of their own.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer; the dock is opened in it where it is not there.
    """

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        dock = show.open_dock(getattr(viewer, "__wrapped__", viewer))
        self._list, self._has_floated = dock.desk.slides, False
        self._pictures: SlidePictures | None = SlidePictures(_PICTURE_PX)
        self.counts = label()
        self.table = SlidesTable(self._list, self._pictures)
        self.table.opened.connect(dock.worklist.open_row)
        self.table.scrolled.connect(self._want)
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 4, 4, 4)
        column.addWidget(label(words.BANNER, small=True))
        column.addWidget(self.counts)
        column.addWidget(self.table, 1)
        self._poll = QTimer(self)
        self._poll.setInterval(_POLL_MS)
        self._poll.timeout.connect(self._look)
        events = self._list.events
        for signal in (events.version, events.touches):
            signal.connect(self._count, max_args=0)
        dock.destroyed.connect(self._dock_closed)
        self._count()

    def release(self) -> None:
        """Stop reading and listening; a second call does nothing."""
        if self._pictures is None:
            return
        self._poll.stop()
        self._pictures.close()
        self._pictures = None
        self.table.release()
        events = self._list.events
        for signal in (events.version, events.touches):
            signal.disconnect(self._count)

    def showEvent(self, event: Any) -> None:
        """Float at first: beside the dock there is no room for it."""
        super().showEvent(event)
        if not self._has_floated:
            self._has_floated = True
            QTimer.singleShot(0, self._float)

    def changeEvent(self, event: Any) -> None:
        """Go for good when napari takes the widget out: it only forgets it."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.release()
            self.deleteLater()

    def _count(self) -> None:
        self.counts.setText(slides_words.counts(self._list) or slides_words.EMPTY)

    def _want(self) -> None:
        if self._pictures is not None:
            slides = self._list
            rows = self.table.rows_in_view()
            self._pictures.want(
                [slides.rows[n].path for n in rows if slides.state(n) != "no file"]
            )
            self._poll.start()

    def _look(self) -> None:
        if self._pictures is None:
            return
        if self._pictures.take_fresh():
            self.table.viewport().update()
        if not self._pictures.is_busy:
            self._poll.stop()

    def _float(self) -> None:
        around = self.parentWidget()
        while around is not None and not isinstance(around, QDockWidget):
            around = around.parentWidget()
        if around is not None:
            around.setFloating(True)
            around.resize(*_SIZE)

    def _dock_closed(self) -> None:
        self.release()
        self.table.hide()
        self.counts.setText(slides_words.DOCK_CLOSED)
