"""How the reader likes to look: what stays the same from one slide to the next.

No Qt. Kept are the zoom (µm per screen pixel), which overlays are shown and how strongly,
and for each slide the place where it was left.
"""

from dataclasses import dataclass
from typing import Any

from napari.layers import Layer

from napari_mhim.plugin.canvas import Canvas
from napari_mhim.plugin.overlays import SLIDE

_MARGIN = 1.12  # a whole slide in view leaves some room at its edges


@dataclass(frozen=True)
class View:
    """Where one looks."""

    centre: tuple[float, float]
    """Middle of the view, (y, x), world units."""
    zoom: float
    """Screen pixels per world unit."""
    units: str
    """Unit of the world."""
    is_whole: bool
    """Whether the whole slide was in view."""


class Habits:
    """Carries zoom and overlays from slide to slide.

    Parameters
    ----------
    canvas : Canvas
        What is on the viewer.
    """

    def __init__(self, canvas: Canvas) -> None:
        self._canvas = canvas
        self._views: dict[str, View] = {}
        self._last: View | None = None
        self._looks: dict[str, tuple[bool, float]] = {}

    def note(self) -> None:
        """Remember how the slide on screen is looked at, before another one comes."""
        view, slide = self.view(), self._canvas.state.slide
        if view is None or slide is None:
            return
        self._last = self._views[slide.path] = view
        self._looks.update(
            (part, (layer.visible, layer.opacity))
            for part, layer in self._canvas.layers().items()
            if part != SLIDE
        )

    def apply(self) -> None:
        """Look at the slide on screen as at the one before.

        The zoom is that of the last slide, in µm per screen pixel; the middle is where this
        slide was left, else its own middle. Whole slides are followed by whole slides.
        """
        self.apply_looks()
        last, slide = self._last, self._canvas.state.slide
        layer = self._canvas.layers().get(SLIDE)
        if last is None or last.is_whole or slide is None or layer is None:
            return
        if str(layer.units[-1]) != last.units:
            return  # pixels and µm cannot be compared
        camera = self._canvas.viewer.scene.camera
        own = self._views.get(slide.path)
        if own is not None:
            camera.center = (0.0, *own.centre)
        camera.zoom = last.zoom

    def apply_looks(self) -> None:
        """Show the overlays that were shown before, as strongly; the view stays."""
        self._canvas.apply_looks(self._looks)

    def view(self) -> View | None:
        """Give where one looks now, None without a slide."""
        layer = self._canvas.layers().get(SLIDE)
        if layer is None:
            return None
        camera = self._canvas.viewer.scene.camera
        centre = (float(camera.center[-2]), float(camera.center[-1]))
        return View(
            centre, float(camera.zoom), str(layer.units[-1]), self._is_whole(layer)
        )

    def restore(self, view: View, looks: dict[str, tuple[bool, float]]) -> None:
        """Look as on another day.

        Parameters
        ----------
        view : View
            Where one looked.
        looks : dict
            Overlay's part to whether it was shown, and its opacity.
        """
        slide = self._canvas.state.slide
        if slide is not None:
            self._views[slide.path] = view
        self._last, self._looks = view, dict(looks)
        self.apply()

    def looks(self) -> dict[str, tuple[bool, float]]:
        """Give which overlays are shown now, and how strongly; those of before where none is."""
        now: dict[str, tuple[bool, float]] = {
            part: (bool(layer.visible), float(layer.opacity))
            for part, layer in self._canvas.layers().items()
            if part != SLIDE
        }
        return {**self._looks, **now}

    def _is_whole(self, layer: Layer) -> bool:
        low, high = layer.extent.world[:, -2:]
        seen: Any = (high - low) * self._canvas.viewer.scene.camera.zoom
        return bool(
            (seen <= [side * _MARGIN for side in self._canvas.viewer.canvas.size]).all()
        )
