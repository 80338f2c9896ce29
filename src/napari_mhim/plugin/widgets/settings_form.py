"""A form made from the fields of a config: what the command line offers, the form does."""

import json
from collections.abc import Callable, Mapping
from typing import Any, get_args, get_origin

from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QLineEdit,
    QWidget,
)

from napari_mhim import _parts
from napari_mhim._options import Option, options
from napari_mhim.mil.config import MODELS, RECIPES, TrainConfig

LEFT_OUT = ("start_from", "fine_tune", "tune", "device")
"""Fields that another part of the tab, or of the dock, gives."""
_PARTS = {"model": MODELS, "recipe": RECIPES}


class SettingsForm(QWidget):  # type: ignore[misc]
    """Every field of ``TrainConfig``, with the value in force.

    Parameters
    ----------
    on_given : callable
        Called with a field's name and value when the user sets it; with ``None`` as the
        value when he takes back what he said.
    """

    def __init__(self, on_given: Callable[[str, Any], None]) -> None:
        super().__init__()
        self._on_given = on_given
        self.inputs: dict[str, QWidget] = {}
        self._options: dict[str, Option] = {}
        form = QFormLayout(self)
        form.setContentsMargins(4, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for option in options(TrainConfig):
            if option.name in LEFT_OUT:
                continue
            made = self._make(option)
            made.setToolTip(option.help.replace("``", ""))
            self.inputs[option.name], self._options[option.name] = made, option
            form.addRow(option.name.replace("_", " "), made)

    def show_values(self, config: TrainConfig) -> None:
        """Show the settings in force.

        Parameters
        ----------
        config : TrainConfig
            What a run would have.
        """
        for name, widget in self.inputs.items():
            value = getattr(config, name)
            widget.blockSignals(True)
            if isinstance(widget, QCheckBox):
                widget.setChecked(value)
            elif isinstance(widget, QComboBox):
                widget.setCurrentText(value)
            elif not widget.hasFocus():
                widget.setText(_text(value))
            widget.blockSignals(False)

    def lock(self, names: tuple[str, ...], why: str) -> None:
        """Grey out the fields that cannot change now, and say why in their tip."""
        for name, widget in self.inputs.items():
            is_locked = name in names
            widget.setEnabled(not is_locked)
            tip = self._options[name].help.replace("``", "")
            widget.setToolTip(f"{tip} {why}" if is_locked else tip)

    def _make(self, option: Option) -> QWidget:
        name = option.name
        if option.kind is bool:
            box = QCheckBox()
            box.toggled.connect(lambda on: self._on_given(name, bool(on)))
            return box
        choices = _choices(option)
        if choices:
            combo = QComboBox()
            combo.addItems(choices)
            combo.currentTextChanged.connect(lambda text: self._on_given(name, text))
            return combo
        line = QLineEdit()
        line.editingFinished.connect(lambda: self._read(name, line))
        return line

    def _read(self, name: str, line: QLineEdit) -> None:
        if not line.isModified():
            return
        line.setModified(False)
        try:
            value = parsed(self._options[name], line.text())
        except ValueError:
            self._on_given(name, None)
            return
        self._on_given(name, value)


def parsed(option: Option, text: str) -> Any:
    """Read a field's value from what was typed.

    Parameters
    ----------
    option : Option
        The field.
    text : str
        What was typed; "" takes the default.

    Returns
    -------
    value
        Of the field's kind; of a mapping, from ``name=value, …``.

    Raises
    ------
    ValueError
        If it cannot be read.
    """
    text = text.strip()
    if not text:
        return option.default
    if isinstance(option.default, Mapping):
        found = {}
        for part in text.split(","):
            name, is_pair, value = part.partition("=")
            if not is_pair:
                raise ValueError(part)
            found[name.strip()] = _value(value.strip())
        return found
    if option.kind in (int, float):
        return option.kind(text)
    return text


def _value(text: str) -> Any:
    try:
        return json.loads(f"0{text}" if text.startswith(".") else text)
    except ValueError:
        return text


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k}={v}" for k, v in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def _choices(option: Option) -> tuple[str, ...]:
    if option.name in _PARTS:
        return tuple(_parts.names(_PARTS[option.name]))
    return (
        get_args(option.kind)
        if get_origin(option.kind) is not None
        and all(isinstance(one, str) for one in get_args(option.kind))
        else ()
    )
