"""The section Patches: the gallery with its choices, and the inspector below it."""

from functools import partial
from typing import Any

from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QSizePolicy,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_mhim.plugin import patch_words
from napari_mhim.plugin.desk import Desk
from napari_mhim.plugin.picking import Picking
from napari_mhim.plugin.state.gallery import (
    HIDDEN_OR_NOT,
    KINDS,
    SORTS,
    GalleryState,
)
from napari_mhim.plugin.thumbnails import Thumbnails
from napari_mhim.plugin.widgets.inspector import Inspector
from napari_mhim.plugin.widgets.text import label
from napari_mhim.plugin.widgets.wall import Wall

_PICTURE_PX = 100
_HEIGHT = 300
_ANY = -0.25  # one step below "not against the class"
_KEYS = {"Alt-Right": 1, "Alt-Left": -1}


class Patches(QWidget):  # type: ignore[misc]
    """The gallery and the inspector of the slide on screen.

    Parameters
    ----------
    desk : Desk
        What the dock works with.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self.state = GalleryState()
        self.picking = Picking(desk.canvas, self.state)
        self._keys: list[str] = []
        self._take()
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(label(patch_words.PATCHES, small=True))
        self.gallery = Gallery(desk, self.state, self.picking)
        self.gallery.wall.setFixedHeight(_HEIGHT)
        column.addWidget(self.gallery)
        self.inspector = Inspector(self.state)
        column.addWidget(self.inspector)
        for event in self._events():
            event.connect(self._take, max_args=0)
        desk.state.events.ring.connect(self._take_ring, max_args=0)
        self._take_ring()

    def release(self) -> None:
        """Stop listening to state and viewer, and take the outline away."""
        for event in self._events():
            event.disconnect(self._take)
        self._desk.state.events.ring.disconnect(self._take_ring)
        self._unbind()
        self.picking.release()
        self.gallery.release()
        self.inspector.release()

    def step(self, by: int) -> None:
        """Fly to the next (1) or previous (-1) patch of the gallery."""
        self.state.step(by)
        self.picking.fly()

    def showEvent(self, event: Any) -> None:
        """Follow the mouse over the slide."""
        if not event.spontaneous() and not self._keys:
            self.picking.open()
            self._bind()
        super().showEvent(event)

    def hideEvent(self, event: Any) -> None:
        """Let the mouse go, and take the outline away."""
        if not event.spontaneous() and self._keys:
            self.picking.close()
            self._unbind()
        super().hideEvent(event)

    def _events(self) -> tuple[Any, ...]:
        events = self._desk.state.events
        names = ("result", "baseline", "compared", "shows_baseline")
        return tuple(getattr(events, name) for name in names)

    def _take(self) -> None:
        self.state.take(self._desk.state.shown)

    def _take_ring(self) -> None:
        figures, ring = self.state.figures, self._desk.state.ring
        if figures is not None and 0 <= ring < len(figures.rings):
            self.state.current = int(figures.rings[ring])

    def _bind(self) -> None:
        def next_patch(viewer: Any) -> None:
            """Fly to the next patch of the gallery."""
            self.step(1)

        def previous_patch(viewer: Any) -> None:
            """Fly to the patch of the gallery before."""
            self.step(-1)

        for key, act in zip(_KEYS, (next_patch, previous_patch), strict=True):
            self._desk.canvas.viewer.bind_key(key, act, overwrite=True)
            self._keys.append(key)

    def _unbind(self) -> None:
        for key in self._keys:
            self._desk.canvas.viewer.bind_key(key, None)
        self._keys = []


class Gallery(QWidget):  # type: ignore[misc]
    """What is shown and how, the wall of thumbnails, and how many they are.

    Parameters
    ----------
    desk : Desk
        What the dock works with.
    state : GalleryState
        What is shown; several galleries may share one.
    picking : Picking
        Flies to patches.
    """

    def __init__(self, desk: Desk, state: GalleryState, picking: Picking) -> None:
        super().__init__()
        self._desk, self._state, self._picking = desk, state, picking
        self._thumbnails = Thumbnails(round(_PICTURE_PX * self.devicePixelRatioF()))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        column.addLayout(self._choices())
        self.wall = Wall(state, self._thumbnails)
        self.wall.setToolTip("")
        column.addWidget(self.wall, 1)
        self.count = label(small=True)
        column.addWidget(self.count)
        self.wall.flown.connect(picking.fly)
        self.wall.stepped.connect(picking.bring_into_view)
        state.events.version.connect(self._tell, max_args=0)
        state.events.current.connect(self._tell, max_args=0)
        state.events.figures.connect(self._show_slide, max_args=0)
        self._show_slide()
        self._tell()

    def release(self) -> None:
        """Stop listening to the state, and close the pictures' file."""
        self._state.events.version.disconnect(self._tell)
        self._state.events.current.disconnect(self._tell)
        self._state.events.figures.disconnect(self._show_slide)
        self.wall.release()
        self._thumbnails.close()

    def _choices(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setSpacing(4)
        self.kind = _combo(KINDS, "Which patches of the slide are shown.")
        self.kind.currentIndexChanged.connect(self._choose)
        self.seed = QSpinBox()
        self.seed.setPrefix("seed ")
        self.seed.setToolTip("Another number draws other patches; the same, the same.")
        self.seed.valueChanged.connect(lambda seed: self._state.arrange(seed=seed))
        self.sort = _combo(SORTS, "What the patches are sorted by.")
        self.sort.currentIndexChanged.connect(self._sort)
        self.way = QToolButton()
        self.way.setCheckable(True)
        self.way.setToolTip("The other way round.")
        self.way.toggled.connect(lambda on: self._state.arrange(is_reversed=on))
        self.least = _least()
        self.least.valueChanged.connect(self._filter)
        self.hidden = _combo(HIDDEN_OR_NOT, "What would be hidden in training, or not.")
        self.hidden.currentIndexChanged.connect(self._filter)
        order = QHBoxLayout()
        order.addWidget(self.sort, 1)
        order.addWidget(self.way)
        grid.addWidget(self.kind, 0, 0)
        grid.addLayout(order, 0, 1)
        grid.addWidget(self.hidden, 1, 0)
        grid.addWidget(self.least, 1, 1)
        grid.addWidget(self.seed, 2, 0)
        # what they could say at most must not widen the dock
        for one in (self.kind, self.sort, self.hidden, self.least, self.seed):
            one.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        for one in (0, 1):
            grid.setColumnStretch(one, 1)
        return grid

    def _choose(self) -> None:
        self._state.choose(self.kind.currentData())

    def _sort(self) -> None:
        self._state.arrange(sort=self.sort.currentData(), is_reversed=False)

    def _filter(self) -> None:
        least = self.least.value()
        self._state.arrange(
            hidden=self.hidden.currentData(),
            least_evidence=None if least == _ANY else least,
        )

    def _show_slide(self) -> None:
        figures, slide = self._state.figures, self._desk.state.slide
        if figures is None or slide is None:
            self._thumbnails.show(None, None)
        else:
            self._thumbnails.show(slide.path, figures.result.grid)

    def _tell(self) -> None:
        """Show what the state says, also where another gallery changed it."""
        state = self._state
        for combo, value in (
            (self.kind, state.kind),
            (self.sort, state.sort),
            (self.hidden, state.hidden),
        ):
            _quietly(combo, partial(combo.setCurrentIndex, combo.findData(value)))
        least = _ANY if state.least_evidence is None else state.least_evidence
        _quietly(self.least, partial(self.least.setValue, least))
        _quietly(self.seed, partial(self.seed.setValue, state.seed))
        _quietly(self.way, partial(self.way.setChecked, state.is_reversed))
        self.way.setText("▲" if state.is_reversed else "▼")
        self.seed.setVisible(state.kind == "random")
        self.count.setText(patch_words.count(state))


def _combo(choices: dict[str, str], tip: str) -> QComboBox:
    made = QComboBox()
    for name, called in choices.items():
        made.addItem(called, name)
    made.setToolTip(tip)
    return made


def _least() -> QDoubleSpinBox:
    made = QDoubleSpinBox()
    made.setRange(_ANY, 999.0)
    made.setSpecialValueText("any evidence")
    made.setPrefix("evidence ≥ ")
    made.setSingleStep(-_ANY)
    made.setValue(_ANY)
    made.setToolTip("Show only patches with at least this evidence for the class.")
    return made


def _quietly(widget: QWidget, act: Any) -> None:
    widget.blockSignals(True)
    act()
    widget.blockSignals(False)
