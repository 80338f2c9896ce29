"""From a line of the error review to the patches that made it: the slide's first ring."""

from napari_mhim.mil.result import SlideResult
from napari_mhim.plugin import words
from napari_mhim.plugin.desk import Desk


class Hardest:
    """Flies to the hardest patch of the slide on screen, once the chosen model has seen it.

    Parameters
    ----------
    desk : Desk
        What the dock works with.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk, self._awaited = desk, ""
        desk.runs.finished.connect(self._take)

    def release(self) -> None:
        """Stop listening."""
        self._desk.runs.finished.disconnect(self._take)

    def look(self) -> None:
        """Fly there; the model is run first where it has not seen the slide.

        Nothing is run or shown of a slide that waits for its reader's label.
        """
        state, slides = self._desk.state, self._desk.slides
        if slides.current >= 0 and slides.is_withheld(slides.current):
            return
        bundle, result = state.bundle, state.result
        if result is not None and bundle is not None and result.bundle_id == bundle.id:
            self._fly(result)
        elif (reason := state.can_run()) is not None:
            self._desk.runs.noted.emit(reason)
        elif state.slide is not None:
            self._awaited = state.slide.fingerprint
            self._desk.runs.predict()

    def _take(self, result: SlideResult) -> None:
        is_awaited = result.fingerprint == self._awaited
        self._awaited = ""
        if is_awaited:
            self._fly(result)

    def _fly(self, result: SlideResult) -> None:
        rings = self._desk.state.rings()
        if rings is None:
            return  # kept back, or another slide by now
        if len(rings):
            self._desk.canvas.fly_to_ring(0)
        else:
            name = result.classes[result.target]
            self._desk.runs.noted.emit(words.no_rings(name))
