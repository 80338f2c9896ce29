"""Method view: what training would hide at other ratios, and the score of what is left."""

from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QSlider,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)
from superqt import QLabeledDoubleSlider

from napari_mhim.errors import MhimError
from napari_mhim.plugin import words
from napari_mhim.plugin.desk import Desk
from napari_mhim.plugin.palette import PART_COLOURS
from napari_mhim.plugin.state.method import STRATEGIES, MethodState
from napari_mhim.plugin.widgets.curve import ShareCurve
from napari_mhim.plugin.widgets.text import button, label

_MOST = 0.9
_SLIDERS = {
    "high": ("β_h  easiest", "Share hidden as easy: the teacher's most salient."),
    "low": ("β_l  least", "Share hidden as least salient."),
    "random": ("β_r  by chance", "Share hidden by chance, the same draw each time."),
}


class MethodView(QWidget):  # type: ignore[misc]
    """The mask explorer: the mask follows the sliders, and so does the score.

    Parameters
    ----------
    desk : Desk
        What the dock works with.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self.state = MethodState()
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 0, 0, 0)
        column.addWidget(label(words.METHOD, small=True))
        self.refused = label()
        column.addWidget(self.refused)
        self.strategy = QComboBox()
        self.strategy.addItems(STRATEGIES)
        self.strategy.setToolTip("Which parts the mask has, by the paper's names.")
        self.sliders = {name: _slider(tip) for name, (_, tip) in _SLIDERS.items()}
        self.seed = QSpinBox()
        self.seed.setToolTip("Seed of what is hidden by chance.")
        self._form = QFormLayout()
        self._form.addRow("strategy", self.strategy)
        for name, slider in self.sliders.items():
            self._form.addRow(_SLIDERS[name][0], slider)
        self._form.addRow("seed", self.seed)
        self.epoch = QSlider(Qt.Orientation.Horizontal)
        self.epoch.setToolTip(
            "What the teacher would have hidden after an earlier epoch of its training; "
            "at the right end: the finished teacher."
        )
        self._form.addRow("epoch", self.epoch)
        column.addLayout(self._form)
        self.reset = button(
            "As trained", "Back to the share this model was trained with.", self._reset
        )
        column.addWidget(self.reset)
        self.whose = label(small=True)
        column.addWidget(self.whose)
        self.found = label()
        self.key = label(_legend(), small=True)
        self.curve = ShareCurve()
        for widget in (self.found, self.key, self.curve):
            column.addWidget(widget)
        self._connect()
        self._start()

    def release(self) -> None:
        """Stop listening, and give the layer of hidden patches its own data back."""
        state = self._desk.state
        state.events.result.disconnect(self._start)
        state.events.bundle.disconnect(self._start)
        self._desk.canvas.show_hidden()

    def hideEvent(self, event: Any) -> None:
        """Show what the result says again: the explorer is closed."""
        self._desk.canvas.show_hidden()
        super().hideEvent(event)

    def showEvent(self, event: Any) -> None:
        """Draw the explorer's mask again."""
        self._draw()
        super().showEvent(event)

    def _connect(self) -> None:
        self.strategy.currentTextChanged.connect(self._ask)
        for slider in self.sliders.values():
            slider.valueChanged.connect(self._ask)
        self.seed.valueChanged.connect(self._ask)
        self.epoch.valueChanged.connect(self._choose_epoch)
        state = self._desk.state
        state.events.result.connect(self._start, max_args=0)
        state.events.bundle.connect(self._start, max_args=0)
        for event in (self.state.events.hidden, self.state.events.score):
            event.connect(self._tell, max_args=0)
        self.state.events.hidden.connect(self._draw, max_args=0)
        self.state.events.curve.connect(self._draw_curve, max_args=0)

    def _start(self) -> None:
        """Begin with the ratio the model was trained with, on the slide there is."""
        self.state.forget()
        reason = self._desk.talk.why_not()
        self.refused.setText(reason or "")
        self.refused.setVisible(reason is not None)
        for widget in (*self.sliders.values(), self.strategy, self.seed, self.reset):
            widget.setEnabled(reason is None)
        desk = self._desk.state
        if reason is None and desk.bundle is not None and desk.result is not None:
            self.state.look(desk.bundle.path, desk.result)
        n = len(self.state.epochs)
        self.epoch.blockSignals(True)
        self.epoch.setRange(0, n)
        self.epoch.blockSignals(False)
        self._form.setRowVisible(self.epoch, n > 0)
        self.whose.setVisible(n > 0)
        if reason is None:
            self._reset()

    def _choose_epoch(self, place: int) -> None:
        try:
            self.state.choose(place)
        except MhimError as err:
            self._desk.state.tell(err)
            return
        self._ask_curve()
        self._ask()

    def _ask_curve(self) -> None:
        result = self._desk.state.result
        if result is not None:
            self.whose.setText(self.state.whose(result.target))
        self._desk.talk.ask(self.state.curve_question(), self.state.take)

    def _reset(self) -> None:
        result = self._desk.state.result
        if result is None:
            return
        self.state.choose(len(self.state.epochs))
        self.epoch.blockSignals(True)
        self.epoch.setValue(len(self.state.epochs))
        self.epoch.blockSignals(False)
        self._ask_curve()
        for widget in (*self.sliders.values(), self.strategy, self.seed):
            widget.blockSignals(True)
        self.strategy.setCurrentText("HAM")
        self.sliders["high"].setValue(result.mask_ratio_high)
        self.sliders["low"].setValue(self.state.low)
        self.sliders["random"].setValue(self.state.random)
        self.seed.setValue(0)
        for widget in (*self.sliders.values(), self.strategy, self.seed):
            widget.blockSignals(False)
        self._ask()

    def _ask(self) -> None:
        state, parts = self.state, STRATEGIES[self.strategy.currentText()]
        state.strategy = self.strategy.currentText()
        for name, slider in self.sliders.items():
            setattr(state, name, slider.value())
            self._form.setRowVisible(slider, name in parts)
        self._form.setRowVisible(self.seed, "random" in parts)
        state.seed = self.seed.value()
        self.curve.mark(state.high)
        self._desk.talk.ask(state.question(), state.take)
        self._tell()

    def _tell(self) -> None:
        result = self._desk.state.result
        if result is None:
            self.found.setText("")
            return
        score = self.state.score
        left = (
            "pending" if score is None else f"{score.probabilities[result.target]:.2f}"
        )
        self.found.setText(
            f"{self.state.summary()} Score of what is left: <b>{left}</b> "
            f"(whole slide {result.score:.2f})."
        )

    def _draw(self) -> None:
        if self.state.hidden is not None:
            self._desk.canvas.show_hidden(self.state.hidden.parts)

    def _draw_curve(self) -> None:
        result, curve = self._desk.state.result, self.state.curve
        if result is None or curve is None:
            self.curve.show_curve(np.zeros(0), np.zeros(0, np.float32), None)
            return
        cutoff = None if result.cutoff is None else result.cutoff.value
        scores = curve.probabilities[:, result.target]
        self.curve.show_curve(curve.shares, scores, cutoff)


def _slider(tip: str) -> QLabeledDoubleSlider:
    made = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
    made.setRange(0.0, _MOST)
    made.setDecimals(2)
    made.setSingleStep(0.01)  # type: ignore[arg-type]
    made.setToolTip(tip)
    return made


def _legend() -> str:
    return " ".join(
        f"<span style='color:{colour}'>■</span> {name}"
        for name, colour in PART_COLOURS.items()
    )
