"""Our layers put on the viewer and taken away, one in each turn of the event loop.

napari takes up to a tenth of a second to add a layer, and longer to remove one, since it
then collects garbage. So what is no more shown is hidden at once and filled anew with what
comes next of its kind; what cannot be is added or removed a layer at a time, and the window
answers in between. No Qt: whoever makes it says what "later" is.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from napari.layers import Image, Layer, Points

from napari_mhim.mil.result import SlideResult
from napari_mhim.plugin.open_slides import what
from napari_mhim.plugin.overlays import (
    ATTENTION,
    DIFFERENCE,
    EVIDENCE,
    HARD,
    HIDDEN,
    OURS,
    SLIDE,
    TRUTH,
    LayerTuple,
    result_layers,
)
from napari_mhim.plugin.register import grid_transform, slide_transform

PARTS = (SLIDE, EVIDENCE, ATTENTION, HIDDEN, DIFFERENCE, TRUTH, HARD)
"""Our layers, bottom to top; the difference is there only while it is looked at."""
ASIDE = "aside"
"""What a layer is that shows nothing any more: to be filled anew, or on its way out."""
_GOING = "(going)"
_ON_GRID = (EVIDENCE, ATTENTION, HIDDEN, DIFFERENCE)
_AT_ONCE = (SLIDE, EVIDENCE)
"""What says which slide and result are on screen; the others may come a moment later."""


class Placing:
    """Puts layers on a viewer and takes them away.

    Parameters
    ----------
    viewer : napari.Viewer or ViewerModel
        The viewer.
    later : callable
        Calls what it is given when the window has had its turn.
    """

    def __init__(
        self, viewer: Any, later: Callable[[Callable[[], None]], None]
    ) -> None:
        self._viewer, self._later = viewer, later
        self._coming: deque[LayerTuple] = deque()
        self._aside: list[Layer] = []
        self._waits = False
        self.is_adding = False
        """True while a layer of ours is put on the viewer by us, not by the user."""

    @property
    def is_busy(self) -> bool:
        """Tell whether layers are still to come or to go."""
        return bool(self._coming or self._aside)

    def place(
        self, tuples: Iterable[LayerTuple], instead_of: Iterable[Layer] = ()
    ) -> None:
        """Show layers: in such of their kind as are no more needed, else in new ones.

        Parameters
        ----------
        tuples : iterable of LayerTuple
            Bottom to top. Slide and evidence are there when this returns, the others come
            in turns; what was still to come is dropped.
        instead_of : iterable of Layer
            Layers of ours that these replace; what is not filled anew is set aside.
        """
        self._coming.clear()
        self._aside = [one for one in self._aside if one in self._viewer.layers]
        old = list(instead_of)
        for one in tuples:
            spare = self._spare_for(one, [*old, *self._aside])
            if spare is not None:
                (old if spare in old else self._aside).remove(spare)
                refill(spare, one[0], one[1])
                style(spare, one[1])
            elif _part(one) in _AT_ONCE:
                self._add(one)
            else:
                self._coming.append(one)
        # what is seen comes first
        seen_first = sorted(self._coming, key=lambda one: not one[1]["visible"])
        self._coming = deque(seen_first)
        self.set_aside(old)

    def set_aside(self, layers: Iterable[Layer]) -> None:
        """Hide layers and forget what they show; they are used again or go, in turns.

        Parameters
        ----------
        layers : iterable of Layer
            Layers of ours; those that are not on the viewer any more are left alone.
        """
        for layer in layers:
            if layer not in self._viewer.layers or layer in self._aside:
                continue
            noted = what(layer)
            layer.visible = False
            # the next slide's layer is to be called by this name
            layer.name = _GOING
            # a slide's file is closed when its layer goes
            kept = {"open": noted["open"]} if "open" in noted else {}
            layer.metadata[OURS] = {"part": ASIDE, "was": noted.get("part"), **kept}
            self._aside.append(layer)
        self._ask_for_a_turn()

    def restyle(
        self, layers: Mapping[str, Layer], looks: Mapping[str, tuple[bool, float]]
    ) -> None:
        """Let layers be shown, and as strongly, as it says; those still to come too.

        Parameters
        ----------
        layers : mapping of str to Layer
            Our layers by part.
        looks : mapping
            Part to whether it is shown, and its opacity.
        """
        for part, layer in layers.items():
            if part in looks:
                layer.visible, layer.opacity = looks[part]
        for _, kwargs, _ in self._coming:
            part = kwargs["metadata"][OURS]["part"]
            if part in looks:
                kwargs["visible"], kwargs["opacity"] = looks[part]

    def drop_coming(self) -> None:
        """Let nothing come any more."""
        self._coming.clear()

    def finish(self) -> None:
        """Put and take away now what was still to come and to go."""
        while self.is_busy:
            self._one()

    def stop(self) -> None:
        """Let nothing come, and take away now what was set aside."""
        self.drop_coming()
        self.finish()

    def _spare_for(self, one: LayerTuple, among: list[Layer]) -> Layer | None:
        kinds = {"image": Image, "points": Points}
        part, kind = _part(one), kinds.get(one[2])
        if kind is None or part == SLIDE:
            return None
        has_scale = one[1]["units"][-1] != "pixel"
        for layer in among:
            noted = what(layer)
            is_like = noted.get("was", noted.get("part")) == part
            # napari cannot measure a scene of µm and of pixels
            is_alike = (str(layer.units[-1]) != "pixel") == has_scale
            if is_like and is_alike and isinstance(layer, kind):
                return layer
        return None

    def _add(self, one: LayerTuple) -> None:
        data, kwargs, kind = one
        layer = Layer.create(data, dict(kwargs), kind)
        layers, place = self._viewer.layers, _place(_part(one))
        above = (i for i, other in enumerate(layers) if _place_of(other) > place)
        self.is_adding = True
        try:
            layers.insert(next(above, len(layers)), layer)
        finally:
            self.is_adding = False

    def _ask_for_a_turn(self) -> None:
        if self.is_busy and not self._waits:
            self._waits = True
            self._later(self._turn)

    def _turn(self) -> None:
        self._waits = False
        self._one()
        self._ask_for_a_turn()

    def _one(self) -> None:
        if self._coming:
            active = self._viewer.layers.selection.active
            self._add(self._coming.popleft())
            # napari makes the new layer the active one: a click would move or draw
            self._viewer.layers.selection.active = active
        elif self._aside:
            gone = self._aside.pop(0)
            if gone in self._viewer.layers:
                self._viewer.layers.remove(gone)


def refill(layer: Layer, data: Any, kwargs: dict[str, Any]) -> None:
    """Let a layer show other data at another place; how it looks stays.

    Parameters
    ----------
    layer : Image or Points
        A layer of ours.
    data, kwargs : Any, dict
        Of a layer tuple of the same kind.
    """
    was_visible = layer.visible
    if isinstance(layer, Points):
        # napari 0.9 keeps which points of a hidden layer are in view, of the old ones
        layer.visible = True
    layer.data = data
    layer.metadata[OURS] = dict(kwargs["metadata"][OURS])
    for name in ("scale", "translate"):
        # each of these makes napari measure the whole scene again
        if name in kwargs and not np.array_equal(getattr(layer, name), kwargs[name]):
            setattr(layer, name, kwargs[name])
    if isinstance(layer, Points):
        # new points take napari's own look
        for name in ("size", "symbol", "features", "border_color", "face_color"):
            setattr(layer, name, kwargs[name])
        layer.border_width = kwargs["border_width"]
        layer.selected_data = set()
        layer.visible = was_visible


def style(layer: Layer, kwargs: dict[str, Any]) -> None:
    """Let a layer look as a new one would: name, colours, limits, opacity, visibility.

    Parameters
    ----------
    layer : Image or Points
        A layer of ours.
    kwargs : dict
        Of a layer tuple of the same kind.
    """
    layer.name = kwargs["name"]
    if "contrast_limits" in kwargs:
        limits = tuple(kwargs["contrast_limits"])
        # napari draws again for each of these, also where it stays the same
        if layer.colormap.name != kwargs["colormap"]["name"]:
            layer.colormap = kwargs["colormap"]
        if tuple(layer.contrast_limits_range) != limits:
            layer.contrast_limits_range = limits
        if tuple(layer.contrast_limits) != limits:
            layer.contrast_limits = limits
    for name, value in (("opacity", 1.0), ("visible", True)):
        if getattr(layer, name) != kwargs.get(name, value):
            setattr(layer, name, kwargs.get(name, value))


def show_other(
    layers: Mapping[str, Layer], shown: SlideResult, mpp: tuple[float, float] | None
) -> None:
    """Draw another result into the layers there are: how they look stays the same.

    Parameters
    ----------
    layers : mapping of str to Layer
        Our layers by part.
    shown : SlideResult
        What is drawn, of the same slide.
    mpp : tuple of float or None
        (y, x) micrometres per level-0 pixel.
    """
    for data, kwargs, _ in result_layers(shown, shown.target, mpp):
        layer = layers.get(kwargs["metadata"][OURS]["part"])
        if layer is not None:
            noted = dict(layer.metadata[OURS])
            refill(layer, data, kwargs)
            layer.metadata[OURS] = {**noted, "result": shown}


def move(layers: Mapping[str, Layer], mpp: tuple[float, float] | None) -> None:
    """Let layers lie where they belong on a slide that was given a scale.

    Parameters
    ----------
    layers : mapping of str to Layer
        Our layers by part.
    mpp : tuple of float or None
        (y, x) micrometres per level-0 pixel.
    """
    for part, layer in layers.items():
        result = what(layer).get("result")
        place = slide_transform(mpp)
        if part in _ON_GRID and result is not None:
            place = grid_transform(result.grid, mpp)
        layer.scale, layer.translate = place.scale, place.translate
        layer.units = place.units


def _part(one: LayerTuple) -> str:
    return str(one[1].get("metadata", {}).get(OURS, {}).get("part", ""))


def _place(part: str) -> int:
    return PARTS.index(part) if part in PARTS else len(PARTS)


def _place_of(layer: Layer) -> int:
    """Give a layer's place among ours; those of others are passed by: -1."""
    noted = what(layer)
    part = noted.get("was", noted.get("part"))
    return -1 if part is None else _place(str(part))
