"""Tissue and quality: what is looked at and what is left out, drawn as the sliders move."""

from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel, QVBoxLayout, QWidget
from superqt import QLabeledDoubleSlider

from napari_mhim.errors import MhimError
from napari_mhim.plugin import tissue_settings, words
from napari_mhim.plugin.desk import Desk
from napari_mhim.plugin.palette import TISSUE_COLOURS
from napari_mhim.plugin.reading import Conversation, converse
from napari_mhim.plugin.state.desk import OpenSlide
from napari_mhim.plugin.state.tissue import TissueState
from napari_mhim.plugin.tissue_layer import TissueLayer
from napari_mhim.plugin.tissue_preview import KINDS, open_tissue
from napari_mhim.plugin.widgets.text import button, label
from napari_mhim.slide import TissueConfig
from napari_mhim.slide.tissue import SETTING_OF

_CALM_MS = 150
"""So long a slider must rest before its value is asked for and saved."""


@dataclass(frozen=True)
class _Range:
    """A slider: what it says, and how far it goes."""

    text: str
    low: float
    high: float
    step: float
    tip: str


_RANGES = {
    "density": _Range(
        "from density",
        0.02,
        0.4,
        0.01,
        "Optical density from which on a place is tissue; less takes paler tissue in.",
    ),
    "pen_density": _Range(
        "from density", 0.05, 1, 0.01, "Less finds fainter strokes of blue and green."
    ),
    "blur_um": _Range(
        "from µm of blur", 0.5, 5, 0.1, "Less leaves out what is slightly soft, too."
    ),
    "bubble_um": _Range(
        "from µm across", 30, 1000, 10, "Less finds smaller air bubbles."
    ),
    "fold_times": _Range(
        "times as dense",
        1.1,
        3,
        0.05,
        "How much denser than what is about it a fold is.",
    ),
}


