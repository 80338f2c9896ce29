"""What to train, on which slides, how: the upper half of the Train tab."""

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import (
    QApplication,
    QButtonGroup,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QRadioButton,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_mhim import _parts
from napari_mhim.errors import MhimError
from napari_mhim.mil.config import MODELS, RECIPES
from napari_mhim.mil.presets import PRESETS
from napari_mhim.mil.run import write_json
from napari_mhim.plugin import training_words as said
from napari_mhim.plugin.state.training import CUTOFF, NEW, TUNE, WAYS
from napari_mhim.plugin.trainings import Trainings
from napari_mhim.plugin.widgets.settings_form import SettingsForm
from napari_mhim.plugin.widgets.text import button, label, title
from napari_mhim.plugin.widgets.train_slides import TABLES, TrainSlides

_ENCODERS = "napari_mhim.features.encoders"


class TrainForm(QWidget):  # type: ignore[misc]
    """Slides, way, settings.

    Parameters
    ----------
    trainings : Trainings
        The runs.
    """

    def __init__(self, trainings: Trainings) -> None:
        super().__init__()
        self._trainings, self._state = trainings, trainings.state
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(5)
        self.slides = TrainSlides(trainings)
        column.addWidget(self.slides)
        self._add_ways(column)
        self._add_basic(column)
        self._add_all(column)
        desk = trainings.desk
        desk.state.events.bundle.connect(self._on_bundle, max_args=0)
        desk.slides.events.source.connect(self._look, max_args=0)
        for event in (
            *(self._state.events.way, self._state.events.table),
            *(self._state.events.takes_list, self._state.events.given),
            *(self._state.events.preset, self._state.events.split),
            *(self._state.events.refused, self._state.events.status),
            *(
                self._state.events.run,
                self._state.events.mix,
                self._state.events.features,
            ),
        ):
            event.connect(self.refresh, max_args=0)
        self._on_bundle()

    def release(self) -> None:
        """Stop listening to the dock."""
        desk = self._trainings.desk
        desk.state.events.bundle.disconnect(self._on_bundle)
        desk.slides.events.source.disconnect(self._look)

    def refresh(self) -> None:
        """Show what the state says."""
        state, bundle = self._state, self._trainings.desk.state.bundle
        self.slides.refresh()
        for way, choice in self.ways.items():
            choice.setChecked(way == state.way)
            choice.setEnabled(way == NEW or bundle is not None)
        whose = f" Open model: {bundle.name}." if bundle and state.way != NEW else ""
        stain = f" {said.STAIN}" if state.way == TUNE else ""
        self.what.setText(f"{said.WAYS[state.way]}{whose}{stain}")
        for widget, ways in self._rows_of.items():
            self._basic.setRowVisible(widget, state.way in ways)
        # features that are there already need no encoder
        needs_encoder = state.way == NEW and not state.features
        self._basic.setRowVisible(self.encoder, needs_encoder)
        self.mix.setText(Path(state.mix).name if state.mix else "Old slides …")
        self._basic.setRowVisible(self.checked, state.way == TUNE and bool(state.mix))
        self.name.setText(state.run)
        self.more.setVisible(state.way != CUTOFF)
        self.all.setVisible(state.way != CUTOFF and self.more.isChecked())
        self.setEnabled(not state.status.is_at_work)
        self._show_values()

    def take(self, name: str, value: Any) -> None:
        """Take a setting the user gives; None takes back what was said of it.

        Parameters
        ----------
        name : str
            Field of ``TrainConfig``.
        value : object
            Its value.
        """
        before, state = self._state.given, self._state
        given = {key: old for key, old in before.items() if key != name}
        if name in ("model", "recipe"):
            given.pop(f"{name}_options", None)  # another part has other options
        state.given = given if value is None else {**given, name: value}
        try:
            self._trainings.config()
        except MhimError as err:
            state.given = before
            self._trainings.desk.state.tell(err)
            return
        if name == "seed":
            self._look()

    # --- parts

    def _add_ways(self, column: QVBoxLayout) -> None:
        column.addWidget(title("2 · What to do"))
        group = QButtonGroup(self)
        self.ways = {}
        for way in WAYS:
            choice = QRadioButton(said.NAMES[way])
            choice.setToolTip(said.WAYS[way])
            choice.clicked.connect(partial(self._choose_way, way))
            group.addButton(choice)
            column.addWidget(choice)
            self.ways[way] = choice
        self.what = label(small=True)
        column.addWidget(self.what)

    def _add_basic(self, column: QVBoxLayout) -> None:
        self._basic = QFormLayout()
        self.name = QLineEdit()
        self.name.setToolTip("Name of the run's folder, and of the model.")
        self.name.textEdited.connect(partial(setattr, self._state, "run"))
        self.tune = _combo(
            said.TUNES,
            "What of the model may change. On a new stain everything, with the old "
            "slides mixed in, gained most and kept what it knew.",
        )
        self.tune.currentTextChanged.connect(partial(self.take, "tune"))
        self.mix = button(
            "Old slides …",
            "Table of the model's own slides: training on them beside the new ones keeps "
            "what it knows. Those without features here are left out.",
            self._ask_mix,
        )
        self.checked = _combo(
            ("unknown", "yes", "no"),
            "Were the old slides looked through for a class that is new?",
        )
        self.checked.currentTextChanged.connect(self._choose_checked)
        self.preset = _combo(
            PRESETS,
            "Named settings; “recommended” is fitted to the number of slides and to this "
            "computer's memory.",
        )
        self.preset.currentTextChanged.connect(self._choose_preset)
        self.encoder = _combo(
            _parts.names(_ENCODERS), "What turns patches into features."
        )
        self.encoder.currentTextChanged.connect(
            partial(setattr, self._state, "encoder")
        )
        self.model = _combo(_parts.names(MODELS), "How patches become one decision.")
        self.model.currentTextChanged.connect(partial(self.take, "model"))
        self.recipe = _combo(_parts.names(RECIPES), "How it is trained.")
        self.recipe.currentTextChanged.connect(partial(self.take, "recipe"))
        self.epochs = QSpinBox()
        self.epochs.setRange(1, 9999)
        self.epochs.setToolTip("Most passes over the training slides.")
        self.epochs.valueChanged.connect(partial(self.take, "epochs"))
        self._rows_of: dict[QWidget, tuple[str, ...]] = {}
        for text, widget, ways in (
            ("learns", self.tune, (TUNE,)),
            ("mixed in", self.mix, (TUNE,)),
            ("checked", self.checked, (TUNE,)),
            ("preset", self.preset, (NEW,)),
            ("features", self.encoder, (NEW,)),
            ("model", self.model, (NEW,)),
            ("recipe", self.recipe, (TUNE, NEW)),
            ("epochs", self.epochs, (TUNE, NEW)),
            ("name", self.name, WAYS),
        ):
            self._basic.addRow(text, widget)
            self._rows_of[widget] = ways
        column.addLayout(self._basic)

    def _add_all(self, column: QVBoxLayout) -> None:
        self.more = QToolButton()
        self.more.setText("All settings")
        self.more.setToolTip("Everything the command line offers, and the same words.")
        self.more.setCheckable(True)
        self.more.toggled.connect(lambda *_: self.refresh())
        self.all = QWidget()
        inner = QVBoxLayout(self.all)
        inner.setContentsMargins(0, 0, 0, 0)
        self.settings = SettingsForm(self.take)
        row = QHBoxLayout()
        for text, tip, act in (
            ("Load …", "Take settings from a file.", self._load),
            ("Save …", "Keep these settings in a file.", self._save),
            ("Copy as command", "Copy this run as a command line.", self._copy),
        ):
            row.addWidget(button(text, tip, act))
        inner.addWidget(self.settings)
        inner.addLayout(row)
        column.addWidget(self.more)
        column.addWidget(self.all)

    # --- what the user does

    def _choose_way(self, way: str) -> None:
        state = self._state
        state.given = {"tune": "head"} if way == TUNE else {}
        state.way = way
        self._trainings.name_run()
        self._look()

    def _choose_preset(self, name: str) -> None:
        self._state.given, self._state.preset = {}, name

    def _ask_mix(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self, "Table of the model's own slides", "", TABLES
        )
        self.use_mix(path)

    def use_mix(self, path: str) -> None:
        """Train on the model's own slides beside the new ones.

        Parameters
        ----------
        path : str
            Table of those slides, "" for none.
        """
        self._state.mix = path
        self._look()

    def _choose_checked(self, answer: str) -> None:
        self._state.old_checked = answer
        self._look()

    def _load(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Settings", "", "*.json")
        if path:
            self.load(path)

    def load(self, path: str) -> None:
        """Take settings from a file that :meth:`save`, or a run, has written."""
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
            known = {k: v for k, v in values.items() if k in self.settings.inputs}
        except (OSError, ValueError, AttributeError) as err:
            self._trainings.desk.state.tell(
                MhimError(f"settings {path!r} cannot be read ({err}); choose another")
            )
            return
        for name, value in known.items():
            self.take(name, value)

    def _save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Settings", "train.json", "*.json")
        if path:
            self.save(path)

    def save(self, path: str) -> None:
        """Keep the settings in force in a file."""
        try:
            write_json(Path(path), asdict(self._trainings.config()))
        except MhimError as err:
            self._trainings.desk.state.tell(err)

    def _copy(self) -> None:
        try:
            QApplication.clipboard().setText(self._trainings.command())
        except MhimError as err:
            self._trainings.desk.state.tell(err)

    # --- inside

    def _look(self) -> None:
        self._trainings.look()

    def _on_bundle(self) -> None:
        bundle, state = self._trainings.desk.state.bundle, self._state
        if bundle is None and state.way != NEW:
            state.way = NEW
        if bundle is not None and bundle.config.extract.encoder in _parts.names(
            _ENCODERS
        ):
            self.encoder.setCurrentText(bundle.config.extract.encoder)
        if not state.status.is_at_work and state.way != NEW:
            self._trainings.name_run()
        self._look()
        self.refresh()

    def _show_values(self) -> None:
        try:
            config = self._trainings.config()
        except MhimError:
            return  # it was told when it was given
        values = ((self.tune, config.tune), (self.model, config.model))
        for combo, text in (*values, (self.recipe, config.recipe)):
            combo.blockSignals(True)
            combo.setCurrentText(text)
            combo.blockSignals(False)
        self.epochs.blockSignals(True)
        self.epochs.setValue(config.epochs)
        self.epochs.blockSignals(False)
        self.settings.show_values(config)
        locked = ("model", "model_options") if self._state.way == TUNE else ()
        self.settings.lock(locked, "It stays as the model has it.")


def _combo(choices: Any, tip: str) -> QComboBox:
    made = QComboBox()
    made.addItems(list(choices))
    made.setToolTip(tip)
    return made
