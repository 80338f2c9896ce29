"""The section Report: what leaves of the result on screen, where to, and the same as a line."""

from html import escape
from pathlib import Path
from typing import Any

from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QApplication,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from napari_mhim.errors import MhimError
from napari_mhim.export.exporting import ExportDone, export
from napari_mhim.export.options import OVERLAYS, PATCHES
from napari_mhim.plugin import words
from napari_mhim.plugin.desk import Desk
from napari_mhim.plugin.open_slides import what
from napari_mhim.plugin.overlays import EVIDENCE, HARD
from napari_mhim.plugin.state.report import (
    ABOUT,
    KINDS,
    Asked,
    Files,
    ReportState,
    result_file,
)
from napari_mhim.plugin.widgets.text import button, label
from napari_mhim.workspace import Workspace

_PATCH_NAMES = {
    "all": "all patches",
    "hard": "hard patches",
    "hidden": "hidden by teacher",
    "top": "most attention",
}
_LINK = "#4a90d9"
_COPIED = "Copied. Paste it into a terminal."


class Report(QWidget):  # type: ignore[misc]
    """Kinds of files, where they go, and the button that writes them.

    Parameters
    ----------
    desk : Desk
        What the dock works with.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self.state = ReportState(folder=str(desk.runs.workspace / "exports"))
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 0, 0, 0)
        column.addWidget(label(words.REPORT, small=True))
        column.addLayout(self._kinds())
        column.addLayout(self._form())
        column.addLayout(self._place())
        column.addLayout(self._buttons())
        self.why_not = label(small=True)
        self.found = label()
        self.found.setOpenExternalLinks(True)
        self.open_folder = button(
            "Open folder", "Show the files in the system's own window.", self._open
        )
        for one in (self.why_not, self.found, self.open_folder):
            column.addWidget(one)
        self._connect()
        self._start()

    def release(self) -> None:
        """Stop listening to the desk."""
        state = self._desk.state
        state.events.result.disconnect(self._start)
        state.events.aliases.disconnect(self._start)
        state.job.events.is_busy.disconnect(self.refresh)
        self._desk.runs.heard.disconnect(self._take)

    def refresh(self) -> None:
        """Show what can be chosen, and why nothing can be exported now."""
        state = self.state
        self._rows.setRowVisible(self.patches, state.has_patches)
        self._rows.setRowVisible(self.overlay, state.has_overlay)
        self._rows.setRowVisible(self.case, state.blinded)
        reason = state.why_not(self._desk.state.job.is_busy)
        self.why_not.setText(escape(reason or ""))
        self.why_not.setVisible(reason is not None)
        self.write.setEnabled(reason is None)
        self.copy.setEnabled(bool(state.kinds and state.folder.strip()))
        self.open_folder.setVisible(bool(state.written))
        self.found.setVisible(bool(state.written))
        self.found.setText(_written(state.written))

    def export(self) -> None:
        """Write the files, as a job."""
        asked = self._asked()
        if asked is None:
            return
        self.state.written = ()
        self._desk.runs.start(
            "Writing the export",
            export,
            asked.result,
            asked.slide,
            asked.folder,
            asked.kinds,
            asked.options,
        )

    def copy_line(self) -> None:
        """Put the line of the command line that does the same on the clipboard."""
        asked = self._asked()
        if asked is not None:
            QApplication.clipboard().setText(asked.line)
            self.why_not.setText(_COPIED)
            self.why_not.show()

    def _kinds(self) -> QGridLayout:
        grid = QGridLayout()
        self.kinds = {name: QCheckBox(text) for name, text in KINDS.items()}
        for number, (name, box) in enumerate(self.kinds.items()):
            box.setToolTip(ABOUT[name])
            box.setChecked(name in self.state.kinds)
            box.toggled.connect(self._choose)
            grid.addWidget(box, number // 2, number % 2)
        return grid

    def _form(self) -> QFormLayout:
        self._rows = QFormLayout()
        self.patches, self.overlay = QComboBox(), QComboBox()
        for name in PATCHES:
            self.patches.addItem(_PATCH_NAMES[name], name)
        self.patches.setToolTip("Which patches tables and the QuPath file list.")
        self.overlay.addItems(OVERLAYS)
        self.overlay.setToolTip("What pictures show over the slide.")
        self.blinded = QCheckBox("Blinded: no name, no path")
        self.blinded.setToolTip(
            "Leaves out the slide's name and path, and what was written beside areas."
        )
        self.case = QLineEdit()
        self.case.setPlaceholderText("Case 07")
        self.case.setToolTip("What the slide is called instead.")
        self._rows.addRow("patches", self.patches)
        self._rows.addRow("overlay", self.overlay)
        self._rows.addRow(self.blinded)
        self._rows.addRow("called", self.case)
        return self._rows

    def _place(self) -> QHBoxLayout:
        row = QHBoxLayout()
        self.folder = QLineEdit(self.state.folder)
        self.folder.setToolTip("Where the files are written; made if it is not there.")
        self.choose = button("Choose …", "Choose a folder.", self._ask_folder)
        row.addWidget(self.folder, 1)
        row.addWidget(self.choose)
        return row

    def _buttons(self) -> QHBoxLayout:
        row = QHBoxLayout()
        self.write = button(
            "Export", "Write the files; areas left out go along.", self.export
        )
        self.copy = button(
            "Copy as command line",
            "Copy the line that does the same in a terminal.",
            self.copy_line,
        )
        row.addWidget(self.write)
        row.addWidget(self.copy)
        return row

    def _connect(self) -> None:
        self.patches.currentIndexChanged.connect(self._choose)
        self.overlay.currentIndexChanged.connect(self._choose)
        self.blinded.toggled.connect(self._choose)
        self.case.textChanged.connect(self._choose)
        self.folder.textChanged.connect(self._choose)
        state = self._desk.state
        state.events.result.connect(self._start, max_args=0)
        state.events.aliases.connect(self._start, max_args=0)
        state.job.events.is_busy.connect(self.refresh, max_args=0)
        self._desk.runs.heard.connect(self._take)
        self.state.events.written.connect(self.refresh, max_args=0)

    def _start(self) -> None:
        """Begin anew with the slide there is; where names are hidden they stay so."""
        is_hidden = bool(self._desk.state.aliases)
        self.blinded.setEnabled(not is_hidden)
        if is_hidden:
            self.blinded.setChecked(True)
            self.case.setText(self._desk.state.slide_name())
        self.state.written = ()
        self.refresh()

    def _choose(self, *_: Any) -> None:
        state = self.state
        state.kinds = tuple(name for name, box in self.kinds.items() if box.isChecked())
        state.patches = self.patches.currentData()
        state.overlay = self.overlay.currentText()
        state.blinded, state.case = self.blinded.isChecked(), self.case.text()
        state.folder = self.folder.text()
        self.refresh()

    def _asked(self) -> Asked | None:
        desk = self._desk
        result, slide, bundle = desk.state.result, desk.state.slide, desk.state.bundle
        if result is None or slide is None:
            return None
        place = Workspace(desk.runs.workspace)
        layers = desk.canvas.layers()
        noted = next((what(layers[p]) for p in (EVIDENCE, HARD) if p in layers), {})
        try:
            file = result_file(result, str(noted.get("result_path", "")), place)
        except MhimError as err:
            desk.state.tell(err)
            return None
        regions = place.regions_path(slide.name)
        is_its_model = bundle is not None and bundle.id == result.bundle_id
        files = Files(
            result=str(file),
            slide=slide.path,
            regions=str(regions) if regions.is_file() else "",
            model=str(bundle.path) if bundle is not None and is_its_model else "",
            features=str(desk.talk.features() or ""),
        )
        return self.state.asked(files)

    def _take(self, event: object) -> None:
        if isinstance(event, ExportDone):
            self.state.written = (*self.state.written, event.path)

    def _ask_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(
            self, "Where to write", self.folder.text()
        )
        if folder:
            self.folder.setText(folder)

    def _open(self) -> None:
        folder = Path(self.state.written[0]).parent
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))


def _written(paths: tuple[str, ...]) -> str:
    links = [
        # napari sets no colour for links: Qt's own is unreadable on the dark theme
        f"<a style='color: {_LINK}' href='{QUrl.fromLocalFile(path).toString()}'>"
        f"{escape(Path(path).name)}</a>"
        for path in paths
    ]
    return f"<b>Written:</b> {', '.join(links)}"
