"""The section Compare: the same slide by another model, one after the other or side by side."""

from typing import Any

from qtpy.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QVBoxLayout,
    QWidget,
)

from napari_mhim.errors import MhimError
from napari_mhim.plugin import words
from napari_mhim.plugin.desk import Desk
from napari_mhim.plugin.difference import Difference
from napari_mhim.plugin.overlays import EVIDENCE
from napari_mhim.plugin.side_by_side import SideBySide
from napari_mhim.plugin.state.compare import (
    CompareState,
    Other,
    check_comparable,
    read_other,
)
from napari_mhim.plugin.widgets.text import button, label
from napari_mhim.workspace import Workspace

_NOTHING = "Choose another result of this slide"


class Compare(QWidget):  # type: ignore[misc]
    """Choose a second result; then flip, subtract, or open it beside.

    Parameters
    ----------
    desk : Desk
        What the dock works with.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self.state = CompareState()
        self.difference = Difference(desk.canvas)
        self.side: SideBySide | None = None
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 0, 0, 0)
        column.addWidget(label(words.COMPARE, small=True))
        column.addLayout(self._choice())
        self.refused = label()
        column.addWidget(self.refused)
        self.found = QWidget()
        column.addWidget(self.found)
        self._add_flip(QVBoxLayout(self.found))
        self._connect()
        self._start()

    def release(self) -> None:
        """Stop listening, close the second window, and take the layer away."""
        events = self._desk.state.events
        events.result.disconnect(self._start)
        events.compared.disconnect(self._follow)
        events.shows_baseline.disconnect(self._tell)
        layers = self._desk.canvas.viewer.layers.events
        layers.removed.disconnect(self._layers_changed)
        self._close_side()
        self.difference.hide()

    def choose(self, other: Other) -> None:
        """Compare with a result; what forbids it is told, and nothing changes.

        Parameters
        ----------
        other : Other
            One of ``state.others``, or of another folder.
        """
        state, result = self._desk.state, self._desk.state.result
        if result is None:
            return
        self._back_to_a()
        try:
            if not other.path:
                assert state.baseline is not None
                check_comparable(result, state.baseline)
                state.compared = None
            else:
                found = read_other(other.path, result)
                other = Other(found.bundle, found.score, other.path)
                state.compared = found
        except MhimError as err:
            self.state.chosen = None
            self.state.problem = state.without_names(str(err))
        else:
            self._add(other)
            self.state.chosen, self.state.problem = other, ""
        self._tell()

    def show_difference(self, is_on: bool) -> None:
        """Put the difference layer on, or take it away."""
        result, other = self._desk.state.result, self._desk.state.other
        if not is_on:
            self.difference.hide()
        elif result is not None and other is not None:
            self._desk.state.shows_baseline = False
            self.difference.show(result, other)
        self._tell()

    def show_beside(self) -> None:
        """Open a second window with the other result."""
        state = self._desk.state
        other, chosen = state.other, self.state.chosen
        if other is None or chosen is None or self.side is not None:
            return
        state.shows_baseline = False
        try:
            self.side = SideBySide(
                self._desk.canvas,
                other,
                words.beside("B: " + chosen.name, other),
                f"B: {chosen.name} · {state.slide_name()}",
                self._side_closed,
            )
        except MhimError as err:
            state.tell(err)
        self._tell()

    def _choice(self) -> QHBoxLayout:
        row = QHBoxLayout()
        self.others = QComboBox()
        self.others.setToolTip(
            "Results of this slide by other models, in the workspace; the baseline where "
            "one came with the slide."
        )
        self.others.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.file = button(
            "File …", "Choose a result file of another folder (.h5).", self._ask_file
        )
        row.addWidget(self.others, 1)
        row.addWidget(self.file)
        return row

    def _add_flip(self, column: QVBoxLayout) -> None:
        column.setContentsMargins(0, 0, 0, 0)
        row = QHBoxLayout()
        self.a = button("A", "Draw what this model sees.", lambda: self._flip(False))
        self.b = button("B", "Draw what the other sees.", lambda: self._flip(True))
        group = QButtonGroup(self)
        for one in (self.a, self.b):
            one.setCheckable(True)
            group.addButton(one)
            row.addWidget(one)
        column.addLayout(row)
        self.scores = label()
        column.addWidget(self.scores)
        row = QHBoxLayout()
        self.minus = button(
            "Difference B − A",
            "Draw where B pushes the score more or less than A; again to end.",
            lambda: self.show_difference(self.minus.isChecked()),
        )
        self.minus.setCheckable(True)
        self.beside = button(
            "Side by side",
            "Open B in a second window that follows this one.",
            self.show_beside,
        )
        row.addWidget(self.minus)
        row.addWidget(self.beside)
        column.addLayout(row)

    def _connect(self) -> None:
        self.others.activated.connect(self._on_chosen)
        events = self._desk.state.events
        events.result.connect(self._start, max_args=0)
        events.compared.connect(self._follow, max_args=0)
        events.shows_baseline.connect(self._tell, max_args=0)
        layers = self._desk.canvas.viewer.layers.events
        layers.removed.connect(self._layers_changed)

    def showEvent(self, event: Any) -> None:
        """Look again: another model may have been run meanwhile."""
        if not event.spontaneous() and self.state.chosen is None:
            self._look()
        super().showEvent(event)

    def _start(self) -> None:
        """Begin anew with the result there is."""
        self._close_side()
        self.difference.hide()
        self._look()

    def _look(self) -> None:
        state = self._desk.state
        place = Workspace(self._desk.runs.workspace)
        self.state.find(state.result, state.baseline, place)
        self._list()
        self._tell()

    def _list(self) -> None:
        self.others.clear()
        self.others.addItem(_NOTHING)
        for one in self.state.others:
            self.others.addItem(f"{one.name}: score {one.score:.2f}")

    def _add(self, other: Other) -> None:
        """List a file of another folder, too."""
        if other not in self.state.others:
            self.state.others = (*self.state.others, other)
            self._list()

    def _on_chosen(self, number: int) -> None:
        if number > 0:
            self.choose(self.state.others[number - 1])

    def _ask_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self, "Choose a result", str(self._desk.runs.workspace), "Results (*.h5)"
        )
        if path:
            self.choose(Other("", 0.0, path))

    def _flip(self, to_b: bool) -> None:
        self.difference.hide()
        self._desk.canvas.show_only(EVIDENCE, "hard")
        self._desk.state.shows_baseline = to_b
        self._tell()

    def _back_to_a(self) -> None:
        self._close_side()
        self.difference.hide()
        self._desk.state.shows_baseline = False

    def _follow(self) -> None:
        """Follow the tour, which compares with the baseline."""
        if self._desk.state.compared is None and self.state.chosen is not None:
            if self.state.chosen.path:
                self.state.chosen = None
                self._close_side()
                self.difference.hide()
            self._tell()

    def _layers_changed(self, event: Any = None) -> None:
        self._tell()

    def _close_side(self) -> None:
        if self.side is not None:
            self.side.close()

    def _side_closed(self) -> None:
        self.side = None
        self._tell()

    def _tell(self) -> None:
        state, chosen = self._desk.state, self.state.chosen
        others = self.state.others
        self.others.setCurrentIndex(0 if chosen is None else others.index(chosen) + 1)
        problem = self.state.problem
        if not problem and not others and state.result is not None:
            problem = (
                "No other model's result of this slide is in the workspace: choose another "
                "model in Analyse and run it."
            )
        self.refused.setText(problem)
        self.refused.setVisible(bool(problem))
        result, other = state.result, state.other
        is_there = chosen is not None and result is not None and other is not None
        self.found.setVisible(is_there)
        if chosen is None or result is None or other is None:
            return
        self.a.setChecked(not state.shows_baseline)
        self.b.setChecked(state.shows_baseline)
        self.minus.setChecked(self.difference.is_shown)
        self.beside.setEnabled(self.side is None)
        pair = ((f"A {result.bundle}", result), (f"B {other.bundle}", other))
        for one, (name, _) in zip((self.a, self.b), pair, strict=True):
            one.setText(name)
        shown = pair[1][0] if state.shows_baseline else pair[0][0]
        text = words.comparison(shown, *pair)
        if self.difference.is_shown:
            text = words.difference(*pair)
        if state.truth is None:
            verdict = words.disagreement(*pair)
        else:
            verdict = words.who_is_right(*pair, any(state.truth.polygons.values()))
        self.scores.setText(f"{text} {verdict}")
