"""How a layer looks: opacity, range and colours, live and bound both ways to the layer."""

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QFormLayout, QSlider, QWidget
from superqt import QDoubleRangeSlider

from napari_mhim.plugin.overlays import ATTENTION, DIFFERENCE, EVIDENCE
from napari_mhim.plugin.widgets.text import button

_STEPS = 100
_MAPS = {
    EVIDENCE: ("PiYG", "coolwarm"),
    DIFFERENCE: ("PiYG", "coolwarm"),
    ATTENTION: ("viridis", "magma", "gray"),
}
"""Colours that can be chosen besides a layer's own: those of signed values have a middle."""


class Look(QWidget):  # type: ignore[misc]
    """Opacity of any layer; range and colours of one that has a colour bar.

    Parameters
    ----------
    part : str
        Which of our layers it is.
    layer : napari layer
        The layer.
    """

    def __init__(self, part: str, layer: Any) -> None:
        super().__init__()
        self._layer, self._has_bar = layer, part in _MAPS
        form = QFormLayout(self)
        form.setContentsMargins(0, 2, 0, 2)
        form.setSpacing(3)
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(0, _STEPS)
        self.opacity.setToolTip("How strongly the layer covers the slide.")
        self.opacity.valueChanged.connect(self._set_opacity)
        form.addRow("opacity", self.opacity)
        self._events = [layer.events.opacity]
        if self._has_bar:
            self._own = layer.colormap
            self._make_bar_rows(form, _MAPS[part])
            self._events += [layer.events.contrast_limits, layer.events.colormap]
        for event in self._events:
            event.connect(self._show)
        self._show()

    def release(self) -> None:
        """Stop listening to the layer."""
        for event in self._events:
            event.disconnect(self._show)

    def _make_bar_rows(self, form: QFormLayout, maps: tuple[str, ...]) -> None:
        self.limits = QDoubleRangeSlider(Qt.Orientation.Horizontal)  # type: ignore[no-untyped-call]
        self.limits.setToolTip(
            "Values at the ends of the colour bar. The numbers below the bar follow; "
            "exports keep the range that is the same for every slide."
        )
        self.limits.valueChanged.connect(self._set_limits)
        form.addRow("range", self.limits)
        self.colours = QComboBox()
        self.colours.addItems([self._own.name, *maps])
        self.colours.setItemText(0, "own colours")
        self.colours.setToolTip("Colours of the layer.")
        self.colours.currentIndexChanged.connect(self._set_colours)
        form.addRow("colours", self.colours)
        self.reset = button("As at first", "Back to the stored range.", self._reset)
        form.addRow("", self.reset)

    def _show(self, event: Any = None) -> None:
        layer = self._layer
        self.opacity.blockSignals(True)
        self.opacity.setValue(round(layer.opacity * _STEPS))
        self.opacity.blockSignals(False)
        if not self._has_bar:
            return
        self.limits.blockSignals(True)
        self.limits.setRange(*layer.contrast_limits_range)
        self.limits.setValue(tuple(layer.contrast_limits))
        self.limits.blockSignals(False)
        self.colours.blockSignals(True)
        self.colours.setCurrentIndex(
            max(0, self.colours.findText(str(layer.colormap.name)))
        )
        self.colours.blockSignals(False)

    def _set_opacity(self, steps: int) -> None:
        self._layer.opacity = steps / _STEPS

    def _set_limits(self, limits: tuple[float, float]) -> None:
        low, high = limits
        if low < high:  # both handles at one place would be no scale
            self._layer.contrast_limits = (low, high)

    def _set_colours(self, place: int) -> None:
        self._layer.colormap = self.colours.itemText(place) if place else self._own

    def _reset(self) -> None:
        self._layer.contrast_limits = tuple(self._layer.contrast_limits_range)
        self._layer.colormap = self._own
