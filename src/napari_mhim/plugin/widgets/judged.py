"""ROC and reliability of the finished model, side by side, with their figures in words."""

from typing import Any

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QGridLayout, QSizePolicy, QWidget

from napari_mhim.mil.review import Results
from napari_mhim.plugin.state.judged import (
    ReliabilityPoint,
    RocLine,
    calibration_words,
    reliability,
    roc_lines,
    roc_words,
)
from napari_mhim.plugin.widgets.text import label

_PX = 165
_COLOURS = tuple(map(QColor, ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")))
"""Colours that differ for those who see red and green alike."""
_STYLES = {"patients": Qt.PenStyle.SolidLine, "slides": Qt.PenStyle.DashLine}


class JudgedView(QWidget):  # type: ignore[misc]
    """Both plots of one role."""

    def __init__(self) -> None:
        super().__init__()
        self.roc, self.reliability = RocPlot(), ReliabilityPlot()
        self.roc_words, self.calibration_words = label(small=True), label(small=True)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        top = Qt.AlignmentFlag.AlignTop
        for column, (plot, text) in enumerate(
            (
                (self.roc, self.roc_words),
                (self.reliability, self.calibration_words),
            )
        ):
            grid.addWidget(plot, 0, column)
            grid.addWidget(text, 1, column, top)
            grid.setColumnStretch(column, 1)

    def show_role(self, results: Results, role: str) -> None:
        """Draw how the model does on the slides of a role.

        Parameters
        ----------
        results : Results
            Of a finished run.
        role : str
            One of its roles.
        """
        self.roc.show_lines(roc_lines(results, role))
        self.reliability.show_points(reliability(results, role))
        self.roc_words.setText(roc_words(results, role))
        self.calibration_words.setText(calibration_words(results, role))


class _SquarePlot(QWidget):  # type: ignore[misc]
    """Two shares, each from 0 to 1, and the diagonal."""

    _ACROSS = _UP = ""

    def __init__(self) -> None:
        super().__init__()
        self._room = QRectF()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """Give room for the square and its axes."""
        return QSize(_PX, _PX)

    def paintEvent(self, event: Any) -> None:
        """Draw frame, axes, diagonal and what is shown."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        line = self.fontMetrics().height()
        side = min(self.width() - line - 26, self.height() - 2 * line - 8)
        self._room = QRectF(line + 22, 4, side, side)
        self._axes(painter, line)
        self._draw(painter)
        painter.end()

    def _axes(self, painter: QPainter, line: int) -> None:
        room, text = self._room, self.palette().text().color()
        painter.setPen(QPen(text, 0.6))
        painter.drawRect(room)
        painter.setPen(QPen(text, 0.6, Qt.PenStyle.DotLine))
        painter.drawLine(self._at(0, 0), self._at(1, 1))
        painter.setPen(text)
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for value in (0.0, 0.5, 1.0):
            y = self._at(0, value).y()
            box = QRectF(line, y - line / 2, 19, line)
            painter.drawText(box, right, f"{value:g}")
        for number, said in enumerate(("0", self._ACROSS, "1")):
            flag = (
                Qt.AlignmentFlag.AlignLeft,
                Qt.AlignmentFlag.AlignHCenter,
                Qt.AlignmentFlag.AlignRight,
            )[number]
            below = QRectF(room.left(), room.bottom() + 2, room.width(), line)
            painter.drawText(below, flag, said)
        painter.save()
        painter.translate(0, room.bottom())
        painter.rotate(-90)
        along = QRectF(0, 0, room.height(), line)
        painter.drawText(along, Qt.AlignmentFlag.AlignHCenter, self._UP)
        painter.restore()

    def _at(self, x: float, y: float) -> QPointF:
        room = self._room
        return QPointF(
            room.left() + x * room.width(), room.bottom() - y * room.height()
        )

    def _line(self, painter: QPainter, points: Any) -> None:
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawPolyline(QPolygonF([self._at(x, y) for x, y in points]))

    def _draw(self, painter: QPainter) -> None:
        raise NotImplementedError


class RocPlot(_SquarePlot):
    """Sensitivity against 1 − specificity, at every cut-off."""

    _ACROSS, _UP = "1 − specificity", "sensitivity"

    def __init__(self) -> None:
        super().__init__()
        self.lines: tuple[RocLine, ...] = ()
        self.setToolTip(
            "What share of the class the model finds, against what share of the others it "
            "calls wrongly, at every cut-off. Solid: by patient; dashed: by slide; ring: "
            "at the model's cut-off."
        )

    def show_lines(self, lines: tuple[RocLine, ...]) -> None:
        """Draw curves; none leaves the diagonal alone."""
        self.lines = lines
        self.update()

    def _draw(self, painter: QPainter) -> None:
        names = list(dict.fromkeys(one.name for one in self.lines))
        for one in self.lines:
            colour = _COLOURS[names.index(one.name) % len(_COLOURS)]
            painter.setPen(QPen(colour, 1.8, _STYLES[one.unit]))
            self._line(painter, one.points)
            if one.at_cutoff is not None:
                painter.setPen(QPen(colour, 1.8))
                painter.drawEllipse(self._at(*one.at_cutoff), 4, 4)
        if len(names) > 1:
            self._legend(painter, names)

    def _legend(self, painter: QPainter, names: list[str]) -> None:
        line, room = self.fontMetrics().height(), self._room
        for number, name in enumerate(names):
            up = (len(names) - number) * line
            box = QRectF(room.left(), room.bottom() - up - 2, room.width() - 4, line)
            painter.setPen(_COLOURS[number % len(_COLOURS)])
            painter.drawText(box, Qt.AlignmentFlag.AlignRight, name)


class ReliabilityPlot(_SquarePlot):
    """Share of patients that are of the class, against their score."""

    _ACROSS, _UP = "mean score", "share of the class"

    def __init__(self) -> None:
        super().__init__()
        self.points: tuple[ReliabilityPoint, ...] = ()
        self.setToolTip(
            "Patients of neighbouring scores: their mean score, and the share of them that "
            "is of the class, with its 95 % interval and n. On the diagonal scores are true; "
            "below it they promise too much."
        )

    def show_points(self, points: tuple[ReliabilityPoint, ...]) -> None:
        """Draw a curve; no points leave the diagonal alone."""
        self.points = points
        self.update()

    def _draw(self, painter: QPainter) -> None:
        painter.setPen(QPen(_COLOURS[0], 1.8))
        self._line(painter, [(one.score, one.share) for one in self.points])
        text, line = self.palette().text().color(), self.fontMetrics().height()
        for one in self.points:
            painter.setPen(QPen(_COLOURS[0], 1.0))
            painter.drawLine(
                self._at(one.score, one.low), self._at(one.score, one.high)
            )
            painter.setBrush(_COLOURS[0])
            painter.drawEllipse(self._at(one.score, one.share), 2.5, 2.5)
            painter.setPen(text)
            # away from the edges of the square
            is_left, is_low = one.score < 0.8, one.share < 0.8
            spot = self._at(one.score, one.share)
            x = spot.x() + 4 if is_left else spot.x() - 44
            y = spot.y() - line if is_low else spot.y() + 1
            flag = (
                Qt.AlignmentFlag.AlignLeft if is_left else Qt.AlignmentFlag.AlignRight
            )
            painter.drawText(QRectF(x, y, 40, line), flag, str(one.n))
