"""The one dock: header, tabs, messages and the job bar; a tab is a file of its own."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import QScrollArea, QTabWidget, QVBoxLayout, QWidget

from napari_mhim.errors import MhimError
from napari_mhim.mil.result import SlideResult
from napari_mhim.plugin import warming
from napari_mhim.plugin.canvas import Canvas
from napari_mhim.plugin.desk import Desk
from napari_mhim.plugin.open_slides import what
from napari_mhim.plugin.overlays import LayerTuple
from napari_mhim.plugin.runs import Runs
from napari_mhim.plugin.state.desk import DeskState
from napari_mhim.plugin.talk import Talk
from napari_mhim.plugin.trainings import Trainings
from napari_mhim.plugin.widgets import keys
from napari_mhim.plugin.widgets.analyse import AnalyseTab
from napari_mhim.plugin.widgets.header import Header, JobBar, Message
from napari_mhim.plugin.widgets.review import ReviewTab
from napari_mhim.plugin.widgets.section import Section
from napari_mhim.plugin.widgets.settings import SettingsSection
from napari_mhim.plugin.widgets.slides import SlidesTab
from napari_mhim.plugin.widgets.tissue import TissueSection
from napari_mhim.plugin.widgets.train import TrainTab
from napari_mhim.plugin.worklist import Worklist
from napari_mhim.settings import load_settings

if TYPE_CHECKING:
    import napari

_WIDTH = 360
_TURN_MS = 10
"""Between two pieces of work: what the reader does and what is to be drawn comes first."""
_PAINTED_MS = 500
"""By then a sample is on screen: finding the device imports torch, which takes a whole core."""


class MhimDock(QWidget):  # type: ignore[misc]
    """MHIM in napari: open a slide, run a model, see what it saw."""

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        # napari hands a proxy that wraps each layer anew, so that no two are the same
        viewer = getattr(viewer, "__wrapped__", viewer)
        settings = load_settings()
        self.state = DeskState()
        self.runs = Runs(self.state, Path(settings.workspace), settings.device)
        self.canvas = Canvas(viewer, self.state, partial(QTimer.singleShot, _TURN_MS))
        self.talk = Talk(
            self.state,
            lambda: self.runs.workspace,
            lambda: self.runs.wanted_device,
        )
        self.desk = Desk(self.state, self.canvas, self.runs, self.talk)
        self.worklist = Worklist(self.desk)
        self.header = Header(self.state)
        self.message = Message(self.state)
        self.job_bar = JobBar(self.state, self.runs.cancel)
        self.slides = SlidesTab(self.worklist)
        self.analyse = AnalyseTab(self.state, self.canvas, self.runs, self.open_slide)
        self.tissue = Section(
            "Tissue and quality",
            "What is tissue, and what of it is left out: pen, blur, air bubbles, folds.",
            TissueSection,
            self.desk,
        )
        self.analyse.layout().addWidget(self.tissue)
        self.settings = Section(
            "Settings",
            "Device, memory, threads, the workspace; and what works on this computer.",
            SettingsSection,
            self.desk,
        )
        self.analyse.layout().addWidget(self.settings)
        self.review = ReviewTab(self.desk)
        self.trainings = Trainings(self.desk)
        self.train = TrainTab(self.trainings, self.worklist)
        self.tabs = QTabWidget()
        self._add_tab(self.slides, "Slides", "The list of slides: open, label, queue.")
        self._add_tab(self.analyse, "Analyse", "Open a slide, choose a model, run it.")
        self._add_tab(self.review, "Review", "What the model saw on this slide.")
        self._add_tab(self.train, "Train", "Train or fine-tune a model, and watch it.")
        column = QVBoxLayout(self)
        column.setContentsMargins(2, 2, 2, 2)
        column.setSpacing(3)
        for widget in (self.header, self.message):
            column.addWidget(widget)
        column.addWidget(self.tabs, 1)
        column.addWidget(self.job_bar)
        self.setMinimumWidth(320)
        self.setAcceptDrops(True)
        self._connect(viewer)
        self._begin()

    def sizeHint(self) -> Any:
        """Give the width at which no line of a tab is cut."""
        hint = super().sizeHint()
        hint.setWidth(_WIDTH)
        return hint

    def showEvent(self, event: Any) -> None:
        """Watch the window the dock is in, which is another one when it floats."""
        self.window().installEventFilter(self._alt_h)
        super().showEvent(event)

    def dragEnterEvent(self, event: Any) -> None:
        """Take slides, folders, tables and models that are dragged over the dock."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: Any) -> None:
        """Open what was dropped."""
        paths = [url.toLocalFile() for url in event.mimeData().urls()]
        if any(paths):
            event.acceptProposedAction()
            self.worklist.open([path for path in paths if path])

    @property
    def tab(self) -> str:
        """Give the name of the tab in front."""
        return str(self.tabs.tabText(self.tabs.currentIndex()))

    def turn_to(self, name: str) -> None:
        """Bring a tab to the front, by its name."""
        names = [self.tabs.tabText(n) for n in range(self.tabs.count())]
        self.tabs.setCurrentIndex(names.index(name))

    def changeEvent(self, event: Any) -> None:
        """Go for good when napari takes the dock out: it only forgets it."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.deleteLater()

    def open_slide(self, path: str) -> None:
        """Open a slide in place of the one on screen; an error is shown in the dock.

        Parameters
        ----------
        path : str
            The slide's file.
        """
        try:
            self.worklist.open_file(path)
        except MhimError as err:
            self.state.tell(err)

    def show_layers(self, layers: list[LayerTuple]) -> None:
        """Show a slide with its result, in place of what is on screen, at the Review tab.

        Parameters
        ----------
        layers : list of LayerTuple
            Bottom to top, as ``show.layers`` gives them.
        """
        self.make_room()
        self.canvas.put(layers)
        self.canvas.finish()

    def make_room(self) -> None:
        """Take the slide on screen away."""
        self.canvas.make_room()
        self.canvas.finish()

    def _add_tab(self, tab: QWidget, name: str, tip: str) -> None:
        area = QScrollArea()
        area.setWidget(tab)
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        # texts wrap to the dock's width: sideways scrolling would hide their ends
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.tabs.addTab(area, name)
        self.tabs.setTabToolTip(self.tabs.count() - 1, tip)

    def _connect(self, viewer: Any) -> None:
        self.runs.finished.connect(self._show_result)
        self.runs.noted.connect(self.message.note)
        for part in (self.worklist, self.slides.labelling, self.slides.moved):
            part.noted.connect(self.message.note)
        self.state.events.result.connect(self._on_result)
        self.state.events.slide.connect(self._recall_mpp, max_args=0)
        bound = keys.bind(
            viewer, self.canvas, self.review.next.click, self.review.previous.click
        )
        bound += keys.bind_list(
            viewer,
            self,
            self.worklist,
            self.slides.labelling,
            {
                **keys.looking(self.canvas),
                "Alt-J": (
                    "Settle the label readers differ on.",
                    self.slides.card.adjudicate.ask,
                ),
                "Alt-D": ("What if: draw an area.", partial(self._what_if, "lasso")),
                "Alt-B": ("What if: paint an area.", partial(self._what_if, "stroke")),
                "Alt-Z": ("What if: undo.", partial(self._what_if, "undo")),
                "Alt-X": ("What if: exclude.", partial(self._what_if, "leave_out")),
            },
        )
        self._alt_h = keys.HelpKeepsOff(self)
        # the slot must not belong to the dock: it runs when the dock is half gone
        self.destroyed.connect(
            partial(
                _clean_up,
                viewer,
                self.desk,
                (self.slides, self.review, self.tissue, self.settings, self.train),
                bound,
            )
        )

    def _what_if(self, name: str) -> None:
        """Press a button of the section, which opens for it."""
        if self.state.result is not None:
            view = self.review.sections["What if"].open()
            getattr(view, name).click()  # nothing, where it is not enabled

    def _begin(self) -> None:
        warming.warm()
        soon = QTimer(self)
        soon.setSingleShot(True)
        soon.timeout.connect(self._ask_device)
        soon.start(_PAINTED_MS)
        self._recall_mpp()
        self._on_result(self.state.result)
        last = self.runs.memory.bundle
        if self.state.bundle is None and last and Path(last).is_dir():
            self.runs.choose_bundle(last)

    def _ask_device(self) -> None:
        # the user may have asked for another one by now
        if not (self.state.device or self.state.problem):
            self.runs.ask_device(self.runs.wanted_device)

    def _show_result(self, result: SlideResult) -> None:
        if not self.worklist.keeps_back(result):
            self.canvas.show_result(result)

    def _on_result(self, result: SlideResult | None) -> None:
        self._turn_to(result is not None)
        if result is None:
            return
        noted = [what(layer) for layer in self.canvas.layers().values()]
        folder = next((n["bundle_path"] for n in noted if n.get("bundle_path")), "")
        if folder and Path(folder).is_dir():
            self.runs.choose_bundle(folder)

    def _turn_to(self, has_result: bool) -> None:
        """Show the tab that belongs to what is on screen, unless the reader goes on."""
        if self.worklist.is_stepping or self.tab == "Train":
            return
        if has_result:
            self.turn_to("Review")
        elif self.tab == "Review":
            self.turn_to("Analyse")

    def _recall_mpp(self) -> None:
        slide = self.state.slide
        known = self.runs.known_mpp()
        if slide is not None and slide.mpp is None and known is not None:
            self.canvas.set_mpp(known)


def _clean_up(
    viewer: Any,
    desk: Desk,
    tabs: tuple[SlidesTab, ReviewTab, Section, Section, TrainTab],
    bound: list[str],
) -> None:
    keys.unbind(viewer, bound)
    desk.runs.stop_all()
    desk.talk.release()
    for tab in tabs:
        tab.release()
    desk.canvas.release()
