"""Watches how closely the slide on screen is looked at, and keeps it for slide and reader.

No Qt. A slide counts that is of the list and has a scale. Its tissue is found on a thread;
the camera only says that it has moved, and what is in view is noted a little later.
"""

from dataclasses import dataclass
from pathlib import Path

from psygnal import Signal

from napari_mhim.errors import MhimError
from napari_mhim.plugin.background import Background
from napari_mhim.plugin.overlays import SLIDE
from napari_mhim.plugin.overview import in_view
from napari_mhim.plugin.state.labels import VIEWED, LabelLog, Said
from napari_mhim.plugin.state.viewed import ViewedArea
from napari_mhim.plugin.worklist import Worklist
from napari_mhim.slide import open_slide
from napari_mhim.slide.tissue import TissueConfig, TissueMask, tissue_mask
from napari_mhim.workspace import Workspace

# blur is read off a fine level of the whole slide, each time one is opened; a blurred
# place is tissue to be looked at
_RASTER = TissueConfig(max_px=512, leave_out_blur=False)
_GROWN = 0.005  # less than that is no line in the history


@dataclass(frozen=True)
class _Watched:
    """Whose eyes are on what."""

    slide: str
    slide_path: str
    fingerprint: str
    reader: str
    model_id: str
    log: LabelLog
    path: Path


class Seen:
    """Notes what is in view at 10× or more.

    Parameters
    ----------
    worklist : Worklist
        The list at work.
    """

    stirred = Signal()
    """Emitted when the view has moved, once until :meth:`look` is called."""

    def __init__(self, worklist: Worklist) -> None:
        self._worklist, self._list = worklist, worklist.list
        self._desk = worklist.desk
        self._tissue: Background[str, TissueMask | None] = Background(
            _tissue_of, "mhim-tissue"
        )
        self._watched: _Watched | None = None
        self._mask: TissueMask | None = None
        self._area: ViewedArea | None = None
        self._is_stirred = self._is_fresh = False
        camera = self._desk.canvas.viewer.scene.camera
        for signal in (camera.events.center, camera.events.zoom):
            signal.connect(self._moved)
        for signal in (self._list.events.current, self._list.events.reader):
            signal.connect(self._begin, max_args=0)
        self._begin()

    def release(self) -> None:
        """Keep what was seen, and stop watching."""
        self._end()
        camera = self._desk.canvas.viewer.scene.camera
        for signal in (camera.events.center, camera.events.zoom):
            signal.disconnect(self._moved)
        for signal in (self._list.events.current, self._list.events.reader):
            signal.disconnect(self._begin)
        self._tissue.close()

    @property
    def is_waiting(self) -> bool:
        """Tell whether the slide's tissue is still to be found."""
        return self._watched is not None and self._tissue.is_busy

    def look(self) -> None:
        """Note what is in view now; to be called a little after the view has moved."""
        self._is_stirred = False
        found = self._tissue.take_fresh()
        watched = self._watched
        if watched is None:
            return
        self._mask = found.get(watched.slide_path, self._mask)
        layer = self._desk.canvas.layers().get(SLIDE)
        # without a scale nobody knows what 10x is; it may still be given
        if self._mask is None or layer is None or self._desk.state.mpp is None:
            return
        if self._area is None:
            self._area = self._known(watched, self._mask)
            self._tell()
        viewer = self._desk.canvas.viewer
        um_per_px = 1 / viewer.scene.camera.zoom
        if self._area.look(in_view(viewer, layer), um_per_px):
            self._is_fresh = True
            self._tell()

    def keep(self) -> None:
        """Write down what was seen, where that is more than before."""
        watched, area = self._watched, self._area
        if watched is None or area is None or not self._is_fresh:
            return
        self._is_fresh = False
        self._worklist.keep(lambda: area.save(watched.path, watched.fingerprint))

    def _known(self, watched: _Watched, tissue: TissueMask) -> ViewedArea:
        try:
            return ViewedArea.load(watched.path, watched.fingerprint, tissue)
        except MhimError as err:
            self._worklist.noted.emit(self._desk.state.without_names(f"{err}."))
            return ViewedArea(tissue)

    def _begin(self) -> None:
        self._end()
        slides, row = self._list, self._list.current
        slide = self._desk.state.slide
        # a slide that could not be opened is the list's current one, but not on screen
        if row < 0 or slide is None or slides.rows[row].path != slide.path:
            return
        if slide.scene:
            return  # what is kept for the list's slide is of its first scene
        place = Workspace(self._desk.runs.workspace)
        name = slides.rows[row].slide
        self._watched = _Watched(
            slide=name,
            slide_path=slide.path,
            fingerprint=slide.fingerprint,
            reader=slides.reader,
            model_id=slides.model_id,
            log=slides.log,
            path=place.viewed_path(name, slides.reader),
        )
        self._tissue.want([slide.path])
        self._moved()

    def _end(self) -> None:
        """Let go of a slide: what was seen goes to its history."""
        self.keep()
        watched, area = self._watched, self._area
        self._watched = self._mask = self._area = None
        self._list.live_seen = float("nan")
        if watched is None or area is None or area.share != area.share:
            return
        before = watched.log.viewed(watched.slide, watched.reader)
        if before == before and area.share < before + _GROWN:
            return
        said = Said(
            watched.slide,
            watched.reader,
            VIEWED,
            f"{area.share:.3f}",
            watched.log.has_seen(watched.slide, watched.reader),
            watched.model_id,
        )
        self._worklist.keep(lambda: watched.log.add(said))

    def _tell(self) -> None:
        # no touch of the list: agreement, which takes longer, does not hang on this
        assert self._area is not None
        self._list.live_seen = self._area.share

    def _moved(self, event: object = None) -> None:
        if self._watched is not None and not self._is_stirred:
            self._is_stirred = True
            self.stirred.emit()


def _tissue_of(path: str) -> TissueMask | None:
    try:
        with open_slide(path) as slide:
            return tissue_mask(slide, _RASTER)
    except MhimError:  # told where the slide itself is opened
        return None
