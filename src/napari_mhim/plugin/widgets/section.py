"""A part of a tab that opens on a click; what is in it is made only then."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol, cast

from qtpy.QtCore import QPoint, Qt, QTimer
from qtpy.QtWidgets import (
    QGridLayout,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

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
        self.name, self.tip = name, tip
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


_JUMPS_IN_A_ROW = 3  # more do not fit a dock of 320 px


class Jumps(QWidget):  # type: ignore[misc]
    """Small buttons in rows, one for each section: opens it and scrolls to it.

    Parameters
    ----------
    sections : iterable of Section
        In their order.
    """

    def __init__(self, sections: Iterable[Section]) -> None:
        super().__init__()
        self.buttons: dict[str, QToolButton] = {}
        self._aim: Section | None = None
        # a section has its height only when Qt has laid it out
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._scroll)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(1)
        for number, section in enumerate(sections):
            made = QToolButton()
            made.setText(section.name)
            made.setToolTip(section.tip)
            made.setStyleSheet("font-size: 11px; padding: 2px 0px;")
            made.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            made.clicked.connect(partial(self._go, section))
            self.buttons[section.name] = made
            grid.addWidget(made, *divmod(number, _JUMPS_IN_A_ROW))

    def _go(self, section: Section, *_: bool) -> None:
        section.open()
        self._aim = section
        self._soon.start(50)

    def _scroll(self) -> None:
        area = self.parentWidget()
        while area is not None and not isinstance(area, QScrollArea):
            area = area.parentWidget()
        if area is not None and self._aim is not None:
            top = self._aim.mapTo(area.widget(), QPoint(0, 0)).y()
            area.verticalScrollBar().setValue(top)
