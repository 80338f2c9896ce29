"""A small plot: the score against the share of patches hidden."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

_HEIGHT = 130
_LINE = QColor("#0072b2")
_MARK = QColor("#d55e00")


class ShareCurve(QWidget):  # type: ignore[misc]
    """Score of one class, 0 to 1, while more and more of the slide is hidden."""

    def __init__(self) -> None:
        super().__init__()
        self._shares: NDArray[np.float64] = np.zeros(0)
        self._scores: NDArray[np.float32] = np.zeros(0, np.float32)
        self._cutoff: float | None = None
        self._at = 0.0
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "Score of the slide when this share is hidden, from the most salient patch "
            "down. The dashed line is the cut-off."
        )

    def sizeHint(self) -> QSize:
        """Give room for the plot and its axis."""
        return QSize(260, _HEIGHT)

    def show_curve(
        self,
        shares: NDArray[np.float64],
        scores: NDArray[np.float32],
        cutoff: float | None,
    ) -> None:
        """Draw a curve.

        Parameters
        ----------
        shares, scores : ndarray, shape (S,)
            Share hidden and score of what is left, both in [0, 1]; empty clears the plot.
        cutoff : float, optional
            Where the dashed line goes.
        """
        self._shares, self._scores, self._cutoff = shares, scores, cutoff
        self.update()

    def mark(self, share: float) -> None:
        """Mark the share that is hidden now."""
        self._at = share
        self.update()

    def paintEvent(self, event: Any) -> None:
        """Draw frame, axis, cut-off, curve and mark."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        text = self.palette().text().color()
        line = self.fontMetrics().height()
        room = QRectF(28, 4, self.width() - 40, self.height() - 2 * line - 8)
        painter.setPen(QPen(text, 0.6))
        painter.drawRect(room)
        self._axis(painter, room, line)
        if len(self._shares):
            self._curve(painter, room)
        painter.end()

    def _axis(self, painter: QPainter, room: QRectF, line: int) -> None:
        left = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for value in (0.0, 0.5, 1.0):
            y = room.bottom() - value * room.height()
            painter.drawText(
                QRectF(0, y - line / 2, room.left() - 4, line), left, f"{value:g}"
            )
        last = float(self._shares[-1]) if len(self._shares) else 0.9
        below = QRectF(room.left(), room.bottom() + 2, room.width(), line)
        painter.drawText(below, Qt.AlignmentFlag.AlignLeft, "0 %")
        painter.drawText(below, Qt.AlignmentFlag.AlignRight, f"{last:.0%}")
        painter.drawText(below, Qt.AlignmentFlag.AlignHCenter, "hidden from the top")

    def _curve(self, painter: QPainter, room: QRectF) -> None:
        def at(share: float, score: float) -> QPointF:
            x = room.left() + share / max(float(self._shares[-1]), 1e-9) * room.width()
            return QPointF(x, room.bottom() - score * room.height())

        if self._cutoff is not None:
            painter.setPen(QPen(painter.pen().color(), 0.8, Qt.PenStyle.DashLine))
            end = float(self._shares[-1])
            painter.drawLine(at(0.0, self._cutoff), at(end, self._cutoff))
        painter.setPen(QPen(_LINE, 2))
        pairs = zip(self._shares.tolist(), self._scores.tolist(), strict=True)
        painter.drawPolyline(QPolygonF([at(share, score) for share, score in pairs]))
        score = float(np.interp(self._at, self._shares, self._scores))
        painter.setPen(QPen(_MARK, 2))
        painter.setBrush(_MARK)
        painter.drawEllipse(at(min(self._at, float(self._shares[-1])), score), 4, 4)
