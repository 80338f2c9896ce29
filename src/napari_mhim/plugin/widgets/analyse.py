"""The Analyse tab: a slide, a model, what a run will cost, and Run."""

from collections.abc import Callable
from html import escape
from pathlib import Path

from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)

from napari_mhim.errors import MhimError
from napari_mhim.mil.bundle import Bundle
from napari_mhim.plugin import words
from napari_mhim.plugin.canvas import Canvas
from napari_mhim.plugin.runs import Runs
from napari_mhim.plugin.state.desk import DeskState
from napari_mhim.plugin.state.progress import number
from napari_mhim.plugin.widgets.text import button, label, line, title
from napari_mhim.settings import DEVICES

_DEVICE_NAMES = {
    "auto": "Best there is",
    "cpu": "CPU",
    "cuda": "NVIDIA GPU",
    "mps": "Apple GPU",
}


class AnalyseTab(QWidget):  # type: ignore[misc]
    """Three steps from a file to a score."""

    def __init__(
        self,
        state: DeskState,
        canvas: Canvas,
        runs: Runs,
        open_slide: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._state, self._canvas, self._runs = state, canvas, runs
        self._open_slide = open_slide
        column = QVBoxLayout(self)
        column.setSpacing(6)
        self._add_slide(column)
        column.addWidget(line())
        self._add_model(column)
        column.addWidget(line())
        self._add_run(column)
        column.addStretch(1)
        self._connect()
        self.refresh()

    def refresh(self) -> None:
        """Show what the state says."""
        state = self._state
        self.slide.setText(_slide_text(state))
        self._list_scenes()
        needs_mpp = state.slide is not None and state.slide.mpp is None
        self.mpp_box.setVisible(needs_mpp)
        if needs_mpp and state.slide is not None:
            self.mpp_why.setText(
                f"{escape(state.slide.mpp_reason or words.NO_MPP)} Give it once; it is "
                "remembered for this slide. The scanner's settings or the lab know it."
            )
        self.model.setText(_model_text(state.bundle))
        self.card.setEnabled(state.bundle is not None)
        self.cost.setText(escape(state.cost()) or "&nbsp;")
        reason = state.can_run()
        self.run.setEnabled(reason is None)
        self.why_not.setText(escape(reason or state.features_note or "Ready."))
        self.device.setEnabled(not state.job.is_busy)
        self.choose.setEnabled(not state.job.is_busy)

    def _add_slide(self, column: QVBoxLayout) -> None:
        column.addWidget(title("1 · Slide"))
        self.open = button(
            "Open slide …",
            "Open a whole-slide image: SVS, NDPI, SCN, BIF, MRXS, pyramidal TIFF. "
            "Only what is on screen is read.",
            self._ask_slide,
        )
        self.open_folder = button(
            "Folder …",
            "Open a slide that is a folder: a DICOM series, or an OME-Zarr.",
            self._ask_folder,
        )
        row = QHBoxLayout()
        row.addWidget(self.open, 1)
        row.addWidget(self.open_folder)
        column.addLayout(row)
        self.slide = label()
        column.addWidget(self.slide)
        self.scenes = QComboBox()
        self.scenes.setToolTip(
            "Which of the file's scenes is shown. Models run on the first."
        )
        self.scenes.activated.connect(self._open_scene)
        column.addWidget(self.scenes)
        self.mpp_box = QWidget()
        self.mpp_why = label(small=True)
        self.mpp = QDoubleSpinBox()
        self.mpp.setDecimals(4)
        self.mpp.setRange(0.02, 20)
        self.mpp.setValue(0.5)
        self.mpp.setSingleStep(0.01)
        self.mpp.setToolTip(
            "Micrometres per pixel at full resolution: about 0.25 at 40×, 0.5 at 20×."
        )
        row = QHBoxLayout()
        row.addWidget(QLabel("µm per pixel"))
        row.addWidget(self.mpp, 1)
        use = button(
            "Use", "Draw and analyse this slide at this scale.", self._give_mpp
        )
        row.addWidget(use)
        inner = QVBoxLayout(self.mpp_box)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.addWidget(self.mpp_why)
        inner.addLayout(row)
        column.addWidget(self.mpp_box)

    def _add_model(self, column: QVBoxLayout) -> None:
        column.addWidget(title("2 · Model"))
        self.choose = button(
            "Choose model …",
            "Choose a model's folder: it holds config.json and model.safetensors.",
            self._ask_model,
        )
        self.card = button(
            "Card",
            "What the model was trained on, its figures, its licence and its use.",
            self._open_card,
        )
        row = QHBoxLayout()
        row.addWidget(self.choose, 1)
        row.addWidget(self.card)
        column.addLayout(row)
        self.model = label()
        column.addWidget(self.model)

    def _add_run(self, column: QVBoxLayout) -> None:
        column.addWidget(title("3 · Run"))
        self.device = QComboBox()
        for name in DEVICES:
            self.device.addItem(_DEVICE_NAMES[name], name)
        self.device.setToolTip("Where the model runs. A GPU is faster; scores agree.")
        row = QHBoxLayout()
        row.addWidget(QLabel("Runs on"))
        row.addWidget(self.device, 1)
        column.addLayout(row)
        self.cost = label()
        self.cost.setToolTip(
            "Counted on the tissue of this slide at the model's scale."
        )
        column.addWidget(self.cost)
        self.run = button(
            "Run",
            "Cut the tissue into patches, encode them, and let the model look. "
            "The slide file is not changed.",
            self._runs.predict,
        )
        self.run.setMinimumHeight(34)
        column.addWidget(self.run)
        self.why_not = label(small=True)
        column.addWidget(self.why_not)

    def _connect(self) -> None:
        state, job = self._state, self._state.job
        for signal in (
            *(state.events.slide, state.events.given_mpp, state.events.bundle),
            *(state.events.n_patches, state.events.seconds_per_patch),
            state.events.features_note,
            *(state.events.device, job.events.is_busy, state.events.aliases),
        ):
            signal.connect(self.refresh, max_args=0)
        for signal in (
            state.events.slide,
            state.events.bundle,
            state.events.given_mpp,
        ):
            signal.connect(self._runs.count, max_args=0)
        self.device.currentIndexChanged.connect(
            lambda *_: self._runs.ask_device(self.device.currentData())
        )

    def _ask_slide(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self,
            "Open a slide",
            _folder_of(self._state.slide.path if self._state.slide else ""),
            "Slides (*.svs *.ndpi *.scn *.bif *.mrxs *.vms *.vmu *.svslide *.tif "
            "*.tiff *.btf *.dcm);;All files (*)",
        )
        if path:
            self._open_slide(path)

    def _ask_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(
            self,
            "Open a slide that is a folder",
            _folder_of(self._state.slide.path if self._state.slide else ""),
        )
        if path:
            self._open_slide(path)

    def _list_scenes(self) -> None:
        """Offer the scenes of the file on screen; names are the file's own."""
        slide = self._state.slide
        names = () if slide is None else slide.scenes
        self.scenes.setVisible(len(names) > 1)
        self.scenes.clear()
        for place, name in enumerate(names, start=1):
            told = "" if self._state.aliases else f" · {name}"
            self.scenes.addItem(f"Scene {place} of {len(names)}{told}")
        if slide is not None:
            self.scenes.setCurrentIndex(slide.scene)

    def _open_scene(self, scene: int) -> None:
        slide = self._state.slide
        if slide is None or scene == slide.scene:
            return
        try:
            self._canvas.open(slide.path, scene)
        except MhimError as err:
            self._state.tell(err)
            self._list_scenes()

    def _ask_model(self) -> None:
        start = self._runs.memory.bundle
        path = QFileDialog.getExistingDirectory(
            self, "Choose a model's folder", _folder_of(start)
        )
        if path:
            self._runs.choose_bundle(path)

    def _open_card(self) -> None:
        from napari_mhim.plugin.widgets.header import show_text

        bundle = self._state.bundle
        if bundle is not None:
            text = bundle.card or f"The model {bundle.name!r} has no card."
            show_text(self, f"Card of {bundle.name}", text)

    def _give_mpp(self) -> None:
        self._canvas.set_mpp(self.mpp.value())
        self._runs.give_mpp(self.mpp.value())


def _slide_text(state: DeskState) -> str:
    slide = state.slide
    if slide is None:
        return "No slide open. <i>File → Open Sample</i> has three to try."
    height, width = slide.shape
    if slide.mpp is None:
        scale = "no µm per pixel"
    else:
        scale = " × ".join(f"{value:.4g}" for value in dict.fromkeys(slide.mpp))
        scale += " µm per px"
    name = state.slide_name() if state.aliases else Path(slide.path).name
    # the first note of several scenes names them: their list does, too. Names are the
    # file's own, and can be a patient's
    notes = () if state.aliases else slide.notes[len(slide.scenes) > 1 :]
    lines = [f"{number(width)} × {number(height)} px · {scale}", *map(escape, notes)]
    return "<br>".join([escape(name), *lines])


def _model_text(bundle: Bundle | None) -> str:
    if bundle is None:
        return "No model chosen."
    config = bundle.config
    classes = ", ".join(escape(name) for name in config.classes)
    teacher = "with teacher" if config.has_teacher else "without teacher"
    encoder = escape(config.encoder_id.partition("#")[0])
    return (
        f"{escape(bundle.name)} · {escape(config.model)}, {escape(config.recipe)}, "
        f"{teacher}<br>Classes: {classes}<br>Encoder: {encoder}"
    )


def _folder_of(path: str) -> str:
    return str(Path(path).parent) if path else ""
