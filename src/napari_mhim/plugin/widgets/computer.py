"""*Check my computer*: what works here, and the fix for what does not."""

from functools import partial
from html import escape

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from napari_mhim.doctor import Check, run_checks
from napari_mhim.errors import MhimError
from napari_mhim.plugin import jobs
from napari_mhim.plugin.jobs import Job
from napari_mhim.plugin.state.checks import as_text, verdict
from napari_mhim.plugin.widgets.text import button, label

_COLOURS = {"PASS": "#2e8b57", "WARN": "#d08000", "FAIL": "#d04030"}
_SIGNS = {"PASS": "✓", "WARN": "!", "FAIL": "✗"}


class CheckMyComputer(QWidget):  # type: ignore[misc]
    """Looks at everything the program needs, in a child process, as soon as it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.checks: list[Check] = []
        self.is_done = False
        self.verdict = label("Looking at this computer …")
        self.found = label()
        self.found.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
            | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.found.setAlignment(Qt.AlignmentFlag.AlignTop)
        area = QScrollArea()
        area.setWidget(self.found)
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.again = button("Check again", "Look at everything once more.", self.start)
        self.copy = button(
            "Copy as text",
            "Copy what was found, to send it to whoever helps.",
            lambda: QApplication.clipboard().setText(as_text(self.checks)),
        )
        row = QHBoxLayout()
        row.addWidget(self.again)
        row.addWidget(self.copy)
        column = QVBoxLayout(self)
        column.addWidget(self.verdict)
        column.addWidget(area, 1)
        column.addLayout(row)
        self.setMinimumSize(320, 240)
        self._running: list[Job] = []
        # the slot must not belong to the widget: it runs when that is half gone
        self.destroyed.connect(partial(_stop, self._running))
        self.start()

    def start(self) -> None:
        """Look at everything, in another process."""
        _stop(self._running)
        self.checks, self.is_done = [], False
        self._show()
        try:
            job = jobs.start(
                run_checks,
                on_event=self._take,
                on_error=self._fail,
                on_done=self._end,
            )
        except MhimError as err:
            self._fail(err)
            return
        self._running.append(job)

    def _take(self, check: Check) -> None:
        self.checks.append(check)
        self._show()

    def _fail(self, error: MhimError) -> None:
        fix = "run 'napari-mhim doctor' in a terminal"
        self.checks.append(Check("FAIL", "this check", str(error), fix))
        self._end()

    def _end(self) -> None:
        self.is_done = True
        self._show()

    def _show(self) -> None:
        self.again.setEnabled(self.is_done)
        self.copy.setEnabled(bool(self.checks))
        self.verdict.setText(
            f"<b>{escape(verdict(self.checks))}</b>"
            if self.is_done
            else "Looking at this computer …"
        )
        self.found.setText("".join(map(_line, self.checks)))


def _line(check: Check) -> str:
    colour = _COLOURS[check.status]
    fix = (
        f"<br>&nbsp;&nbsp;&nbsp;fix: <code>{escape(check.fix)}</code>"
        if check.fix
        else ""
    )
    return (
        f"<p><span style='color:{colour}'><b>{_SIGNS[check.status]} {check.status}</b>"
        f"</span> <b>{escape(check.name)}</b>: {escape(check.message)}{fix}</p>"
    )


def _stop(running: list[Job], *_: object) -> None:
    for job in running:
        job.cancel()
    running.clear()
