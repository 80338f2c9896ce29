"""The viewer as the dock uses it: which layers are ours, what they show, where one looks.

No Qt: works on a ``ViewerModel`` without a window. The layers are the truth; what the
user removes is gone, and nothing here holds on to it.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from napari.layers import Layer
from numpy.typing import NDArray

from napari_mhim.mil.result import SlideResult
from napari_mhim.phantom.truth import PhantomTruth
from napari_mhim.plugin import overlays
from napari_mhim.plugin.flying import fly, frame
from napari_mhim.plugin.measures import FIRST
from napari_mhim.plugin.open_slides import close_with_layers, open_slide, slide_of, what
from napari_mhim.plugin.overlays import (
    ATTENTION,
    EVIDENCE,
    HARD,
    HIDDEN,
    OURS,
    SLIDE,
    LayerTuple,
)
from napari_mhim.plugin.palette import RING_COLOUR, RING_IN_VIEW_COLOUR
from napari_mhim.plugin.placing import ASIDE, PARTS, Placing, move, show_other
from napari_mhim.plugin.state.desk import DeskState, OpenSlide
from napari_mhim.slide import Slide


class Canvas:
    """Puts slides and results on a viewer, and tells the state what is there.

    Parameters
    ----------
    viewer : napari.Viewer or ViewerModel
        The viewer.
    state : DeskState
        What the dock shows.
    later : callable, optional
        Calls what it is given when napari is done; Qt's loop. Without it, at once.
    """

    def __init__(
        self,
        viewer: Any,
        state: DeskState,
        later: Callable[[Callable[[], None]], None] = lambda act: act(),
    ) -> None:
        self.viewer = viewer
        self.state = state
        self.later = later
        self._placing = Placing(viewer, later)
        self._held: list[Layer] = []
        self._has_live_layers = False  # there for a model in training alone
        self._was_live: SlideResult | None = None
        close_with_layers(viewer.layers)
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)
        state.events.shows_baseline.connect(self._swap, max_args=0)
        state.events.compared.connect(self._swap_other, max_args=0)
        state.events.live.connect(self._draw_live, max_args=0)
        state.events.measure.connect(self._measure, max_args=0)
        self.adopt()

    def release(self) -> None:
        """Stop listening to the viewer; its layers stay, and no other comes."""
        self.viewer.layers.events.inserted.disconnect(self._on_inserted)
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        self.state.events.shows_baseline.disconnect(self._swap)
        self.state.events.compared.disconnect(self._swap_other)
        self.state.events.live.disconnect(self._draw_live)
        self.state.events.measure.disconnect(self._measure)
        self._placing.stop()

    def layers(self) -> dict[str, Layer]:
        """Give our layers by part; of two alike the upper one."""
        found = {}
        for layer in self.viewer.layers:
            part = what(layer).get("part")
            if part in PARTS:
                found[part] = layer
        return found

    def slide(self) -> Slide | None:
        """Give the slide on screen, None without one."""
        layer = self.layers().get(SLIDE)
        return None if layer is None else slide_of(layer)

    def make_slide_active(self) -> None:
        """Make the slide the active layer: a click on another would move rings or draw."""
        slide = self.layers().get(SLIDE)
        selection = self.viewer.layers.selection
        if slide is not None and selection.active is not slide:
            selection.active = slide

    def open(self, path: str, scene: int = 0) -> None:
        """Open a slide in place of the one on screen.

        Parameters
        ----------
        path : str
            The slide's file.
        scene : int
            Which of the scenes in it.

        Raises
        ------
        SlideError
            If it cannot be read; the slide on screen stays then.
        """
        slide = open_slide(path, scene)
        self.make_room()
        self.put([overlays.slide_layer(slide)])

    def make_room(self) -> None:
        """Take our layers away; a slide's file is closed with its layer, a moment later."""
        self._set_aside(self.layers().values())
        for layer in list(self.viewer.layers):
            # some go by themselves, with the slide
            is_left = what(layer).get("part", ASIDE) != ASIDE
            if is_left and layer in self.viewer.layers:
                self.viewer.layers.remove(layer)

    def put(self, tuples: list[LayerTuple]) -> None:
        """Add layers, look at the whole slide, and read the state off them.

        Parameters
        ----------
        tuples : list of LayerTuple
            Bottom to top.
        """
        self._placing.place(tuples)
        self.adopt()
        self.make_slide_active()
        self.look_at_all()

    def show_result(
        self,
        result: SlideResult,
        baseline: SlideResult | None = None,
        truth: PhantomTruth | None = None,
    ) -> None:
        """Draw a result over the slide on screen, in place of an older one.

        Parameters
        ----------
        result : SlideResult
            What the model saw.
        baseline : SlideResult, optional
            What a model trained without hiding saw.
        truth : PhantomTruth, optional
            Where a made slide's lesions are.
        """
        self.state.measure, self.state.live = FIRST, None
        self._held = []
        tuples = overlays.result_layers(result, result.target, self.state.mpp, truth)
        for _, kwargs, _ in tuples:
            kwargs["metadata"][OURS].update(truth=truth, baseline=baseline)
        self._placing.place(tuples, instead_of=self._overlays())
        self.adopt()
        self.make_slide_active()

    def adopt(self) -> None:
        """Read slide and result off the layers: samples and readers bring them too."""
        found, state = self.layers(), self.state
        slide = slide_of(found[SLIDE]) if SLIDE in found else None
        if slide is None:
            state.slide = None
        elif not (state.slide and state.slide.is_of(slide)):
            state.slide = OpenSlide.of(slide)
        noted = next((what(found[p]) for p in (EVIDENCE, HARD) if p in found), {})
        if state.slide is None or not noted:
            state.forget_result()
        elif noted["result"] not in (
            *(state.result, state.baseline, state.compared),
            *(state.live, self._was_live),
        ):
            state.shows_baseline, state.ring = False, -1
            state.compared = None
            state.truth = noted.get("truth")
            state.baseline = noted.get("baseline")
            state.features_path = noted.get("features_path", "")
            state.result = noted["result"]
        if state.slide is not None:
            self.viewer.canvas.overlays.scale_bar.visible = True

    def set_mpp(self, mpp: float) -> None:
        """Give the slide on screen a scale it does not bring itself.

        Parameters
        ----------
        mpp : float
            Micrometres per level-0 pixel, both ways.
        """
        self.finish()
        self.state.given_mpp = mpp
        self.state.n_patches = None
        move(self.layers(), self.state.mpp)
        self.look_at_all()

    def look_at_all(self) -> None:
        """Show the whole slide: what was scanned of it, where the file says so."""
        layer, slide = self.layers().get(SLIDE), self.slide()
        if layer is not None and slide is not None:
            frame(self.viewer, layer, slide.bounds)

    def fly_to_ring(self, number: int) -> None:
        """Show one ring close by, and remember that it is the one in view.

        Parameters
        ----------
        number : int
            From 0; counted round, so that -1 is the last.
        """
        self.finish()
        hard, shown = self.layers().get(HARD), self.state.shown
        if hard is None or shown is None or not len(hard.data):
            return
        number %= len(hard.data)
        fly(self.viewer, hard, hard.data[number], shown.grid.patch_px)
        self.state.ring = number
        colours = [RING_COLOUR] * len(hard.data)
        colours[number] = RING_IN_VIEW_COLOUR
        hard.border_color = colours

    def step_ring(self, step: int) -> None:
        """Fly to the next (1) or previous (-1) ring, round and round."""
        now = self.state.ring
        self.fly_to_ring(0 if now < 0 and step > 0 else max(now, 0) + step)

    def show_hidden(self, parts: NDArray[np.uint8] | None = None) -> None:
        """Draw another mask into the layer of hidden patches, if it is there.

        Parameters
        ----------
        parts : ndarray, shape (N,), uint8, optional
            Bits of ``mil.questions`` for each patch; the result's own mask where not given.
        """
        shown = self.state.shown
        if shown is not None:
            self.finish()
        layer = self.layers().get(HIDDEN)
        if layer is None or shown is None:
            return
        data, kwargs, _ = (
            overlays.hidden_layer(shown, self.state.mpp)
            if parts is None
            else overlays.parts_layer(shown, parts, self.state.mpp)
        )
        layer.data = data
        layer.colormap = kwargs["colormap"]
        layer.contrast_limits = kwargs["contrast_limits"]

    def show_only(self, *parts: str) -> None:
        """Show these overlays and no other of ours; the slide stays as it is."""
        self.finish()
        for part, layer in self.layers().items():
            if part != SLIDE:
                layer.visible = part in parts

    def hold_overlays_off(self) -> None:
        """Hide the overlays until :meth:`let_overlays_back`."""
        if self._held:
            return
        self.finish()
        self._held = [layer for layer in self._overlays() if layer.visible]
        for layer in self._held:
            layer.visible = False

    def let_overlays_back(self) -> None:
        """Show again what :meth:`hold_overlays_off` has hidden."""
        held, self._held = self._held, []
        for layer in held:
            layer.visible = True

    def drop_result(self) -> None:
        """Take all overlays away; the slide stays."""
        self._set_aside(self._overlays())

    def finish(self) -> None:
        """Put layers on now that would come a moment later, and take off those that go."""
        self._placing.finish()

    def take_away(self, layer: Layer | None) -> None:
        """Take a layer of ours away: out of sight at once, off the list a moment later.

        Parameters
        ----------
        layer : Layer or None
            One that is off the list already is left alone.
        """
        if layer is not None:
            self._placing.set_aside([layer])

    def apply_looks(self, looks: dict[str, tuple[bool, float]]) -> None:
        """Show overlays, and as strongly, as it says; those still to come too.

        Parameters
        ----------
        looks : dict
            Part to whether it is shown, and its opacity.
        """
        self._placing.restyle(self.layers(), looks)

    def _overlays(self) -> list[Layer]:
        return [layer for part, layer in self.layers().items() if part != SLIDE]

    def _set_aside(self, layers: Iterable[Layer]) -> None:
        gone = list(layers)
        self._placing.drop_coming()
        self._held = [layer for layer in self._held if layer not in gone]
        self._placing.set_aside(gone)
        self._forget_what_is_gone()

    def _swap(self) -> None:
        """Draw the other model's result into the layers there are: colours stay the same."""
        shown, state = self.state.shown, self.state
        if shown is None:
            return
        self.finish()
        show_other(self.layers(), shown, state.mpp)
        self._measure()
        state.ring = -1

    def _draw_live(self) -> None:
        """Draw what a model in training says, or again what was there before it."""
        live, state = self.state.live, self.state
        if live is None:
            if self._has_live_layers:
                self._has_live_layers = False
                # a slide may be on its way out: its layers go with it
                self.later(self._drop_live)
        elif EVIDENCE not in self.layers():
            self._placing.place(overlays.result_layers(live, live.target, state.mpp))
            self.make_slide_active()
            self._has_live_layers, self._was_live = True, live
            return
        self._was_live = live or self._was_live
        shown, evidence = state.shown, self.layers().get(EVIDENCE)
        if shown is not None and evidence is not None:
            self._swap()
            limit = float(shown.evidence_limits[shown.target])
            evidence.contrast_limits_range = (-limit, limit)
            evidence.contrast_limits = (-limit, limit)

    def _drop_live(self) -> None:
        # a result may be there by now, in these layers
        if self.state.live is None and self.state.result is None:
            self._set_aside(self._overlays())

    def _swap_other(self) -> None:
        if self.state.shows_baseline:
            self._swap()

    def _measure(self) -> None:
        """Draw the measure that was chosen into the attention layer."""
        shown = self.state.shown
        if shown is not None:
            self.finish()
        layer = self.layers().get(ATTENTION)
        if layer is None or shown is None:
            return
        data, kwargs, _ = overlays.attention_layer(
            shown, self.state.mpp, self.state.measured
        )
        layer.data = data
        if layer.name != kwargs["name"]:
            # the colours a reader chose stay while the measure does
            layer.name, layer.colormap = kwargs["name"], kwargs["colormap"]
            layer.contrast_limits_range = kwargs["contrast_limits"]
            layer.contrast_limits = kwargs["contrast_limits"]

    def _on_inserted(self, event: Any) -> None:
        if not self._placing.is_adding and what(event.value).get("part") in PARTS:
            self.adopt()
            # napari is about to make the new layer the active one
            self.later(self.make_slide_active)

    def _on_removed(self, event: Any) -> None:
        if what(event.value).get("part") not in PARTS:
            return
        self._held = [layer for layer in self._held if layer is not event.value]
        self._forget_what_is_gone()

    def _forget_what_is_gone(self) -> None:
        found = self.layers()
        if SLIDE not in found or not {EVIDENCE, HARD} & set(found):
            self._placing.drop_coming()
        if self.state.slide is None:
            return
        if SLIDE not in found:
            self.state.slide = None
        elif not {EVIDENCE, HARD} & set(found):
            self.state.forget_result()
