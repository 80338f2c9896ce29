"""Regions as hints, in the Train tab: draw and name them, and let a run learn from them."""

from functools import partial
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QVBoxLayout, QWidget

from napari_mhim.errors import MhimError
from napari_mhim.plugin import training_words as said
from napari_mhim.plugin.drawn import Drawn
from napari_mhim.plugin.hint_layer import HintLayer, colour_of
from napari_mhim.plugin.state.hints import USUAL, HintsState, name_of
from napari_mhim.plugin.state.training import CUTOFF
from napari_mhim.plugin.trainings import Trainings
from napari_mhim.plugin.widgets.text import button, label
from napari_mhim.slide.regions import Region, region


class HintsView(QWidget):  # type: ignore[misc]
    """The open slide's hints: a class, a lasso, a list.

    Parameters
    ----------
    trainings : Trainings
        The runs, whose classes regions are named with.
    """

    def __init__(self, trainings: Trainings) -> None:
        super().__init__()
        self._trainings, self._desk = trainings, trainings.desk
        self.state, self._is_writing = HintsState(), False
        self._drawn = Drawn(self._desk, "hint", "exclude")
        self.layer = HintLayer(self._desk.canvas, self._take)
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 0, 0, 0)
        column.addWidget(label(said.HINTS, small=True))
        self.named = QComboBox()
        self.named.setToolTip(
            "What is in the region. “ignore” leaves its patches out of training and of "
            "later predictions, as Exclude in “What if” does."
        )
        self.named.currentTextChanged.connect(partial(setattr, self.state, "chosen"))
        self.lasso = button(
            "Draw a region",
            "Drag round it on the slide; let go, and it is kept.",
            self.layer.draw,
        )
        self.undo = button(
            "Undo",
            "Take back what was last drawn or taken away.",
            lambda: self.state.undo(self._write),
        )
        row = QHBoxLayout()
        row.addWidget(self.named, 1)
        row.addWidget(self.lasso)
        row.addWidget(self.undo)
        column.addLayout(row)
        self.why_not = label()
        column.addWidget(self.why_not)
        self._list = QVBoxLayout()
        column.addLayout(self._list)
        self._connect()
        self._start()

    def release(self) -> None:
        """Stop listening, and take the layer away."""
        self.layer.release()
        desk, runs = self._desk.state.events, self._trainings.state.events
        desk.slide.disconnect(self._start)
        desk.bundle.disconnect(self._offer)
        desk.regions.disconnect(self._reread)
        desk.result.disconnect(self._show)
        runs.split.disconnect(self._offer)

    def showEvent(self, event: Any) -> None:
        """Draw the slide's hints while one looks at them here."""
        super().showEvent(event)
        self._show()

    def hideEvent(self, event: Any) -> None:
        """Leave the slide to the other tabs."""
        self.layer.hide()
        super().hideEvent(event)

    def take_away(self, number: int) -> None:
        """Take a region away; *Undo* brings it back.

        Parameters
        ----------
        number : int
            Which of ``state.regions``.
        """
        left = [one for i, one in enumerate(self.state.regions) if i != number]
        self.state.take(tuple(left), self._write)

    def _connect(self) -> None:
        desk, runs = self._desk.state.events, self._trainings.state.events
        desk.slide.connect(self._start, max_args=0)
        desk.bundle.connect(self._offer, max_args=0)
        desk.regions.connect(self._reread, max_args=0)
        desk.result.connect(self._show, max_args=0)
        runs.split.connect(self._offer, max_args=0)
        for event in (self.state.events.regions, self.state.events.before):
            event.connect(self._show, max_args=0)

    def _start(self) -> None:
        self.layer.hide()
        self.state.start(self._drawn.read())
        self._offer()

    def _reread(self) -> None:
        """Follow what another part of the window wrote."""
        if not self._is_writing:
            self.state.start(self._drawn.read())

    def _offer(self) -> None:
        self.state.offer(self._trainings.classes())
        self.named.blockSignals(True)
        self.named.clear()
        self.named.addItems(list(self.state.classes))
        self.named.setCurrentText(self.state.chosen)
        self.named.blockSignals(False)
        self._show()

    def _take(self, outline: NDArray[np.float64]) -> None:
        try:
            fresh = self.state.named(region(outline))
        except MhimError as err:
            self._desk.state.tell(err)
            self._show()  # without what cannot be kept
            return
        self.state.take((*self.state.regions, fresh), self._write)
        self._show()

    def _write(self, regions: tuple[Region, ...]) -> bool:
        self._is_writing = True
        is_written = self._drawn.write(regions)
        self._is_writing = False
        if is_written:
            self._trainings.look()
        return is_written

    def _show(self) -> None:
        state, has_slide = self.state, self._desk.state.slide is not None
        reason = "" if has_slide else "Open a slide first."
        if has_slide and not state.classes:
            reason = "Choose labelled slides or a model first: they name the classes."
        self.why_not.setText(reason)
        self.why_not.setVisible(bool(reason))
        for widget in (self.named, self.lasso):
            widget.setEnabled(not reason)
        self.undo.setEnabled(bool(state.before))
        self._make_list()
        if self.isVisible():
            self.layer.show(state.regions, state.classes)

    def _make_list(self) -> None:
        while (item := self._list.takeAt(0)) is not None:
            item.widget().hide()
            item.widget().deleteLater()
        for number, one in enumerate(self.state.regions):
            row = QWidget()
            across = QHBoxLayout(row)
            across.setContentsMargins(0, 0, 0, 0)
            colour = colour_of(one, self.state.classes)
            size = said.region_size(one, self._desk.state.result, self._desk.state.mpp)
            text = (
                f"<span style='color:{colour}'>■</span> {escape(name_of(one))}: {size}"
            )
            across.addWidget(label(text), 1)
            away = partial(self.take_away, number)
            across.addWidget(button("Take away", "Undo brings it back.", away))
            self._list.addWidget(row)


class HintSwitch(QWidget):  # type: ignore[misc]
    """Whether the next run learns from regions, and how many there are.

    Parameters
    ----------
    trainings : Trainings
        The runs.
    take : callable
        Takes a field of ``TrainConfig`` and its value.
    """

    def __init__(self, trainings: Trainings, take: Any) -> None:
        super().__init__()
        self._trainings, self._give = trainings, take
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        self.on = QCheckBox("Learn from regions, too")
        self.on.setToolTip(
            "Patches inside regions named with a class get a loss of their own. The weight "
            "is hint_weight in “All settings”."
        )
        self.on.clicked.connect(self._switch)
        self.line = label(small=True)
        column.addWidget(self.on)
        column.addWidget(self.line)
        events = trainings.state.events
        for event in (events.hints, events.given, events.way):
            event.connect(self.refresh, max_args=0)
        self.refresh()

    def refresh(self) -> None:
        """Show what would join."""
        state = self._trainings.state
        weight = float(state.given.get("hint_weight", 0.0))
        self.on.setChecked(weight > 0)
        # of slides that are refused nothing is known
        known = state.split is not None
        self.line.setText(said.hints_line(state.hints, weight) if known else "")
        self.setVisible(state.way != CUTOFF and (state.hints.is_any or weight > 0))

    def _switch(self, is_on: bool) -> None:
        self._give("hint_weight", USUAL if is_on else None)
