"""The tour: five questions, each a button that shows its answer on the slide."""

from html import escape

from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_mhim.mil.result import SlideResult
from napari_mhim.plugin import words
from napari_mhim.plugin.canvas import Canvas
from napari_mhim.plugin.overlays import EVIDENCE, HARD, HIDDEN, TRUTH
from napari_mhim.plugin.state.desk import DeskState
from napari_mhim.plugin.widgets.text import button, label


class Tour(QWidget):  # type: ignore[misc]
    """Five steps; each sets the layers itself, so that they can be taken in any order."""

    def __init__(self, state: DeskState, canvas: Canvas) -> None:
        super().__init__()
        self._state, self._canvas = state, canvas
        self.steps: list[QPushButton] = []
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        self._group = QButtonGroup(self)
        for act, tip in (
            (self.show_evidence, "Show which patches push the score up or down."),
            (self.show_hidden, "Show the patches the teacher finds easy."),
            (self.show_hard, "Fly to the first hard patch."),
            (self.show_truth, "Show the true lesions of this made slide."),
            (self.show_comparison, "Show the same slide through both models."),
        ):
            step = button("", tip, act)
            step.setCheckable(True)
            step.setStyleSheet("text-align: left; padding: 3px 6px;")
            self._group.addButton(step)
            self.steps.append(step)
            column.addWidget(step)
        self.answer = label()
        column.addWidget(self.answer)
        self._add_models(column)
        state.events.result.connect(self.refresh, max_args=0)
        state.events.ring.connect(self._tell_ring, max_args=0)
        state.events.shows_baseline.connect(self._tell_models, max_args=0)
        self.refresh()

    def refresh(self) -> None:
        """Start again: another result, or none."""
        state = self._state
        name = _target(state)
        has_teacher = state.result is None or state.result.score_source == "teacher"
        hider = "does the teacher hide" if has_teacher else "would be hidden"
        lines = (
            f"1  What speaks for {name}?",
            f"2  What {hider} in training?",
            "3  What must the student use instead?",
            "4  Was it right? (demo only)",
            "5  Compare with training without hiding",
        )
        for step, text in zip(self.steps, lines, strict=True):
            step.setText(text)
        self._group.setExclusive(False)
        for step in self.steps:
            step.setChecked(False)
        self._group.setExclusive(True)
        self.steps[3].setVisible(state.truth is not None)
        self.steps[4].setVisible(state.baseline is not None)
        self.models.hide()
        self.answer.setText("")
        self.answer.hide()

    def show_evidence(self) -> None:
        """Step 1: evidence over the whole slide."""
        self._canvas.show_only(EVIDENCE)
        self._canvas.look_at_all()
        shown = self._state.shown
        if shown is not None:
            name = shown.classes[shown.target]
            self._say(0, f"{words.evidence(name)} {words.sum_kind(shown)}")

    def show_hidden(self) -> None:
        """Step 2: what the teacher would hide."""
        self._canvas.show_only(HIDDEN)
        self._canvas.look_at_all()
        shown = self._state.shown
        if shown is not None:
            share = f"{int(shown.mask.sum())} of {len(shown)} patches"
            self._say(1, f"{share}. {words.hidden(shown)}")

    def show_hard(self) -> None:
        """Step 3: the rings, and close by the first of them."""
        self._canvas.show_only(EVIDENCE, HARD)
        self._say(2, "")
        self._canvas.fly_to_ring(0)
        self._tell_ring()

    def show_truth(self) -> None:
        """Step 4: rings against the true lesions."""
        self._canvas.show_only(TRUTH, HARD)
        self._canvas.look_at_all()
        labels = self._state.ring_labels()
        if labels is not None:
            self._say(3, f"<b>{words.inside(labels)}</b> {words.TRUTH}")

    def show_comparison(self) -> None:
        """Step 5: the same evidence, by a model trained without hiding."""
        self._state.compared = None
        self._canvas.show_only(EVIDENCE, HARD)
        self._canvas.look_at_all()
        self._say(4, "")
        self.models.show()
        self._tell_models()

    def _add_models(self, column: QVBoxLayout) -> None:
        self.models = QWidget()
        row = QHBoxLayout(self.models)
        row.setContentsMargins(0, 0, 0, 0)
        self.baseline = button(
            "Baseline",
            "Draw what the model trained without hiding sees.",
            lambda: self._choose(True),
        )
        self.mhim = button(
            "MHIM",
            "Draw what the model trained with hiding sees.",
            lambda: self._choose(False),
        )
        group = QButtonGroup(self.models)
        for one in (self.baseline, self.mhim):
            one.setCheckable(True)
            group.addButton(one)
            row.addWidget(one)
        column.addWidget(self.models)

    def _choose(self, is_baseline: bool) -> None:
        self._state.shows_baseline = is_baseline

    def _tell_models(self) -> None:
        state = self._state
        self.baseline.setChecked(state.shows_baseline)
        self.mhim.setChecked(not state.shows_baseline)
        if state.result is None or state.baseline is None:
            return
        if self.steps[4].isChecked():
            name = "Baseline" if state.shows_baseline else "MHIM"
            pair = (("Baseline", state.baseline), ("MHIM", state.result))
            text = words.comparison(name, *pair)
            if state.truth is not None:
                has_it = any(state.truth.polygons.values())
                text = f"{text} {words.who_is_right(*pair, has_it)}"
            self._say(4, text)

    def _tell_ring(self) -> None:
        state, rings = self._state, self._state.rings()
        if rings is None or not self.steps[2].isChecked():
            return
        if not len(rings):
            shown = state.shown
            assert shown is not None
            self._say(2, words.no_rings(shown.classes[shown.target]))
        elif 0 <= state.ring < len(rings):
            reason = escape(rings.reasons[state.ring])
            self._say(2, f"Patch {state.ring + 1} of {len(rings)}. {reason}")

    def _say(self, step: int, text: str) -> None:
        self.steps[step].setChecked(True)
        self.models.setVisible(step == 4)
        self.answer.setText(text)
        self.answer.setVisible(bool(text))


def _target(state: DeskState) -> str:
    result: SlideResult | None = state.result
    return "the class" if result is None else result.classes[result.target]
