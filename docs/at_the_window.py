"""What all pictures need: time for Qt, the sample, and the right place in a tab."""

import time
from collections.abc import Callable
from typing import Any

from qtpy.QtWidgets import QApplication

from napari_mhim.plugin import sample_data, show


def wait(is_there: Callable[[], object], seconds: float) -> None:
    """Let Qt work until something is there, or the time is over."""
    until = time.monotonic() + seconds
    while not is_there() and time.monotonic() < until:
        QApplication.processEvents()
        time.sleep(0.02)


def sample(dock: Any, name: str) -> None:
    """Show a sample slide with all that belongs to it."""
    place = sample_data.folder()
    dock.show_layers(
        show.layers(
            place / f"{name}.tiff",
            place / f"{name}.h5",
            place / f"{name}.truth.json",
            place / f"{name}.baseline.h5",
            place / "bundle",
            place / f"{name}.features.h5",
        )
    )
    wait(lambda: dock.state.device, 60)
    dock.canvas.look_at_all()


def section(dock: Any, name: str) -> Any:
    """Open a section of the Review tab, and bring it to the top."""
    opened = dock.review.sections[name]
    content = opened.open()
    wait(lambda: False, 1.0)
    scroll_to(dock, opened)
    return content


def scroll_to(dock: Any, widget: Any) -> None:
    """Bring a part of the tab to the top."""
    area = dock.tabs.currentWidget()
    top = widget.mapTo(area.widget(), widget.rect().topLeft()).y()
    area.verticalScrollBar().setValue(top)
    wait(lambda: False, 0.5)
