"""Curves of a run while it learns: losses above, validation AUC and kept share below."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_mhim.mil.milestones import EpochDone

_HEIGHT = 250
_MOST_POINTS = 400
"""Longer runs are drawn by every so many epochs: a repaint must not grow with the run."""
_COLOURS = {
    "classification loss": QColor("#0072b2"),
    "consistency loss": QColor("#cc79a7"),
    "hint loss": QColor("#d55e00"),
    "validation loss": QColor("#e69f00"),
    "validation AUC": QColor("#009e73"),
    "share the student saw": QColor("#999999"),
}
"""Colours that differ for those who see red and green alike."""
_LOSSES = ("classification loss", "consistency loss", "hint loss", "validation loss")
_SHORT = {
    "classification loss": "loss: classification",
    "consistency loss": "consistency",
    "hint loss": "hints",
    "validation loss": "validation",
}
_SHARES = ("validation AUC", "share the student saw")


@dataclass(frozen=True)
class _Plot:
    room: QRectF
    top: float
    """Value at its upper edge; the lower is 0."""
    n: int
    """Epochs across it."""

    def at(self, place: int, value: float) -> QPointF:
        across = place / max(self.n - 1, 1)
        x = self.room.left() + across * self.room.width()
        up = min(max(value / self.top, 0.0), 1.0)
        return QPointF(x, self.room.bottom() - up * self.room.height())


def curves(epochs: Sequence[EpochDone]) -> dict[str, list[float]]:
    """Give the values to draw, by name; NaN where an epoch has none.

    Parameters
    ----------
    epochs : sequence of EpochDone
        Of all stages, in order.

    Returns
    -------
    dict of str to list of float
        One value for each epoch.
    """
    nan = math.nan
    return {
        "classification loss": [e.losses.get("classification", nan) for e in epochs],
        "consistency loss": [e.losses.get("consistency", nan) for e in epochs],
        "hint loss": [e.losses.get("hints", nan) for e in epochs],
        "validation loss": [e.val.get("loss", nan) for e in epochs],
        "validation AUC": [e.val.get("auc", nan) for e in epochs],
        "share the student saw": [e.kept_share for e in epochs],
    }


class LearningCurves(QWidget):  # type: ignore[misc]
    """Losses and validation figures, an epoch after another; the best is marked."""

    def __init__(self) -> None:
        super().__init__()
        self._epochs: tuple[EpochDone, ...] = ()
        self._values: dict[str, list[float]] = curves(())
        self._best = -1
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "Above: losses, falling while the model learns. Below: validation AUC, and "
            "the share of patches the student saw. The dashed line is the best epoch, the "
            "dotted one where the baseline ends."
        )

    def sizeHint(self) -> QSize:
        """Give room for both plots, their axis and legend."""
        return QSize(280, _HEIGHT)

    def show_epochs(self, epochs: tuple[EpochDone, ...], best: int) -> None:
        """Draw a run.

        Parameters
        ----------
        epochs : tuple of EpochDone
            Of all stages, in order; empty clears the plots.
        best : int
            Place of the best epoch, -1 for none.
        """
        self._epochs, self._best = epochs, best
        self._values = curves(epochs)
        self.update()

    def paintEvent(self, event: Any) -> None:
        """Draw both plots."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        line = self.fontMetrics().height()
        height = (self.height() - 4 * line - 12) / 2
        width = self.width() - 40
        n = len(self._epochs)
        losses = [v for name in _LOSSES for v in self._values[name] if math.isfinite(v)]
        upper = QRectF(32, 4 + line, width, height)
        lower = QRectF(32, upper.bottom() + line + 6, width, height)
        top = _Plot(upper, max(losses, default=1.0) * 1.05 or 1.0, n)
        for plot, names in ((top, _LOSSES), (_Plot(lower, 1.0, n), _SHARES)):
            self._frame(painter, plot, line)
            self._legend(painter, plot, names)
            for name in names:
                self._curve(painter, plot, name)
            self._marks(painter, plot)
        below = QRectF(lower.left(), lower.bottom() + 2, lower.width(), line)
        painter.setPen(self.palette().text().color())
        painter.drawText(below, Qt.AlignmentFlag.AlignLeft, "1")
        said = f"{n} epochs" if n else "no epoch yet"
        painter.drawText(below, Qt.AlignmentFlag.AlignRight, said)
        painter.end()

    def _frame(self, painter: QPainter, plot: _Plot, line: int) -> None:
        text = self.palette().text().color()
        painter.setPen(QPen(text, 0.6))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(plot.room)
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for share in (0.0, 0.5, 1.0):
            y = plot.room.bottom() - share * plot.room.height()
            box = QRectF(0, y - line / 2, plot.room.left() - 4, line)
            painter.drawText(box, right, f"{share * plot.top:.2g}")

    def _legend(self, painter: QPainter, plot: _Plot, names: Sequence[str]) -> None:
        metrics, x = self.fontMetrics(), plot.room.left()
        for name in names:
            if not any(math.isfinite(v) for v in self._values[name]):
                continue
            short = _SHORT.get(name, name)
            painter.setPen(_COLOURS[name])
            painter.drawText(QPointF(x, plot.room.top() - 4), f"━ {short}")
            x += metrics.horizontalAdvance(f"━ {short}  ")

    def _curve(self, painter: QPainter, plot: _Plot, name: str) -> None:
        values = self._values[name]
        step = max(1, -(-len(values) // _MOST_POINTS))
        points = [
            plot.at(place, values[place])
            for place in range(0, len(values), step)
            if math.isfinite(values[place])
        ]
        painter.setPen(QPen(_COLOURS[name], 1.6))
        painter.drawPolyline(QPolygonF(points))
        if len(points) == 1:
            painter.setBrush(_COLOURS[name])
            painter.drawEllipse(points[0], 2.5, 2.5)

    def _marks(self, painter: QPainter, plot: _Plot) -> None:
        text = self.palette().text().color()
        stages = [done.stage for done in self._epochs]
        turns = [i for i in range(1, len(stages)) if stages[i] != stages[i - 1]]
        dotted, dashed = Qt.PenStyle.DotLine, Qt.PenStyle.DashLine
        places = [(turn - 0.5, dotted) for turn in turns]
        if self._best >= 0:
            places.append((self._best, dashed))
        for place, style in places:
            painter.setPen(QPen(text, 1.0, style))
            x = plot.at(0, 0).x() + place / max(plot.n - 1, 1) * plot.room.width()
            painter.drawLine(
                QPointF(x, plot.room.top()), QPointF(x, plot.room.bottom())
            )
