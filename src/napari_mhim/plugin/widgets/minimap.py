"""The section Map: the whole slide, its evidence, and a frame round what is in view."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF, QSize, Qt, QTimer
from qtpy.QtGui import QColor, QImage, QPainter, QPen
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from napari_mhim.plugin.desk import Desk
from napari_mhim.plugin.overlays import SLIDE
from napari_mhim.plugin.overview import go, heat, in_view
from napari_mhim.plugin.viewing import views
from napari_mhim.plugin.widgets.text import label

_SOON_MS = 300
_HEIGHT = 220
_FRAME = "#00e5ff"
_LEAST_FRAME = 6  # a frame smaller than this could not be seen


class Minimap(QWidget):  # type: ignore[misc]
    """The slide as a small picture; a click goes there.

    Parameters
    ----------
    desk : Desk
        What the dock works with.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.picture = _Picture(desk)
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 0, 0, 0)
        column.addWidget(label("Click or drag to go there.", small=True))
        column.addWidget(self.picture)

    def release(self) -> None:
        """Stop listening to camera and state."""
        self.picture.release()


class _Picture(QWidget):  # type: ignore[misc]
    """Thumbnail, evidence and frame; positions are level-0 px of the slide."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self._pixels: NDArray[np.uint8] | None = None
        self._thumbnail: QImage | None = None
        self._heat: QImage | None = None
        self._shape = (1, 1)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setToolTip(
            "The whole slide with its evidence; the frame is what is in view."
        )
        camera, events = desk.canvas.viewer.scene.camera, desk.state.events
        for signal in (camera.events.center, camera.events.zoom):
            signal.connect(self._moved)
        for signal in (events.slide, events.result, events.shows_baseline):
            signal.connect(self._take, max_args=0)
        self._take()

    def release(self) -> None:
        """Stop listening to camera and state."""
        camera = self._desk.canvas.viewer.scene.camera
        events = self._desk.state.events
        for signal in (camera.events.center, camera.events.zoom):
            signal.disconnect(self._moved)
        for signal in (events.slide, events.result, events.shows_baseline):
            signal.disconnect(self._take)

    def sizeHint(self) -> QSize:
        """Give room that leaves the tab some."""
        return QSize(300, _HEIGHT)

    def frame(self) -> QRectF | None:
        """Give the frame in this widget's pixels, None without a slide."""
        layer = self._layer()
        if layer is None:
            return None
        room, (low, high) = self._room(), in_view(self._desk.canvas.viewer, layer)
        corners = [self._to_widget(corner, room) for corner in (low, high)]
        found = QRectF(*corners).intersected(room)
        grown = max(0.0, (_LEAST_FRAME - min(found.width(), found.height())) / 2)
        return found.adjusted(-grown, -grown, grown, grown)

    def go_to(self, at: QPointF) -> None:
        """Bring what is below a point of the picture to the middle of the view."""
        layer, room = self._layer(), self._room()
        if layer is None:
            return
        share = np.array(
            [
                (at.y() - room.top()) / room.height(),
                (at.x() - room.left()) / room.width(),
            ]
        )
        go(self._desk.canvas.viewer, layer, np.clip(share, 0, 1) * self._shape)

    def mousePressEvent(self, event: Any) -> None:
        """Go there."""
        self.go_to(event.position())

    def mouseMoveEvent(self, event: Any) -> None:
        """Go along while the button is held."""
        self.go_to(event.position())

    def paintEvent(self, event: Any) -> None:
        """Draw the slide, what speaks for the class, and the frame."""
        if self._thumbnail is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        room = self._room()
        painter.drawImage(room, self._thumbnail)
        shown = self._desk.state.shown
        if self._heat is not None and shown is not None:
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, False)
            grid = shown.grid
            end = grid.origin + np.array(grid.shape) * grid.stride_px
            corners = [self._to_widget(one, room) for one in (grid.origin, end)]
            painter.setOpacity(0.7)
            painter.drawImage(QRectF(*corners), self._heat)
            painter.setOpacity(1.0)
        if (frame := self.frame()) is not None:
            painter.setPen(QPen(QColor("#000000"), 3))
            painter.drawRect(frame)
            painter.setPen(QPen(QColor(_FRAME), 1.5))
            painter.drawRect(frame)
        painter.end()
        if not all(view.is_sharp for view in views([self._layer()])):
            # the small picture may still be coming from a slow disk
            QTimer.singleShot(_SOON_MS, self.update)

    def _layer(self) -> Any:
        return self._desk.canvas.layers().get(SLIDE)

    def _room(self) -> QRectF:
        """Give where the slide is drawn: as large as it fits."""
        height, width = self._shape
        scale = min(self.width() / width, self.height() / height)
        w, h = width * scale, height * scale
        return QRectF((self.width() - w) / 2, (self.height() - h) / 2, w, h)

    def _to_widget(self, at: NDArray[np.float64], room: QRectF) -> QPointF:
        y, x = at / self._shape
        return QPointF(room.left() + x * room.width(), room.top() + y * room.height())

    def _moved(self, event: Any = None) -> None:
        self.update()

    def _take(self) -> None:
        layer, state = self._layer(), self._desk.state
        self._pixels = self._thumbnail = self._heat = None
        if layer is not None:
            self._shape = layer.data[0].shape[:2]
            # the layer's own array, which fills while the slide is read: nothing waits
            self._pixels = np.asarray(layer.data[-1])
            self._thumbnail = _view(self._pixels)
        if state.shown is not None:
            self._heat = _image(heat(state.shown))
        self.update()


def _image(pixels: NDArray[np.uint8]) -> QImage:
    # copied: the array may go while the image is drawn
    return _view(np.ascontiguousarray(pixels)).copy()


def _view(pixels: NDArray[np.uint8]) -> QImage:
    """Give an image of an array's own bytes: it shows what is written there later."""
    height, width, channels = pixels.shape
    kind = (
        QImage.Format.Format_RGB888 if channels == 3 else QImage.Format.Format_RGBA8888
    )
    return QImage(pixels.data, width, height, channels * width, kind)