class TissueSection(QWidget):  # type: ignore[misc]
    """Switches, shares and sliders; the slide's outline and veils while it is open.

    Parameters
    ----------
    desk : Desk
        What the dock works with.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self.state = TissueState()
        self.layer = TissueLayer(desk.canvas)
        self._talk: Conversation | None = None
        self._open_for: tuple[Any, ...] = ()
        self.shows: dict[str, QCheckBox] = {}
        self.leaves: dict[str, QCheckBox] = {}
        self.sliders: dict[str, QLabeledDoubleSlider] = {}
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 0, 0, 0)
        column.addWidget(label(words.TISSUE, small=True))
        grid = QGridLayout()
        grid.setVerticalSpacing(2)
        for kind in KINDS:
            self._add_kind(grid, kind)
        column.addLayout(grid)
        self.told = label(small=True)
        column.addWidget(self.told)
        self.reset = button(
            "Reset", "Back to the defaults, for this slide.", self._reset
        )
        column.addWidget(self.reset)
        self._calm = QTimer(self)
        self._calm.setSingleShot(True)
        self._calm.setInterval(_CALM_MS)
        self._calm.timeout.connect(self._settle)
        self._connect()

    def release(self) -> None:
        """Stop listening, end the child and take the layer away."""
        for signal in self._watched():
            signal.disconnect(self._start, missing_ok=True)
        self._close()

    def showEvent(self, event: Any) -> None:
        """Look at the slide there is."""
        super().showEvent(event)
        self._start()

    def hideEvent(self, event: Any) -> None:
        """Draw nothing while the section is closed."""
        self._finish_waiting()
        self._close()
        super().hideEvent(event)

    def _add_kind(self, grid: QGridLayout, kind: str) -> None:
        row = grid.rowCount()
        shows = QCheckBox()
        shows.setChecked(True)
        shows.setToolTip("Draw it on the slide.")
        shows.setStyleSheet(
            f"border-left: 8px solid {TISSUE_COLOURS[kind]}; padding-left: 4px;"
        )
        shows.toggled.connect(lambda on: self.state.show(kind, bool(on)))
        self.shows[kind] = shows
        grid.addWidget(shows, row, 0, 1, 2)
        leaves = QCheckBox("auto" if kind == "tissue" else "leave out")
        leaves.setToolTip(
            "Take the limit from the slide itself."
            if kind == "tissue"
            else "Patches do without it."
        )
        leaves.toggled.connect(self._give)
        self.leaves[kind] = leaves
        grid.addWidget(leaves, row, 2)
        name = "density" if kind == "tissue" else SETTING_OF[kind]
        wanted = _RANGES[name]
        slider = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        slider.setRange(wanted.low, wanted.high)
        slider.setDecimals(0 if wanted.step >= 1 else 2)
        slider.setSingleStep(wanted.step)  # type: ignore[arg-type]
        slider.setToolTip(wanted.tip)
        slider.valueChanged.connect(self._give)
        self.sliders[kind] = slider
        text = QLabel(wanted.text)
        text.setStyleSheet("font-size: 11px;")
        text.setIndent(14)
        grid.addWidget(text, row + 1, 0)
        grid.addWidget(slider, row + 1, 1, 1, 2)

    def _connect(self) -> None:
        for signal in self._watched():
            signal.connect(self._start, max_args=0)
        events = self.state.events
        for signal in (events.found, events.shown):
            signal.connect(self._draw, max_args=0)
        for signal in (events.found, events.problem, events.config):
            signal.connect(self._tell, max_args=0)

    def _watched(self) -> tuple[Any, ...]:
        events = self._desk.state.events
        return events.slide, events.given_mpp, events.bundle

    def _start(self) -> None:
        """Look at the slide on screen, unless that is being done."""
        desk, slide = self._desk.state, self._first_scene()
        wanted = () if slide is None else (slide.path, desk.mpp)
        if not self.isVisible() or wanted == self._open_for:
            return
        self._close()
        self.setEnabled(slide is not None)
        self.state.forget()
        if slide is not None:
            try:
                self.state.config = tissue_settings.saved(
                    desk, self._desk.runs.workspace
                )
                given = None if slide.mpp else desk.given_mpp
                self._talk = converse(
                    open_tissue,
                    slide.path,
                    given,
                    self.state.config.max_px,
                    on_error=self._refuse,
                )
                self._open_for = wanted
                self._ask()
            except MhimError as err:
                self._refuse(err)
        self._show_config()
        self._tell()

    def _first_scene(self) -> OpenSlide | None:
        """Give the slide on screen, None where it is a scene that no run looks at."""
        slide = self._desk.state.slide
        return None if slide is None or slide.scene else slide

    def _close(self) -> None:
        self.layer.remove()
        self._calm.stop()
        talk, self._talk, self._open_for = self._talk, None, ()
        if talk is not None:
            talk.close()

    def _refuse(self, error: MhimError) -> None:
        self.state.problem = self._desk.state.without_names(str(error))

    def _reset(self) -> None:
        self.state.config = TissueConfig()
        self._show_config()
        self._calm.start()

    def _show_config(self) -> None:
        config = self.state.config
        for kind in KINDS:
            is_tissue = kind == "tissue"
            value = config.density if is_tissue else getattr(config, SETTING_OF[kind])
            is_on = config.density is None if is_tissue else config.leaves_out(kind)
            for widget in (self.leaves[kind], self.sliders[kind]):
                widget.blockSignals(True)
            self.leaves[kind].setChecked(is_on)
            self.sliders[kind].setValue(_TYPICAL if value is None else value)
            self.sliders[kind].setEnabled(not is_on if is_tissue else True)
            for widget in (self.leaves[kind], self.sliders[kind]):
                widget.blockSignals(False)

    def _give(self) -> None:
        """Take the settings off the switches and sliders, and wait for them to rest."""
        is_auto = self.leaves["tissue"].isChecked()
        self.sliders["tissue"].setEnabled(not is_auto)
        values: dict[str, Any] = {
            "density": None if is_auto else self.sliders["tissue"].value()
        }
        for kind, setting in SETTING_OF.items():
            values[f"leave_out_{kind}"] = self.leaves[kind].isChecked()
            values[setting] = self.sliders[kind].value()
        self.state.change(**values)
        self._calm.start()

    def _finish_waiting(self) -> None:
        if self._calm.isActive():
            self._settle()

    def _settle(self) -> None:
        """Save the settings with the slide, and ask what they find."""
        self._calm.stop()
        desk = self._desk
        try:
            tissue_settings.save(desk.state, desk.runs.workspace, self.state.config)
        except MhimError as err:
            desk.state.tell(err)
        desk.runs.look_at_features()
        self._ask()

    def _ask(self) -> None:
        if self._talk is not None:
            question = self.state.question(self._desk.state.grid_config())
            self._talk.ask(question, self._take, self._refuse)

    def _take(self, found: Any) -> None:
        self.state.take(found)
        if found.config == self.state.config and found.n_patches is not None:
            self._desk.state.n_patches = found.n_patches

    def _draw(self) -> None:
        picture, found = self.state.picture(), self.state.found
        if picture is not None and found is not None and self._talk is not None:
            self.layer.draw(picture, found.px)

    def _tell(self) -> None:
        for kind, box in self.shows.items():
            box.setText(self.state.line(kind))
        state = self.state
        waiting = "" if state.found is not None else "Looking at the slide …"
        is_there = self._first_scene() is not None
        missing = (
            "Open a slide first."
            if self._desk.state.slide is None
            else "Tissue is looked at on the first scene of a file."
        )
        self.told.setText(state.problem or (waiting if is_there else missing))
        self.told.setVisible(bool(self.told.text()))


_TYPICAL = 0.06  # where the slider of the tissue's density stands while it is automatic
