"""The row of the evidence layer: with several classes, a choice of whose evidence it shows."""

from typing import Any

from qtpy.QtWidgets import QComboBox

from napari_mhim.mil.result import SlideResult
from napari_mhim.plugin import words
from napari_mhim.plugin.overlays import EVIDENCE, evidence_layer
from napari_mhim.plugin.widgets.legend import LayerRow


class EvidenceRow(LayerRow):
    """A layer's row that says how evidence adds up, and for which class it is.

    Parameters
    ----------
    layer : napari layer
        The evidence layer.
    shown : SlideResult
        What it is drawn from.
    mpp : tuple of float or None
        (y, x) micrometres per level-0 pixel, as the slide's layer has it.
    """

    def __init__(
        self, layer: Any, shown: SlideResult, mpp: tuple[float, float] | None
    ) -> None:
        super().__init__(EVIDENCE, layer, _meaning(shown, shown.target))
        self._shown, self._mpp = shown, mpp
        self.choice = QComboBox()
        self.choice.addItems([f"for {name}" for name in shown.classes])
        self.choice.setCurrentIndex(shown.target)
        self.choice.setToolTip(
            "Class whose evidence this layer shows. Score, rings and gallery stay with "
            f"{shown.classes[shown.target]}."
        )
        # of two classes, one's evidence is the other's turned round
        self.choice.setVisible(len(shown.classes) > 2)
        self.inner.insertWidget(0, self.choice)
        self.choice.currentIndexChanged.connect(self._choose)

    def _choose(self, class_index: int) -> None:
        data, kwargs, _ = evidence_layer(self._shown, class_index, self._mpp)
        self.layer.data, self.layer.name = data, kwargs["name"]
        self.layer.contrast_limits_range = kwargs["contrast_limits"]
        self.layer.contrast_limits = kwargs["contrast_limits"]
        self.meaning.setText(_meaning(self._shown, class_index))


def _meaning(shown: SlideResult, class_index: int) -> str:
    return f"{words.evidence(shown.classes[class_index])} {words.sum_kind(shown)}"
