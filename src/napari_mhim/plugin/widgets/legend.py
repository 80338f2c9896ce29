"""Layer switches with the legend: each layer's colours, numbers and meaning while it is on."""

from typing import Any

import numpy as np
from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QColor, QLinearGradient, QPainter, QPen
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_mhim.plugin.overlays import (
    ATTENTION,
    DIFFERENCE,
    EVIDENCE,
    HARD,
    HIDDEN,
    TRUTH,
)
from napari_mhim.plugin.palette import RING_COLOUR, TRUTH_COLOUR
from napari_mhim.plugin.widgets.look import Look
from napari_mhim.plugin.widgets.text import label

_TISSUE = QColor(238, 214, 226)  # what lies below an overlay on most slides
_SAMPLE_HEIGHT = 12


class ColourBar(QWidget):  # type: ignore[misc]
    """The colours of an image layer as they look on tissue, and what they stand for."""

    def __init__(self, layer: Any, ends: tuple[str, str], unit: str) -> None:
        super().__init__()
        self._layer, self._ends, self._unit = layer, ends, unit
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        for emitter in (
            layer.events.contrast_limits,
            layer.events.colormap,
            layer.events.opacity,
        ):
            emitter.connect(self._changed)

    def say(self, ends: tuple[str, str], unit: str) -> None:
        """Change what stands below the bar.

        Parameters
        ----------
        ends : tuple of str
            What the lower and the upper end mean.
        unit : str
            Below the middle.
        """
        self._ends, self._unit = ends, unit
        self.update()

    def release(self) -> None:
        """Stop listening to the layer."""
        for emitter in (
            self._layer.events.contrast_limits,
            self._layer.events.colormap,
            self._layer.events.opacity,
        ):
            emitter.disconnect(self._changed)

    def numbers(self) -> tuple[str, str, str]:
        """Give what stands below the bar: lower limit, middle, upper limit."""
        low, high = self._layer.contrast_limits
        middle = (low + high) / 2
        sign = "+" if low < 0 else ""
        return (_short(low), _short(middle), _short(high, sign))

    def sizeHint(self) -> QSize:
        """Give room for the bar and two lines of text."""
        line = self.fontMetrics().height()
        return QSize(200, _SAMPLE_HEIGHT + 2 * line + 2)

    def paintEvent(self, event: Any) -> None:
        """Draw bar, numbers and ends."""
        painter = QPainter(self)
        bar = QRectF(0, 0, self.width(), _SAMPLE_HEIGHT)
        painter.fillRect(bar, _TISSUE)
        painter.fillRect(bar, self._gradient(bar))
        painter.setPen(self.palette().text().color())
        line = self.fontMetrics().height()
        numbers = QRectF(0, _SAMPLE_HEIGHT, self.width(), line)
        words = QRectF(0, _SAMPLE_HEIGHT + line, self.width(), line)
        low, middle, high = self.numbers()
        _spread(painter, numbers, (low.replace("-", "−"), middle, high))
        _spread(painter, words, (self._ends[0], self._unit, self._ends[1]))
        painter.end()

    def _gradient(self, bar: QRectF) -> QLinearGradient:
        gradient = QLinearGradient(bar.left(), 0, bar.right(), 0)
        shares = np.linspace(0, 1, 33)
        for share, colour in zip(shares, self._layer.colormap.map(shares), strict=True):
            red, green, blue, alpha = (float(value) for value in colour)
            shade = QColor.fromRgbF(red, green, blue, alpha * self._layer.opacity)
            gradient.setColorAt(float(share), shade)
        return gradient

    def _changed(self, event: Any = None) -> None:
        self.update()


