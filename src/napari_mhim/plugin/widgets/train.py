"""The Train tab: what to train, how it goes, what came of it."""

from html import escape
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from napari_mhim.plugin import training_words as said
from napari_mhim.plugin.state.training import Status
from napari_mhim.plugin.trainings import Trainings
from napari_mhim.plugin.widgets.hints import HintsView, HintSwitch
from napari_mhim.plugin.widgets.learning import LearningCurves
from napari_mhim.plugin.widgets.results import ResultsView
from napari_mhim.plugin.widgets.section import Section
from napari_mhim.plugin.widgets.text import button, label, line, title
from napari_mhim.plugin.widgets.train_form import TrainForm
from napari_mhim.plugin.worklist import Worklist


class TrainTab(QWidget):  # type: ignore[misc]
    """A model from labelled slides, watched while it learns.

    Parameters
    ----------
    trainings : Trainings
        The runs.
    worklist : Worklist
        The list of slides, which the error review opens slides of.
    """

    def __init__(self, trainings: Trainings, worklist: Worklist) -> None:
        super().__init__()
        self.trainings, self._state = trainings, trainings.state
        column = QVBoxLayout(self)
        column.setSpacing(6)
        self.asks = QWidget()
        asks = QVBoxLayout(self.asks)
        asks.setContentsMargins(0, 0, 0, 0)
        asks.addWidget(label(said.INTRO, small=True))
        self.form = TrainForm(trainings)
        asks.addWidget(self.form)
        self.start = button(
            "Start",
            "Extract what is missing, then learn. Everything is kept in the run's folder.",
            trainings.start,
        )
        self.start.setMinimumHeight(34)
        self.why_not = label(small=True)
        self.hints = Section(
            "Regions as hints",
            "Show a model where on a slide its class is, and where it is not.",
            lambda _: HintsView(trainings),
            trainings.desk,
        )
        self.switch = HintSwitch(trainings, self.form.take)
        asks.addWidget(self.hints)
        asks.addWidget(self.switch)
        asks.addWidget(self.start)
        asks.addWidget(self.why_not)
        asks.addWidget(line())
        column.addWidget(self.asks)
        self._add_run(column)
        self.results = Section(
            "Results",
            "Figures of the finished model, and the slides it errs on.",
            lambda _: ResultsView(trainings, worklist),
            trainings.desk,
        )
        column.addWidget(self.results)
        column.addStretch(1)
        self._connect()
        self._find_unfinished()
        self.refresh()

    def release(self) -> None:
        """Stop listening to the dock."""
        self.trainings.desk.state.job.events.is_busy.disconnect(self.refresh)
        self.form.release()
        self.results.release()
        self.hints.release()
        self.trainings.release()

    def refresh(self) -> None:
        """Let every button follow the one status."""
        state, status = self._state, self._state.status
        reason = self.trainings.can_start()
        self.start.setText(said.NAMES[state.way])
        self.start.setEnabled(reason is None)
        self.why_not.setText(escape(reason or "Ready."))
        # the form makes room for the run: its curves are what one watches then
        self.asks.setVisible(status is Status.IDLE)
        self.another.setVisible(status is Status.DONE)
        self.status.setText(said.STATUS[status])
        self.status.setVisible(status is not Status.IDLE)
        is_paused, waits = status is Status.PAUSED, status.is_unfinished
        self.pause.setVisible(status.is_at_work)
        self.stop.setVisible(status.is_at_work or is_paused)
        for one in (self.pause, self.stop):
            one.setEnabled(status is not Status.STOPPING)
        self.resume.setVisible(waits)
        self.discard.setVisible(waits and not is_paused)
        for one in (self.keep_best, self.keep_last):
            one.setVisible(waits and not is_paused and bool(state.epochs))
        n = self.unfinished.count()
        self.unfinished.setVisible(n > 1 and not status.is_at_work and not waits)
        self._show_epochs()

    def _add_run(self, column: QVBoxLayout) -> None:
        column.addWidget(title("3 · How it goes"))
        self.unfinished = QComboBox()
        self.unfinished.setToolTip(
            "A run that was paused or stopped, or that failed, on another day."
        )
        self.unfinished.activated.connect(self._take_up)
        self.status, self.summary = label(), label(small=True)
        self.curves = LearningCurves()
        self.live = QCheckBox("Draw on the open slide")
        self.live.setToolTip(
            "The slide's overlays follow the model that is learning; off shows what the "
            "chosen model said."
        )
        self.live.setChecked(True)
        self.live.toggled.connect(self.trainings.show_live)
        self.epoch = QSlider(Qt.Orientation.Horizontal)
        self.epoch.setToolTip("Go back to the overlays of an earlier epoch.")
        self.epoch.valueChanged.connect(self._choose_epoch)
        self.at = label(small=True)
        row = QHBoxLayout()
        row.addWidget(self.epoch, 1)
        row.addWidget(self.live)
        for widget in (self.unfinished, self.status, self.summary):
            column.addWidget(widget)
        column.addLayout(self._run_buttons())
        column.addWidget(self.curves)
        column.addLayout(row)
        column.addWidget(self.at)

    def _run_buttons(self) -> QGridLayout:
        runs = self.trainings
        self.pause = button(
            "Pause",
            "End for now: memory is free at once, and all but the epoch under way stays on "
            "disk.",
            runs.pause,
        )
        self.stop = button(
            "Stop",
            "Stop learning, and choose then: resume, keep a model of it, or discard it.",
            runs.stop,
        )
        self.resume = button("Resume", "Go on where it was.", runs.resume)
        self.keep_best = button(
            "Keep best", "Make a model of the best epoch.", lambda: runs.keep("best")
        )
        self.keep_last = button(
            "Keep last", "Make a model of the last epoch.", lambda: runs.keep("last")
        )
        self.discard = button(
            "Discard", "Remove this unfinished run from the disk.", runs.discard
        )
        self.another = button(
            "Another run", "Ask for another run; this one stays on disk.", runs.another
        )
        grid = QGridLayout()
        grid.addWidget(self.another, 0, 0, 1, 2)
        grid.addWidget(self.pause, 1, 0)
        grid.addWidget(self.resume, 1, 0)
        grid.addWidget(self.stop, 1, 1)
        grid.addWidget(self.discard, 1, 1)
        grid.addWidget(self.keep_best, 2, 0)
        grid.addWidget(self.keep_last, 2, 1)
        return grid

    def _connect(self) -> None:
        events = self._state.events
        for event in (
            *(events.status, events.way, events.table, events.takes_list, events.run),
            *(events.refused, events.split),
        ):
            event.connect(self.refresh, max_args=0)
        for event in (events.epochs, events.watched):
            event.connect(self._show_epochs, max_args=0)
        events.status.connect(self._on_status)
        self.trainings.desk.state.job.events.is_busy.connect(self.refresh, max_args=0)

    def _show_epochs(self) -> None:
        state = self._state
        self.curves.setVisible(bool(state.epochs))
        self.curves.show_epochs(state.epochs, state.best)
        self.summary.setText(escape(state.summary()))
        self.summary.setVisible(bool(state.epochs))
        n = len(state.watched)
        for widget in (self.epoch, self.live, self.at):
            widget.setVisible(n > 0)
        self.epoch.blockSignals(True)
        self.epoch.setRange(0, max(n - 1, 0))
        follows = state.shown_epoch < 0
        self.epoch.setValue(n - 1 if follows else state.shown_epoch)
        self.epoch.blockSignals(False)
        if n:
            seen = state.watched[state.shown_epoch]
            desk = self.trainings.desk.state
            is_open = desk.live is seen.result
            name = desk.slide_name() if is_open else seen.result.slide
            name = escape(desk.without_names(name))
            self.at.setText(
                f"On {name}: {escape(seen.stage)}, epoch {seen.epoch}, score "
                f"{seen.result.score:.2f}. Colour limits: this slide, epochs so far."
            )

    def _choose_epoch(self, place: int) -> None:
        is_newest = place >= len(self._state.watched) - 1
        # the newest is followed, so that the slider does not fall behind
        self._state.shown_epoch = -1 if is_newest else place
        self._show_epochs()

    def _on_status(self, status: Status) -> None:
        if status is Status.DONE:
            self.results.open()
        self._find_unfinished()

    def _find_unfinished(self) -> None:
        self.unfinished.clear()
        self.unfinished.addItem("Unfinished runs …")
        self.unfinished.addItems(list(self.trainings.unfinished_runs()))

    def _take_up(self, place: int) -> None:
        if place > 0:
            self.trainings.take_up(self.unfinished.itemText(place))

    def showEvent(self, event: Any) -> None:
        """Look for unfinished runs again: the workspace may be another one by now."""
        self._find_unfinished()
        self.refresh()
        self.trainings.show_live(self.live.isChecked())
        super().showEvent(event)

    def hideEvent(self, event: Any) -> None:
        """Give the overlays back to the result that the other tabs talk of."""
        self.trainings.show_live(False)
        super().hideEvent(event)
