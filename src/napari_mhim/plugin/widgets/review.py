"""The Review tab: the score, the tour, the layers with one legend, the keys."""

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from napari_mhim.mil.result import SlideResult
from napari_mhim.plugin import words
from napari_mhim.plugin.desk import Desk
from napari_mhim.plugin.overlays import (
    ATTENTION,
    DIFFERENCE,
    EVIDENCE,
    HARD,
    HIDDEN,
    SLIDE,
    TRUTH,
)
from napari_mhim.plugin.placing import PARTS
from napari_mhim.plugin.widgets.compare import Compare
from napari_mhim.plugin.widgets.evidence_row import EvidenceRow
from napari_mhim.plugin.widgets.gallery import Patches
from napari_mhim.plugin.widgets.legend import LayerRow
from napari_mhim.plugin.widgets.measure import MeasureRow
from napari_mhim.plugin.widgets.method import MethodView
from napari_mhim.plugin.widgets.minimap import Minimap
from napari_mhim.plugin.widgets.report import Report
from napari_mhim.plugin.widgets.section import Jumps, Section
from napari_mhim.plugin.widgets.text import boxed, button, label, title
from napari_mhim.plugin.widgets.tour import Tour
from napari_mhim.plugin.widgets.unlike import UnlikeLine
from napari_mhim.plugin.widgets.what_if import WhatIf

SECTIONS: tuple[tuple[str, str, Callable[[Desk], QWidget]], ...] = (
    (
        "Map",
        "The whole slide with its evidence, and a frame round what is in view.",
        Minimap,
    ),
    (
        "Patches",
        "Pictures of the patches, and what the model made of each.",
        Patches,
    ),
    (
        "What if",
        "The score without an area of the slide; areas left out for good.",
        WhatIf,
    ),
    (
        "Compare",
        "The same slide by another model: flip, difference, side by side.",
        Compare,
    ),
    (
        "Report",
        "Tables, pictures and a page to keep of this result.",
        Report,
    ),
    (
        "Method view",
        "What training would hide at other ratios, and the score of what is left.",
        MethodView,
    ),
)
"""Name, tip and content of each section of the tab, top to bottom; closed at first."""


