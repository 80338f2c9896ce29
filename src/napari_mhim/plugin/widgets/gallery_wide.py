"""The gallery in a window of its own, as wide as one likes; it shows what the dock's shows."""

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import QDockWidget, QSplitter, QVBoxLayout, QWidget

from napari_mhim.plugin import patch_words, show, words
from napari_mhim.plugin.widgets.gallery import Gallery, Patches
from napari_mhim.plugin.widgets.inspector import Inspector
from napari_mhim.plugin.widgets.text import label

if TYPE_CHECKING:
    import napari

_SIZE = (940, 620)
_INSPECTOR_WIDTH = 300


class WideGallery(QWidget):  # type: ignore[misc]
    """Thumbnails and figures beside each other, of the same patches as in the dock.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer; the dock is opened in it where it is not there.
    """

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        dock = show.open_dock(getattr(viewer, "__wrapped__", viewer))
        patches = dock.review.sections["Patches"].open()
        assert isinstance(patches, Patches)
        self._picking = patches.picking
        self._is_following = self._has_floated = self._is_released = False
        self.gallery = Gallery(dock.desk, patches.state, patches.picking)
        self.inspector = Inspector(patches.state)
        split = QSplitter(Qt.Orientation.Horizontal)
        split.addWidget(self.gallery)
        side, beside = QWidget(), QVBoxLayout()
        side.setLayout(beside)
        beside.setContentsMargins(0, 0, 0, 0)
        beside.addWidget(label(words.BANNER, small=True))
        beside.addWidget(self.inspector)
        beside.addStretch(1)
        split.addWidget(side)
        split.setStretchFactor(0, 1)
        split.setSizes([_SIZE[0] - _INSPECTOR_WIDTH, _INSPECTOR_WIDTH])
        self.split = split
        self.gone = label(patch_words.DOCK_CLOSED)
        self.gone.hide()
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 4, 4, 4)
        column.addWidget(self.gone)
        column.addWidget(split, 1)
        dock.destroyed.connect(self._dock_closed)

    def release(self) -> None:
        """Stop listening to state and viewer; a second call does nothing."""
        if not self._is_released:
            self._is_released = True
            self._follow(False)
            self.gallery.release()
            self.inspector.release()

    def showEvent(self, event: Any) -> None:
        """Float at first: beside the dock there is no room for it."""
        super().showEvent(event)
        self._follow(not self._is_released)
        if not self._has_floated:
            self._has_floated = True
            QTimer.singleShot(0, self._float)

    def hideEvent(self, event: Any) -> None:
        """Let the mouse go; the dock's own gallery may still follow it."""
        if not event.spontaneous():
            self._follow(False)
        super().hideEvent(event)

    def changeEvent(self, event: Any) -> None:
        """Go for good when napari takes the widget out: it only forgets it."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.release()
            self.deleteLater()

    def _follow(self, is_on: bool) -> None:
        if is_on and not self._is_following:
            self._picking.open()
        elif self._is_following and not is_on:
            self._picking.close()
        self._is_following = is_on

    def _float(self) -> None:
        around = self.parentWidget()
        while around is not None and not isinstance(around, QDockWidget):
            around = around.parentWidget()
        if around is not None:
            around.setFloating(True)
            around.resize(*_SIZE)

    def _dock_closed(self) -> None:
        self.release()
        self.split.hide()
        self.gone.show()
