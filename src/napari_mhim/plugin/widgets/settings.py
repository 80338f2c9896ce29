"""The section Settings: device, memory, threads and the workspace, set once."""

import os
import weakref
from dataclasses import fields, replace
from functools import partial
from html import escape
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_mhim.errors import ConfigError, MhimError, WorkspaceError
from napari_mhim.plugin.desk import Desk
from napari_mhim.plugin.widgets.computer import CheckMyComputer
from napari_mhim.plugin.widgets.text import button, label
from napari_mhim.settings import (
    DEVICES,
    Settings,
    kept_settings,
    load_settings,
    save_settings,
    settings_path,
)
from napari_mhim.workspace import why_unwritable

_DEVICE_NAMES = {
    "auto": "Best there is",
    "cpu": "CPU",
    "cuda": "NVIDIA GPU",
    "mps": "Apple GPU",
}
_LEAST_MIB, _MOST_MIB, _MOST_THREADS = 16, 65536, 256


class SettingsSection(QWidget):  # type: ignore[misc]
    """What the user sets once; kept for every window and for the command line.

    Parameters
    ----------
    desk : Desk
        What the dock works with.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self.computer: CheckMyComputer | None = None
        self._dialog: QDialog | None = None
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 0, 0, 0)
        form = QFormLayout()
        self.device = QComboBox()
        for name in DEVICES:
            self.device.addItem(_DEVICE_NAMES[name], name)
        self.device.setToolTip("Where models run unless chosen otherwise above.")
        self.cache_mib = QSpinBox()
        self.cache_mib.setRange(_LEAST_MIB, _MOST_MIB)
        self.cache_mib.setSingleStep(128)
        self.cache_mib.setSuffix(" MiB")
        self.cache_mib.setToolTip("Memory for parts of slides that were read already.")
        self.threads = QSpinBox()
        self.threads.setRange(0, _MOST_THREADS)
        self.threads.setSpecialValueText("one for each core")
        self.threads.setToolTip("How many cores may work at once.")
        form.addRow("device", self.device)
        form.addRow("cache", self.cache_mib)
        form.addRow("threads", self.threads)
        self.srgb = QCheckBox("by the slide's ICC profile")
        self.srgb.setToolTip(
            "Show slides in sRGB, as the scanner's maker means them, where a file has a "
            "profile. Features are always made of the scanner's own colours."
        )
        form.addRow("colours", self.srgb)
        column.addLayout(form)
        column.addWidget(
            label("Workspace: features, results, areas, models.", small=True)
        )
        column.addLayout(self._place())
        row = QHBoxLayout()
        self.keep = button("Save", "Keep these settings.", self.save)
        self.check = button(
            "Check my computer …", "Look at what works here.", self._check
        )
        row.addWidget(self.keep)
        row.addWidget(self.check)
        column.addLayout(row)
        self.found = label(small=True)
        column.addWidget(self.found)
        self._show()

    def release(self) -> None:
        """Let go; the window of checks is a child of this one and goes with it."""
        self._dialog = None

    def save(self) -> None:
        """Keep what was set; what takes effect when is told."""
        before = self._in_force
        try:
            wanted = Settings(
                device=self.device.currentData(),
                cache_mib=self.cache_mib.value(),
                threads=self.threads.value(),
                srgb=self.srgb.isChecked(),
                workspace=str(Path(self.workspace.text().strip()).expanduser()),
            )
            _write(wanted)
            now = load_settings()
        except MhimError as err:
            self._desk.state.tell(err)
            return
        self._apply(before, now)

    def _place(self) -> QHBoxLayout:
        row = QHBoxLayout()
        self.workspace = QLineEdit()
        self.workspace.setToolTip("Made on the first write; never beside the slides.")
        row.addWidget(self.workspace, 1)
        self.choose = button("Choose …", "Choose a folder.", self._ask_folder)
        row.addWidget(self.choose)
        return row

    def _show(self) -> None:
        try:
            now = load_settings()
        except MhimError as err:
            self.found.setText(escape(str(err), quote=False))
            now = Settings()
        else:
            self.found.setText(_from_outside())
        self._in_force = now
        self.device.setCurrentIndex(DEVICES.index(now.device))
        self.cache_mib.setValue(now.cache_mib)
        self.threads.setValue(now.threads)
        self.srgb.setChecked(now.srgb)
        self.workspace.setText(now.workspace)
        for field in fields(Settings):
            getattr(self, field.name).setEnabled(not _is_from_outside(field.name))
        self.choose.setEnabled(not _is_from_outside("workspace"))

    def _apply(self, before: Settings, now: Settings) -> None:
        self._in_force = now
        runs = self._desk.runs
        if now.device != before.device:
            runs.ask_device(now.device)
        if now.workspace != before.workspace:
            runs.use_workspace(Path(now.workspace))
        later = (
            "" if now.cache_mib == before.cache_mib else " The cache from next time on."
        )
        if now.srgb != before.srgb:
            later += " Colours from the next slide on."
        self.found.setText(f"Saved.{later} {_from_outside()}")

    def _ask_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(
            self, "The workspace", self.workspace.text()
        )
        if folder:
            self.workspace.setText(folder)

    def _check(self) -> None:
        self._close_checks()
        dialog = QDialog(self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setWindowTitle("MHIM: Check my computer")
        self.computer = CheckMyComputer()
        QVBoxLayout(dialog).addWidget(self.computer)
        dialog.resize(560, 560)
        dialog.destroyed.connect(partial(_forget, weakref.ref(self)))
        self._dialog = dialog
        dialog.show()

    def _close_checks(self) -> None:
        if self._dialog is not None:
            self._dialog.close()


def _forget(reference: "weakref.ref[SettingsSection]", *_: object) -> None:
    section = reference()
    if section is not None:
        section._dialog = section.computer = None


def _write(wanted: Settings) -> None:
    """Keep settings; those that the environment gives stay as the file has them."""
    outside = [f.name for f in fields(Settings) if _is_from_outside(f.name)]
    try:
        kept = kept_settings()
    except ConfigError:  # saving is the way out of a damaged file
        kept = Settings()
    try:
        save_settings(
            replace(wanted, **{name: getattr(kept, name) for name in outside})
        )
    except OSError as err:
        raise WorkspaceError(why_unwritable(settings_path(), err)) from err


def _is_from_outside(name: str) -> bool:
    return f"NAPARI_MHIM_{name.upper()}" in os.environ


def _from_outside() -> str:
    names = [f.name for f in fields(Settings) if _is_from_outside(f.name)]
    if not names:
        return ""
    listed = ", ".join(f"NAPARI_MHIM_{name.upper()}" for name in names)
    return f"Set by the environment, and not changed here: {listed}."
