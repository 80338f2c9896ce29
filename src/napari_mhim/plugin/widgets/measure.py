"""The row of the attention layer: its switch, its legend, and what the layer shows."""

from typing import Any

from qtpy.QtWidgets import QComboBox

from napari_mhim.plugin.measures import MEASURES
from napari_mhim.plugin.overlays import ATTENTION
from napari_mhim.plugin.state.desk import DeskState
from napari_mhim.plugin.widgets.legend import LayerRow


class MeasureRow(LayerRow):
    """A layer's row with a choice of what the layer shows."""

    def __init__(self, layer: Any, state: DeskState) -> None:
        super().__init__(ATTENTION, layer, state.measured.meaning)
        self._state = state
        self.choice = QComboBox()
        self.choice.addItems(MEASURES)
        self.choice.setToolTip("What this layer shows of every patch.")
        self.choice.setCurrentText(state.measure)
        self.inner.insertWidget(0, self.choice)
        self.choice.currentTextChanged.connect(self._choose)
        state.events.measure.connect(self._show, max_args=0)
        self._show()

    def release(self) -> None:
        """Stop listening to layer and state."""
        self._state.events.measure.disconnect(self._show)
        super().release()

    def _choose(self, name: str) -> None:
        self._state.measure = name

    def _show(self) -> None:
        measure = self._state.measured
        self.choice.setCurrentText(measure.name)
        self.meaning.setText(measure.meaning)
        self.attention_bar.say(measure.ends, measure.unit)
