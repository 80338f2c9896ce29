"""A second window with another model's result of the slide; the two look at the same place."""

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from napari.layers import Layer
from qtpy.QtWidgets import QLabel

from napari_mhim.mil.result import SlideResult
from napari_mhim.plugin import overlays
from napari_mhim.plugin.canvas import Canvas
from napari_mhim.plugin.open_slides import close_with_layers, open_slide
from napari_mhim.plugin.overlays import OURS, SLIDE

_SIZE = (900, 700)


class LinkedCameras:
    """Two cameras that look at the same place, whichever is moved.

    Parameters
    ----------
    one, other : napari camera
        The second takes the first one's place at once.
    """

    def __init__(self, one: Any, other: Any) -> None:
        self._cameras = (one, other)
        self._is_moving = False
        self._copy(one, other)
        for camera, follow in zip(
            self._cameras, (self._first_moved, self._second_moved), strict=True
        ):
            camera.events.center.connect(follow)
            camera.events.zoom.connect(follow)

    def release(self) -> None:
        """Let each go its own way."""
        for camera, follow in zip(
            self._cameras, (self._first_moved, self._second_moved), strict=True
        ):
            camera.events.center.disconnect(follow)
            camera.events.zoom.disconnect(follow)

    def _first_moved(self, event: Any = None) -> None:
        self._copy(*self._cameras)

    def _second_moved(self, event: Any = None) -> None:
        self._copy(*reversed(self._cameras))

    def _copy(self, source: Any, target: Any) -> None:
        if self._is_moving:
            return
        self._is_moving = True
        try:
            target.center, target.zoom = source.center, source.zoom
        finally:
            self._is_moving = False


class SideBySide:
    """The second window; made open.

    Parameters
    ----------
    canvas : Canvas
        The first window's; its slide must be open.
    other : SlideResult
        What is drawn in the second.
    caption : str
        What stands below it: whose result it is, and its score.
    title : str
        Title of the window.
    on_closed : callable
        Called once when it has closed, by whomever.

    Raises
    ------
    SlideError
        If the slide cannot be opened again.
    """

    def __init__(
        self,
        canvas: Canvas,
        other: SlideResult,
        caption: str,
        title: str,
        on_closed: Callable[[], None],
    ) -> None:
        import napari

        state = canvas.state
        assert state.slide is not None
        assert state.result is not None
        # a file of its own: each window closes the one it has opened
        slide = open_slide(state.slide.path)
        self._on_closed: Callable[[], None] | None = on_closed
        self.viewer = napari.Viewer(title=title)
        self.viewer.window.resize(*_SIZE)
        close_with_layers(self.viewer.layers)
        tuples = [
            overlays.slide_layer(slide, state.mpp),
            *overlays.result_layers(other, other.target, state.mpp),
        ]
        shown = {
            part: layer for part, layer in canvas.layers().items() if layer.visible
        }
        for data, kwargs, kind in tuples:
            part = kwargs["metadata"][OURS]["part"]
            kwargs["visible"] = part == SLIDE or part in shown
            if part == overlays.EVIDENCE:
                # one legend for both windows: colours mean the same
                limit = float(state.result.evidence_limits[other.target])
                kwargs["contrast_limits"] = (-limit, limit)
            self.viewer.add_layer(Layer.create(data, dict(kwargs), kind))
        self.viewer.layers.selection.active = self.viewer.layers[0]
        self.viewer.canvas.overlays.scale_bar.visible = True
        self._caption = QLabel(caption)
        self._caption.setWordWrap(True)
        self._caption.setMargin(6)
        self.viewer.window.add_dock_widget(
            self._caption, name="MHIM: B", area="bottom", tabify=False
        )
        # public sign that the window has gone, also when its user closes it
        self._caption.destroyed.connect(partial(_gone, weakref.ref(self)))
        self._link = LinkedCameras(canvas.viewer.scene.camera, self.viewer.scene.camera)

    def close(self) -> None:
        """Close the window and its slide's file; nothing happens where it has closed."""
        viewer = self._let_go()
        if viewer is not None:
            viewer.close()

    def _let_go(self) -> Any:
        on_closed, self._on_closed = self._on_closed, None
        if on_closed is None:
            return None
        self._link.release()
        viewer = self.viewer
        viewer.layers.clear()
        del self.viewer, self._caption, self._link
        on_closed()
        return viewer


def _gone(reference: "weakref.ref[SideBySide]", *_: Any) -> None:
    side = reference()
    if side is not None:
        side._let_go()
