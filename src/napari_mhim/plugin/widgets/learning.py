"""Curves of a run while it learns: losses above, validation AUC and kept share below."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QFont
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from napari_mhim.mil.milestones import EpochDone

_HEIGHT = 250
_COLOURS = {
    "classification loss": "#0072b2",
    "consistency loss": "#cc79a7",
    "hint loss": "#d55e00",
    "validation loss": "#e69f00",
    "validation AUC": "#009e73",
    "share the student saw": "#999999",
}
"""Colours that differ for those who see red and green alike."""
_LOSSES = ("classification loss", "consistency loss", "hint loss", "validation loss")
_SHARES = ("validation AUC", "share the student saw")


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
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        # losses fall and shares rise: the legends lie where the curves do not end
        self.losses, self.shares = _Plot(_LOSSES, (-2, 2)), _Plot(_SHARES, (-2, -20))
        self.losses.setXLink(self.shares)
        self.losses.getAxis("bottom").setStyle(showValues=False)
        self.shares.setYRange(0, 1)
        for plot in (self.losses, self.shares):
            column.addWidget(plot)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "By epoch. Above: losses, falling while the model learns. Below: validation "
            "AUC, and the share of patches the student saw. The dashed line is the best epoch, the "
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
        values, text = curves(epochs), self.palette().text().color()
        stages = [done.stage for done in epochs]
        turns = [i + 0.5 for i in range(1, len(stages)) if stages[i] != stages[i - 1]]
        losses = [v for name in _LOSSES for v in values[name] if math.isfinite(v)]
        self.losses.setYRange(0, max(losses, default=1.0))
        self.shares.setXRange(1, max(len(epochs), 2))
        for plot in (self.losses, self.shares):
            plot.show_values(values, text)
            plot.show_marks(turns, best + 1 if best >= 0 else None, text)


class _Plot(pg.PlotWidget):  # type: ignore[misc]
    """Some curves over epochs, counted from 1."""

    def __init__(self, names: Sequence[str], legend_at: tuple[int, int]) -> None:
        super().__init__(background=None)
        self.setMouseEnabled(x=False, y=False)
        self.setMenuEnabled(False)
        self.hideButtons()
        self.setMinimumHeight(_HEIGHT // 2 - 4)
        self.getAxis("left").setWidth(34)
        small = QFont(self.font())
        small.setPointSize(8)
        for side in ("left", "bottom"):
            self.getAxis(side).setStyle(tickFont=small, tickTextOffset=3)
        self.addLegend(offset=legend_at, labelTextSize="8pt", verSpacing=-8)
        self.curves = {
            name: self.plot(
                pen=pg.mkPen(_COLOURS[name], width=1.6),
                symbolBrush=_COLOURS[name],
                symbolPen=None,
                symbolSize=6,
                connect="finite",
            )
            for name in names
        }
        self.marks: list[Any] = []

    def show_values(self, values: dict[str, list[float]], text: Any) -> None:
        """Draw curves, and name those that have a value."""
        legend = self.plotItem.legend
        legend.clear()
        legend.setLabelTextColor(text)
        for name, curve in self.curves.items():
            known = np.array(values[name])
            # a point alone is no line
            curve.setSymbol("o" if np.isfinite(known).sum() == 1 else None)
            curve.setData(1.0 + np.arange(len(known)), known)
            if np.isfinite(known).any():
                legend.addItem(curve, name)
        for side in ("left", "bottom"):
            self.getAxis(side).setPen(text)
            self.getAxis(side).setTextPen(text)

    def show_marks(self, turns: list[float], best: float | None, text: Any) -> None:
        """Draw a dotted line between stages and a dashed one at the best epoch."""
        for mark in self.marks:
            self.removeItem(mark)
        styles = [(turn, Qt.PenStyle.DotLine) for turn in turns]
        if best is not None:
            styles.append((best, Qt.PenStyle.DashLine))
        self.marks = [
            pg.InfiniteLine(place, pen=pg.mkPen(text, style=style))
            for place, style in styles
        ]
        for mark in self.marks:
            self.addItem(mark)
