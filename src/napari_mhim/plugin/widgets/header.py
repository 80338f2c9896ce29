"""What stands above and below every tab: slide and model, messages, the job bar."""

from collections.abc import Callable
from html import escape

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QApplication,
    QDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QTextBrowser,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_mhim.plugin import words
from napari_mhim.plugin.state.desk import DeskState
from napari_mhim.plugin.widgets.text import boxed, button, label


class Header(QWidget):  # type: ignore[misc]
    """Slide, role, model with its card, device, and what the program is not for."""

    def __init__(self, state: DeskState) -> None:
        super().__init__()
        self._state = state
        self.headline = label()
        self.headline.setToolTip("The slide, and its role in the model's training.")
        self.model = QToolButton()
        self.model.setToolTip("Open the model's card: data, figures, licence, use.")
        self.model.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextOnly)
        self.model.clicked.connect(self._open_card)
        self.device = label(small=True)
        self.device.setToolTip("Where models run.")
        self.badge = label(f"<b>{words.NO_MPP}</b>", small=True)
        boxed(self.badge, "#d08000")
        banner = label(words.BANNER, small=True)
        row = QHBoxLayout()
        row.addWidget(self.model)
        row.addWidget(self.device, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 2, 4, 2)
        column.setSpacing(2)
        column.addWidget(self.headline)
        column.addLayout(row)
        column.addWidget(self.badge)
        column.addWidget(banner)
        for signal in (
            state.events.slide,
            state.events.bundle,
            state.events.device,
            state.events.result,
            state.events.given_mpp,
            state.events.aliases,
        ):
            signal.connect(self.refresh, max_args=0)
        self.refresh()

    def refresh(self) -> None:
        """Show what the state says."""
        state = self._state
        self.headline.setText(f"<b>{escape(state.headline())}</b>")
        self.model.setText(f"{state.model_name()} ▾")
        self.model.setEnabled(state.bundle is not None)
        self.device.setText(escape(state.device or "finding the device …"))
        self.badge.setVisible(state.slide is not None and state.mpp is None)

    def _open_card(self) -> None:
        bundle = self._state.bundle
        if bundle is not None:
            text = bundle.card or f"The model {bundle.name!r} has no card."
            show_text(self, f"Card of {bundle.name}", text)


class Message(QFrame):  # type: ignore[misc]
    """One sentence on what went wrong, or what to know; hidden when there is none."""

    def __init__(self, state: DeskState) -> None:
        super().__init__()
        self._state = state
        self.text = label()
        self.more = button(
            "Details", "What stands behind it, for whoever mends it.", self._open
        )
        close = button("Dismiss", "Take this message away.", self._dismiss)
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(self.more)
        row.addWidget(close)
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 4, 6, 4)
        column.addWidget(self.text)
        column.addLayout(row)
        state.events.problem.connect(self._show_problem)
        self._show_problem(state.problem)

    def note(self, sentence: str) -> None:
        """Show something that is no error."""
        boxed(self, "#4a90d9")
        self.text.setText(escape(sentence, quote=False))
        self.more.hide()
        self.show()

    def _show_problem(self, sentence: str) -> None:
        boxed(self, "#d04030")
        self.text.setText(f"⚠ {escape(sentence, quote=False)}")
        self.more.setVisible(bool(self._state.details))
        self.setVisible(bool(sentence))

    def _dismiss(self) -> None:
        self._state.problem = ""
        self.hide()

    def _open(self) -> None:
        show_text(self, "Details", f"```\n{self._state.details}\n```")


class JobBar(QFrame):  # type: ignore[misc]
    """What the running job is at, how fast, how long still, and Cancel."""

    def __init__(self, state: DeskState, cancel: Callable[[], None]) -> None:
        super().__init__()
        self._job = state.job
        self.stage = label()
        self.detail = label(small=True)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(10)
        self.cancel = button(
            "Cancel", "Stop the job; what is finished stays on disk.", cancel
        )
        row = QHBoxLayout()
        row.addWidget(self.detail, 1)
        row.addWidget(self.cancel)
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 4, 6, 4)
        column.setSpacing(3)
        for widget in (self.stage, self.bar):
            column.addWidget(widget)
        column.addLayout(row)
        boxed(self)
        events = self._job.events
        for signal in (events.is_busy, events.is_stopping, events.stage, events.detail):
            signal.connect(self.refresh, max_args=0)
        self.refresh()

    def refresh(self) -> None:
        """Show what the state says."""
        job = self._job
        self.setVisible(job.is_busy)
        self.stage.setText(escape(job.stage[:1].upper() + job.stage[1:]))
        self.detail.setText(escape(job.detail))
        # a range of nothing makes the bar run to and fro
        self.bar.setRange(0, job.total)
        self.bar.setValue(job.done)
        self.cancel.setEnabled(not job.is_stopping)
        self.cancel.setText("Cancelling …" if job.is_stopping else "Cancel")


def show_text(parent: QWidget, heading: str, markdown: str) -> QDialog:
    """Show a longer text in a window of its own, with a button that copies it.

    Parameters
    ----------
    parent : QWidget
        Whose window it belongs to.
    heading : str
        Title of the window.
    markdown : str
        The text.

    Returns
    -------
    QDialog
        The window, already open; it keeps nobody waiting.
    """
    dialog = QDialog(parent)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.setWindowTitle(heading)
    browser = QTextBrowser()
    browser.setMarkdown(markdown)
    browser.setOpenExternalLinks(True)
    copy = button(
        "Copy", "Copy the text.", lambda: QApplication.clipboard().setText(markdown)
    )
    column = QVBoxLayout(dialog)
    column.addWidget(QLabel(heading))
    column.addWidget(browser)
    column.addWidget(copy)
    dialog.resize(620, 520)
    dialog.show()
    return dialog
