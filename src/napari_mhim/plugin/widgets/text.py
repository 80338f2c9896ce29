"""Labels that wrap, and lines between sections: what every tab is made of."""

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QLabel, QPushButton, QSizePolicy, QWidget

_EDGE = "1px solid rgba(128, 128, 128, 110)"


def label(text: str = "", small: bool = False) -> QLabel:
    """Make a label that wraps and takes rich text.

    Parameters
    ----------
    text : str
        Rich text.
    small : bool
        Whether it explains something else, in smaller letters.

    Returns
    -------
    QLabel
        As wide as its column, as high as its text.
    """
    made = QLabel(text)
    made.setWordWrap(True)
    made.setTextFormat(Qt.TextFormat.RichText)
    made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    if small:
        made.setStyleSheet("font-size: 11px;")
    return made


def title(text: str) -> QLabel:
    """Make a section's title."""
    return label(f"<b>{text}</b>")


def button(text: str, tip: str, on_click: Callable[[], object]) -> QPushButton:
    """Make a button that says what it does.

    Parameters
    ----------
    text : str
        What stands on it.
    tip : str
        What happens when it is pressed.
    on_click : callable
        Called without arguments.

    Returns
    -------
    QPushButton
        The button.
    """
    made = QPushButton(text)
    made.setToolTip(tip)
    # clicked brings a flag that nobody here wants
    made.clicked.connect(lambda *_: on_click())
    return made


def line() -> QFrame:
    """Make a line between two sections."""
    made = QFrame()
    made.setFixedHeight(1)
    made.setStyleSheet("background-color: rgba(128, 128, 128, 110);")
    return made


def boxed(widget: QWidget, colour: str = "") -> None:
    """Draw a thin frame round a widget; in a colour, when it warns."""
    name = widget.objectName() or f"box{id(widget)}"
    widget.setObjectName(name)
    edge = f"2px solid {colour}" if colour else _EDGE
    widget.setStyleSheet(f"#{name} {{ border: {edge}; border-radius: 4px; }}")