class ReviewTab(QWidget):  # type: ignore[misc]
    """What the model made of the slide."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        state, canvas = desk.state, desk.canvas
        self._state, self._canvas = state, canvas
        self.rows: dict[str, LayerRow] = {}
        self._rows_show: SlideResult | None = None
        column = QVBoxLayout(self)
        column.setSpacing(6)
        self.nothing = label()
        column.addWidget(self.nothing)
        self.found = QWidget()
        column.addWidget(self.found)
        column.addStretch(1)
        inner = QVBoxLayout(self.found)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(6)
        self.sections = {
            name: Section(name, tip, make, desk) for name, tip, make in SECTIONS
        }
        self.unlike = UnlikeLine(desk)
        inner.addWidget(self._score_card())
        self.jumps = Jumps(self.sections.values())
        inner.addWidget(self.jumps)
        inner.addWidget(title("Tour"))
        self.tour = Tour(state, canvas)
        inner.addWidget(self.tour)
        inner.addLayout(self._ring_buttons())
        inner.addWidget(title("Layers"))
        self._rows_column = QVBoxLayout()
        self._rows_column.setSpacing(3)
        inner.addLayout(self._rows_column)
        for section in self.sections.values():
            inner.addWidget(section)
        inner.addWidget(label(_keys(), small=True))
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._make_rows)
        layers = canvas.viewer.layers
        layers.events.inserted.connect(self._layers_changed)
        layers.events.removed.connect(self._layers_changed)
        state.events.result.connect(self.refresh, max_args=0)
        state.events.held_back.connect(self.refresh, max_args=0)
        state.events.shows_baseline.connect(self.refresh, max_args=0)
        self.refresh()

    def release(self) -> None:
        """Stop listening to the viewer and its layers."""
        self._soon.stop()
        layers = self._canvas.viewer.layers
        layers.events.inserted.disconnect(self._layers_changed)
        layers.events.removed.disconnect(self._layers_changed)
        for part in list(self.rows):
            self._take_row(part)
        self.unlike.release()
        for section in self.sections.values():
            section.release()

    def refresh(self) -> None:
        """Show what the state says."""
        result = self._state.result
        self.nothing.setVisible(result is None)
        self.nothing.setText(
            words.HELD_BACK if self._state.held_back else words.NO_RESULT
        )
        self.found.setVisible(result is not None)
        if result is not None:
            self.score.setText(words.score_line(result))
            others = words.other_scores(result)
            self.small.setText(f"{others}<br>{words.SCORE}" if others else words.SCORE)
        rings = self._state.rings()
        has_rings = rings is not None and len(rings) > 0
        for one in (self.next, self.previous):
            one.setEnabled(has_rings)
        self._show_no_rings(has_rings)
        self._make_rows()

    def _score_card(self) -> QFrame:
        frame = QFrame()
        boxed(frame)
        column = QVBoxLayout(frame)
        column.setContentsMargins(8, 6, 8, 6)
        self.score = label()
        self.small = label(small=True)
        self.no_rings = label()
        for one in (self.score, self.small, self.no_rings, self.unlike):
            column.addWidget(one)
        return frame

    def _ring_buttons(self) -> QHBoxLayout:
        row = QHBoxLayout()
        self.previous = button(
            "◀ Previous patch",
            "Fly to the hard patch before. Key: Shift+N.",
            lambda: self._step(-1),
        )
        self.next = button(
            "Next patch ▶",
            "Fly to the next hard patch. Key: N.",
            lambda: self._step(1),
        )
        self.whole = button(
            "Whole slide", "Show the whole slide again.", self._canvas.look_at_all
        )
        for one in (self.previous, self.next, self.whole):
            row.addWidget(one)
        return row

    def _step(self, step: int) -> None:
        if self._state.ring < 0:
            self.tour.show_hard()
        else:
            self._canvas.step_ring(step)

    def _show_no_rings(self, has_rings: bool) -> None:
        shown = self._state.shown
        self.no_rings.setVisible(shown is not None and not has_rings)
        if shown is not None:
            self.no_rings.setText(words.no_rings(shown.classes[shown.target]))

    def _layers_changed(self, event: Any = None) -> None:
        # a result brings five layers: their rows are made once, not five times
        self._soon.start()

    def _make_rows(self) -> None:
        """Give each overlay its row; rows of layers that stay are kept as they are."""
        found, shown = self._canvas.layers(), self._state.shown
        wanted = [part for part in reversed(PARTS) if part in found and part != SLIDE]
        for part in list(self.rows):
            is_new_result = self._rows_show is not shown
            if is_new_result or found.get(part) is not self.rows[part].layer:
                self._take_row(part)
        self._rows_show = shown
        for place, part in enumerate(wanted):
            if part not in self.rows:
                self.rows[part] = self._row(part, found[part])
                self._rows_column.insertWidget(place, self.rows[part])
        self.rows = {part: self.rows[part] for part in wanted}

    def _row(self, part: str, layer: Any) -> LayerRow:
        shown = self._state.shown
        if part == ATTENTION:
            return MeasureRow(layer, self._state)
        if part == EVIDENCE and shown is not None:
            return EvidenceRow(layer, shown, self._state.mpp)
        return LayerRow(part, layer, self._meaning(part))

    def _take_row(self, part: str) -> None:
        row = self.rows.pop(part)
        row.release()
        self._rows_column.removeWidget(row)
        # deleted only when the event loop comes round: till then it would be seen
        row.hide()
        row.deleteLater()

    def _meaning(self, part: str) -> str:
        shown = self._state.shown
        if part == HARD:
            return words.HARD
        if part == TRUTH:
            return words.TRUTH
        if part == DIFFERENCE:
            return words.DIFFERENCE
        return words.hidden(shown) if part == HIDDEN and shown is not None else ""


def _keys() -> str:
    return "Keys: " + " · ".join(f"<b>{key}</b> {what}" for key, what in words.KEYS)
