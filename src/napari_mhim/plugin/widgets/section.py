"""A part of a tab that opens on a click; what is in it is made only then."""

from collections.abc import Callable
from typing import Protocol, cast

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QSizePolicy, QToolButton, QVBoxLayout, QWidget

from napari_mhim.plugin.desk import Desk


class Content(Protocol):
    """What stands in a section: a widget that knows how to let go."""

    def release(self) -> None:
        """Stop listening to state, viewer and layers."""


class Section(QWidget):  # type: ignore[misc]
    """A title that opens and closes what is below it.

    Parameters
    ----------
    name : str
        Its title.
    tip : str
        What one finds in it.
    make : callable
        Makes the content for a desk: a widget with ``release()``.
    desk : Desk
        What the content works with.
    """

    def __init__(
        self, name: str, tip: str, make: Callable[[Desk], QWidget], desk: Desk
    ) -> None:
        super().__init__()
        self._make, self._desk = make, desk
        self.content: QWidget | None = None
        self.head = QToolButton()
        self.head.setText(name)
        self.head.setToolTip(tip)
        self.head.setCheckable(True)
        self.head.setAutoRaise(True)
        self.head.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.head.setArrowType(Qt.ArrowType.RightArrow)
        self.head.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.head.setStyleSheet("font-weight: bold;")
        self.head.toggled.connect(self._show)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.head)

    def open(self) -> QWidget:
        """Open the section, and give what is in it."""
        self.head.setChecked(True)
        assert self.content is not None
        return self.content

    def release(self) -> None:
        """Let the content go, if it was ever made."""
        if self.content is not None:
            cast(Content, self.content).release()

    def _show(self, is_open: bool) -> None:
        arrow = Qt.ArrowType.DownArrow if is_open else Qt.ArrowType.RightArrow
        self.head.setArrowType(arrow)
        if is_open and self.content is None:
            self.content = self._make(self._desk)
            self.layout().addWidget(self.content)
        if self.content is not None:
            self.content.setVisible(is_open)
