"""What if this area were not there: lasso, brush, score without it, leaving it out."""

from dataclasses import replace

from qtpy.QtWidgets import QComboBox, QHBoxLayout, QVBoxLayout, QWidget

from napari_mhim.errors import MhimError
from napari_mhim.mil.questions import Score
from napari_mhim.mil.result import SlideResult
from napari_mhim.plugin import words
from napari_mhim.plugin.desk import Desk
from napari_mhim.plugin.drawing import DrawingLayer
from napari_mhim.plugin.drawn import Drawn
from napari_mhim.plugin.marking import Marking, Outlines
from napari_mhim.plugin.palette import IGNORED_COLOUR
from napari_mhim.plugin.state.whatif import WhatIfState, cells_in
from napari_mhim.plugin.widgets.text import button, label
from napari_mhim.slide.regions import (
    REASONS,
    Region,
    region,
)

BRUSHES = (1, 2, 4, 8)
"""Widths of the brush, in patches."""


class WhatIf(QWidget):  # type: ignore[misc]
    """Areas of the slide, and the score without them.

    Parameters
    ----------
    desk : Desk
        What the dock works with.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self._drawn = Drawn(desk, "exclude")
        self.state = WhatIfState()
        self.marking = Marking(desk.canvas, self._marked)
        self.left_out = DrawingLayer(desk.canvas, "left out", "Left out")
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 0, 0, 0)
        column.addWidget(label(words.WHAT_IF, small=True))
        self.refused = label()
        column.addWidget(self.refused)
        column.addLayout(self._tools())
        self.found = label()
        column.addWidget(self.found)
        column.addLayout(self._exclude_row())
        self.original = label()
        column.addWidget(self.original)
        self._list = QVBoxLayout()
        column.addLayout(self._list)
        self._connect()
        self._start()

    def release(self) -> None:
        """Stop listening, and take the layer of marked areas away."""
        self.marking.release()
        self.left_out.release()
        state = self._desk.state
        state.events.result.disconnect(self._start)
        state.events.bundle.disconnect(self._start)
        state.events.regions.disconnect(self._read)

    def exclude(self) -> None:
        """Leave the marked areas out for good, with the reason chosen."""
        reason = self.reason.currentText()
        if not self.state.areas:
            return
        kept = [_because(area, reason) for area in self.state.areas]
        if self._drawn.write((*self.state.excluded, *kept)):
            self.marking.clear()

    def take_back(self, number: int) -> None:
        """Count an area in again that was left out.

        Parameters
        ----------
        number : int
            Which of ``state.excluded``.
        """
        left = [one for i, one in enumerate(self.state.excluded) if i != number]
        self._drawn.write(left)

    def paint(self) -> None:
        """Begin a stroke of the brush."""
        result = self._desk.state.result
        if result is not None:
            patch_px = float(result.grid.patch_px.max())
            self.marking.paint(self.brush.currentData() * patch_px)

    def _tools(self) -> QVBoxLayout:
        column, marks, ends = QVBoxLayout(), QHBoxLayout(), QHBoxLayout()
        self.lasso = button(
            "Draw an area",
            "Drag round an area of the slide; let go to finish. Key: Alt+D.",
            self.marking.draw,
        )
        self.stroke = button(
            "Paint",
            "Drag over the slide; let go to finish. A stroke that runs round something "
            "takes that in. Key: Alt+B.",
            self.paint,
        )
        self.brush = QComboBox()
        for n in BRUSHES:
            self.brush.addItem(f"{n} patch{'' if n == 1 else 'es'} wide", n)
        self.brush.setCurrentIndex(BRUSHES.index(2))
        self.brush.setToolTip("Width of the brush.")
        self.undo = button(
            "Undo", "Take the last area away again. Key: Alt+Z.", self.marking.undo
        )
        self.clear = button("Clear", "Take all areas away.", self.marking.clear)
        for one in (self.lasso, self.stroke, self.brush):
            marks.addWidget(one)
        for one in (self.undo, self.clear):
            ends.addWidget(one)
        column.addLayout(marks)
        column.addLayout(ends)
        self.mode = QComboBox()
        self.mode.addItems(["without the marked area", "with only the marked area"])
        self.mode.setToolTip("What the model looks at.")
        column.addWidget(self.mode)
        return column

    def _exclude_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        self.reason = QComboBox()
        self.reason.addItems(REASONS)
        self.reason.setToolTip("Why the area is left out; it is kept with it.")
        self.leave_out = button(
            "Exclude",
            "Leave the marked area out of later predictions and of training; it is kept "
            "in the workspace with its reason. Key: Alt+X.",
            self.exclude,
        )
        row.addWidget(self.reason, 1)
        row.addWidget(self.leave_out)
        return row

    def _connect(self) -> None:
        self.mode.currentIndexChanged.connect(self._ask)
        state = self._desk.state
        state.events.result.connect(self._start, max_args=0)
        state.events.bundle.connect(self._start, max_args=0)
        state.events.regions.connect(self._read, max_args=0)
        for name in ("areas", "score", "problem", "excluded", "excluding_score"):
            getattr(self.state.events, name).connect(self._tell, max_args=0)
        self.state.events.excluded.connect(self._make_list, max_args=0)

    def _start(self) -> None:
        """Begin anew with the slide there is, and what was left out of it before."""
        self.state.forget()
        self.marking.clear()
        reason = self._desk.talk.why_not()
        self.refused.setText(reason or "")
        self.refused.setVisible(reason is not None)
        for widget in (self.lasso, self.stroke, self.brush, self.mode):
            widget.setEnabled(reason is None)
        if reason is None:
            self._read()
        self._tell()

    def _read(self) -> None:
        """Show what the workspace leaves out of the slide."""
        if self._desk.talk.why_not() is None:
            self.state.excluded = self._drawn.read()
            self._ask_excluded()

    def _marked(self, outlines: Outlines) -> None:
        areas = []
        for outline in outlines:
            try:
                areas.append(region(outline))
            except MhimError as err:
                self._desk.state.tell(err)
        self.state.areas = tuple(areas)
        self._ask()

    def _ask(self) -> None:
        result = self._desk.state.result
        if result is None:
            return
        self.state.keeps_only = self.mode.currentIndex() == 1
        question = self.state.question(result.grid)
        if question is not None:
            self._desk.talk.ask(question, self._take, self._refuse)
        self._tell()

    def _ask_excluded(self) -> None:
        result = self._desk.state.result
        question = None if result is None else self.state.exclusion(result.grid)
        if question is not None:
            self._desk.talk.ask(question, self._take_excluding)

    def _take(self, score: Score) -> None:
        self.state.score = score

    def _take_excluding(self, score: Score) -> None:
        self.state.excluding_score = score

    def _refuse(self, error: MhimError) -> None:
        self.state.problem = str(error)

    def _tell(self) -> None:
        state, result = self.state, self._desk.state.result
        has_areas = bool(state.areas) and result is not None
        for widget in (self.undo, self.clear, self.leave_out, self.reason):
            widget.setEnabled(has_areas)
        self.found.setVisible(has_areas)
        self.original.setVisible(result is not None and bool(state.excluded))
        if result is None:
            return
        if has_areas:
            n = int(cells_in(state.areas, result.grid).sum())
            self.found.setText(
                state.problem
                or words.what_if(result, _of(state.score, result), n, state.keeps_only)
            )
        self.original.setText(
            words.excluded(
                result, len(state.excluded), _of(state.excluding_score, result)
            )
        )

    def _make_list(self) -> None:
        while (item := self._list.takeAt(0)) is not None:
            item.widget().hide()
            item.widget().deleteLater()
        result, excluded = self._desk.state.result, self.state.excluded
        self.left_out.outline(excluded, [IGNORED_COLOUR] * len(excluded))
        self._desk.canvas.make_slide_active()
        if result is None:
            return
        for number, one in enumerate(excluded):
            n = int(cells_in((one,), result.grid).sum())
            self._list.addWidget(self._excluded_row(number, one, n))

    def _excluded_row(self, number: int, one: Region, n: int) -> QWidget:
        row = QWidget()
        across = QHBoxLayout(row)
        across.setContentsMargins(0, 0, 0, 0)
        plural = "" if n == 1 else "es"
        across.addWidget(label(f"{one.reason or 'no reason'}: {n} patch{plural}"), 1)
        across.addWidget(
            button(
                "Count in again",
                "Take this area back into predictions and training.",
                lambda: self.take_back(number),
            )
        )
        return row


def _of(score: Score | None, result: SlideResult) -> float | None:
    return None if score is None else float(score.probabilities[result.target])


def _because(area: Region, reason: str) -> Region:
    return replace(area, kind="exclude", reason=reason)