class Sample(QWidget):  # type: ignore[misc]
    """A ring, an outline or a grey patch, as it looks on the slide, and its name."""

    def __init__(self, part: str, text: str) -> None:
        super().__init__()
        self._part, self._text = part, text
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """Give room for one line."""
        return QSize(200, max(_SAMPLE_HEIGHT, self.fontMetrics().height()) + 4)

    def paintEvent(self, event: Any) -> None:
        """Draw the sample and its name."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = QRectF(0, 0, 34, self.height() - 1)
        painter.fillRect(box, _TISSUE)
        middle = box.center()
        if self._part == HARD:
            painter.setPen(QPen(QColor(RING_COLOUR), 2))
            painter.drawEllipse(middle, 6, 6)
        elif self._part == HIDDEN:
            painter.fillRect(QRectF(12, 3, 10, box.height() - 6), QColor(125, 118, 121))
        else:
            style = (
                Qt.PenStyle.DashLine
                if self._part == "dashed"
                else Qt.PenStyle.SolidLine
            )
            painter.setPen(QPen(QColor(TRUTH_COLOUR), 2.5, style))
            painter.drawLine(3, int(middle.y()), 31, int(middle.y()))
        painter.setPen(self.palette().text().color())
        room = QRectF(42, 0, self.width() - 42, self.height())
        painter.drawText(room, Qt.AlignmentFlag.AlignVCenter, self._text)
        painter.end()


class LayerRow(QWidget):  # type: ignore[misc]
    """One layer's switch, bound both ways to the layer, and its legend while it is on."""

    def __init__(self, part: str, layer: Any, meaning: str) -> None:
        super().__init__()
        self.part, self.layer = part, layer
        self.look: Look | None = None
        self.switch = QCheckBox(layer.name)
        self.switch.setToolTip(f"Show or hide this layer.<br>{meaning}")
        self.legend = QWidget()
        self._bars: list[ColourBar] = []
        inner = QVBoxLayout(self.legend)
        inner.setContentsMargins(22, 0, 0, 2)
        inner.setSpacing(1)
        for widget in self._key():
            inner.addWidget(widget)
        self.meaning = label(meaning, small=True)
        inner.addWidget(self.meaning)
        self.inner = inner
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(1)
        head = QHBoxLayout()
        head.setSpacing(2)
        head.addWidget(self.switch, 1)
        self.more = QToolButton()
        self.more.setText("◐")
        self.more.setCheckable(True)
        self.more.setAutoRaise(True)
        self.more.setToolTip("Opacity, range and colours of this layer.")
        self.more.toggled.connect(self._show_look)
        head.addWidget(self.more)
        column.addLayout(head)
        column.addWidget(self.legend)
        self.switch.toggled.connect(self._to_layer)
        layer.events.visible.connect(self._from_layer)
        layer.events.name.connect(self._from_layer)
        self._from_layer()

    def release(self) -> None:
        """Stop listening to the layer."""
        self.layer.events.visible.disconnect(self._from_layer)
        self.layer.events.name.disconnect(self._from_layer)
        for bar in self._bars:
            bar.release()
        if self.look is not None:
            self.look.release()

    def _show_look(self, is_on: bool) -> None:
        if self.look is None:
            self.look = Look(self.part, self.layer)
            self.inner.addWidget(self.look)
        self.look.setVisible(is_on)

    def _key(self) -> list[QWidget]:
        if self.part == EVIDENCE:
            return [self._bar(("← against", "for →"), "push on the score")]
        if self.part == DIFFERENCE:
            return [self._bar(("← A more", "B more →"), "B − A")]
        if self.part == ATTENTION:
            self.attention_bar = self._bar(("", ""), "")
            return [self.attention_bar]
        if self.part == TRUTH:
            return [Sample("solid", "easy lesion"), Sample("dashed", "hard lesion")]
        if self.part == HARD:
            return [Sample(HARD, f"hard patch: {len(self.layer.data)} of at most 20")]
        return [Sample(HIDDEN, "would be hidden in training")]

    def _bar(self, ends: tuple[str, str], unit: str) -> ColourBar:
        self._bars.append(ColourBar(self.layer, ends, unit))
        return self._bars[-1]

    def _to_layer(self, is_on: bool) -> None:
        # telling napari what it knows makes it draw everything again
        if self.layer.visible != is_on:
            self.layer.visible = is_on

    def _from_layer(self, event: Any = None) -> None:
        self.switch.setText(self.layer.name)
        self.switch.setChecked(self.layer.visible)
        self.legend.setVisible(self.layer.visible)
        self.more.setVisible(self.layer.visible)


def _spread(painter: QPainter, room: QRectF, texts: tuple[str, str, str]) -> None:
    sides = (
        Qt.AlignmentFlag.AlignLeft,
        Qt.AlignmentFlag.AlignHCenter,
        Qt.AlignmentFlag.AlignRight,
    )
    for side, text in zip(sides, texts, strict=True):
        painter.drawText(room, side | Qt.AlignmentFlag.AlignVCenter, text)


def _short(value: float, sign: str = "") -> str:
    """Give two digits, and never a power of ten: 0.25, 4, 140."""
    two = float(f"{value:.2g}")
    return f"{two:{sign}.0f}" if abs(two) >= 10 else f"{two:{sign}g}"
