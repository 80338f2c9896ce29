"""A slide's pixels as the window draws them: at once, coarse where need be, then sharp.

napari asks a layer's levels for what is in view on the window's own thread. Ours answer
from the tiles in memory, put coarser ones in place of those that are missing, have threads
read these, and draw again when they come; then what may be looked at next is read ahead.
No Qt until there is a window: without one, levels are read as they are asked for.
"""

import weakref
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

import numpy as np

from napari_mhim.slide import Slide
from napari_mhim.slide.loading import Place, TileLoader
from napari_mhim.slide.source import Pixels
from napari_mhim.slide.standin import NOT_YET, Box, paint, places_in, scaled

GRACE_SECONDS = 0.06
"""So long the window waits for tiles that are likely to come in time: they never flicker."""
_REFRESH_MS = 80
_SLOW_TILE_SECONDS = 0.03  # from here on a coarser level is read before the one in view
_COARSER = 4  # how much coarser
_AHEAD_SHARE = 4  # what is read ahead takes at most this part of the cache
UNREADABLE = (
    "The slide on screen cannot be read any more: its file is gone, or the disk or network "
    "it lies on does not answer. What had not been read is shown coarse; it is tried again "
    "when you move the view."
)
"""No name in it: it may be the patient's."""


Value = TypeVar("Value")


class DrawnLevel:
    """One level of a slide as napari draws it.

    Parameters
    ----------
    view : SlideView
        What draws.
    level : int
        Which of the slide's levels.
    """

    def __init__(self, view: "SlideView", level: int) -> None:
        self.view, self._level = view, level
        self.exact = view.slide.levels[level]
        """The same as a dask array, which gives the slide's own pixels and nothing else."""
        self.shape: tuple[int, int, int] = self.exact.shape
        self.dtype = np.dtype(np.uint8)
        self.ndim = 3
        self.size = int(np.prod(self.shape, dtype=np.int64))

    def __getitem__(self, index: Any) -> Any:
        """Give pixels to draw where napari draws, and the dask array's part otherwise."""
        box = self._drawn_box(index)
        return self.exact[index] if box is None else self.view.draw(self._level, box)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Pixels:
        """Give all pixels; of the coarsest level those that are there, the rest in time."""
        is_last = self._level == len(self.view.slide.levels) - 1
        pixels = self.view.coarsest if is_last else np.asarray(self.exact)
        return np.array(pixels, dtype, copy=copy)

    def __deepcopy__(self, memo: dict[int, Any]) -> "DrawnLevel":
        """Give itself: a duplicated layer shows the same open slide."""
        return self

    def _drawn_box(self, index: Any) -> Box | None:
        """Tell napari's drawing from all else, which must get the slide's own pixels.

        napari 0.9 names the step for the axes it draws, and takes the colours whole.
        """
        if not (isinstance(index, tuple) and len(index) == 3):
            return None
        rows, cols, bands = index
        if bands != slice(None) or any(
            not isinstance(axis, slice) or axis.step != 1 for axis in (rows, cols)
        ):
            return None
        (y, bottom, _), (x, right, _) = (
            axis.indices(n) for axis, n in zip((rows, cols), self.shape, strict=False)
        )
        return y, x, max(bottom - y, 0), max(right - x, 0)


class SlideView:
    """Draws a slide's levels, and draws the layers again when tiles have come.

    Parameters
    ----------
    slide : Slide
        An open slide; when it is closed, nothing is read any more.
    """

    def __init__(self, slide: Slide) -> None:
        from napari_mhim.plugin.refreshing import Refresher

        self.slide = slide
        self._layers: weakref.WeakSet[Any] = weakref.WeakSet()
        self._is_told = False
        self._last: tuple[int, Box] | None = None
        self._refresher = Refresher(self._refresh, _REFRESH_MS)
        self.loader = TileLoader(slide, self._refresher.ring)
        last = len(slide.levels) - 1
        self.coarsest: Pixels = np.full(slide.levels[last].shape, NOT_YET, np.uint8)
        height, width = self.coarsest.shape[:2]
        source = slide.level_sources[last]
        self._to_come = dict.fromkeys(places_in(source, last, (0, 0, height, width)))
        # it comes while napari makes the layer and its controls
        self.loader.want(self._to_come)
        self._is_whole = self._is_coarsest_new = False
        self.levels = [DrawnLevel(self, index) for index in range(last + 1)]

    @property
    def is_sharp(self) -> bool:
        """Tell whether all that was asked for is there, and drawn."""
        return self.slide.is_closed or (
            self.loader.is_complete and not self._refresher.is_due
        )

    def follow(self, layer: Any) -> None:
        """Draw a layer again whenever tiles of it have come; the coarsest mostly has."""
        self._layers.add(layer)
        self.loader.wait(GRACE_SECONDS)
        self._refresher.ring()

    def draw(self, level: int, box: Box) -> Pixels:
        """Give part of a level as far as it is there, and have the rest read.

        Parameters
        ----------
        level : int
            Which.
        box : Box
            Within the level, in its pixels.

        Returns
        -------
        ndarray, shape (height, width, 3), uint8
            RGB; coarse or grey where tiles are still to come.
        """
        sources = self.slide.level_sources
        view = places_in(sources[level], level, box)
        self._take_coarsest()
        self.loader.want(
            [*self._to_come, *self._coarser_first(level, box, view), *view],
            self._may_be_next(level, box),
        )
        self._last = level, box
        likely = self.loader.seconds_left <= GRACE_SECONDS
        # asked before painting: a tile that comes meanwhile is worth another painting
        self._is_whole = self.loader.wait(GRACE_SECONDS if likely else 0.0)
        return paint(sources, level, box, self._tile)

    def _tile(self, place: Place) -> Pixels | None:
        found = self.loader.tile(place)
        level, row, col = place
        if found is not None or level < len(self.levels) - 1 or place in self._to_come:
            return found
        tall, wide = self.slide.level_sources[level].tile
        return self.coarsest[row * tall : (row + 1) * tall, col * wide :][:, :wide]

    def _take_coarsest(self) -> None:
        """Put what has come of the coarsest level in its place."""
        come = {p: t for p in self._to_come if (t := self.loader.tile(p)) is not None}
        for place, pixels in come.items():
            del self._to_come[place]
            level, row, col = place
            tall, wide = self.slide.level_sources[level].tile
            self.coarsest[row * tall : (row + 1) * tall, col * wide :][:, :wide] = (
                pixels
            )
        self._is_coarsest_new |= bool(come)

    def _coarser_first(
        self, level: int, box: Box, view: Iterable[Place]
    ) -> Iterable[Place]:
        """Give a few tiles that show all of the view soon, where reading takes long."""
        sources = self.slide.level_sources
        if self.loader.tile_seconds < _SLOW_TILE_SECONDS or all(
            self.loader.tile(place) is not None for place in view
        ):
            return []
        fine = sources[level]
        for index in range(level + 1, len(sources)):
            coarse = sources[index]
            is_far = coarse.downsample[0] >= _COARSER * fine.downsample[0]
            if is_far and coarse in self.slide.sources:
                return places_in(coarse, index, scaled(box, fine, coarse))
        return []

    def _may_be_next(self, level: int, box: Box) -> list[Place]:
        """Give the tiles round the view, then those one level out and in; not too many."""
        sources = self.slide.level_sources
        bytes_left = self.slide.cache_bytes // _AHEAD_SHARE
        height, width = sources[level].tile
        most = bytes_left // (height * width * 3)
        return list(islice(self._round_about(level, box), most))

    def _round_about(self, level: int, box: Box) -> Iterator[Place]:
        sources = self.slide.level_sources
        y, x, height, width = box
        on_y, on_x = self._moved(level, box)
        # half a view more on each side, and further on where the view is moving to
        ring = (
            y - height // 2 + min(on_y, 0),
            x - width // 2 + min(on_x, 0),
            2 * height + abs(on_y),
            2 * width + abs(on_x),
        )
        yield from places_in(sources[level], level, ring)
        if level + 1 < len(sources):
            out = scaled(ring, sources[level], sources[level + 1])
            yield from places_in(sources[level + 1], level + 1, out)
        # a finer level that is halved itself would cost many reads a tile
        if level and sources[level - 1] in self.slide.sources:
            middle = (y + height // 4, x + width // 4, height // 2, width // 2)
            inner = scaled(middle, sources[level], sources[level - 1])
            yield from places_in(sources[level - 1], level - 1, inner)

    def _moved(self, level: int, box: Box) -> tuple[int, int]:
        """Give by how much the view has moved since last, (y, x), at most half of itself."""
        if self._last is None or self._last[0] != level:
            return 0, 0
        by_y, by_x = (box[axis] - self._last[1][axis] for axis in (0, 1))
        half_y, half_x = box[2] // 2, box[3] // 2
        return max(-half_y, min(by_y, half_y)), max(-half_x, min(by_x, half_x))

    def _refresh(self) -> None:
        if self.slide.is_closed:
            return
        self._take_coarsest()
        is_new, self._is_coarsest_new = self._is_coarsest_new, False
        if is_new or not self._is_whole:
            self._is_whole = self.loader.is_complete
            for layer in list(self._layers):
                layer.refresh(thumbnail=is_new, highlight=False, extent=False)
        self._tell(self.loader.take_error() is not None)

    def _tell(self, is_failing: bool) -> None:
        """Say once that the file cannot be read, and again only after it could be."""
        if is_failing and not self._is_told:
            from napari.utils.notifications import show_error

            show_error(UNREADABLE)
        self._is_told = is_failing


def in_background(work: Callable[[], Value]) -> Value:
    """Do something that reads, while the window goes on; at once where there is none.

    Parameters
    ----------
    work : callable
        What is done; it touches no widget, layer or viewer.

    Returns
    -------
    object
        What it gave; what it raised is raised.
    """
    try:
        from napari_mhim.plugin.refreshing import aside
    except ImportError:  # napari without a Qt to draw with
        return work()
    return aside(work)


def drawn_levels(slide: Slide) -> list[Any]:
    """Give a slide's levels for a layer of napari.

    Parameters
    ----------
    slide : Slide
        An open slide.

    Returns
    -------
    list
        (y, x, 3) uint8, the finest first: of :class:`DrawnLevel` where there is a window
        to draw later what comes later, else dask arrays.
    """
    try:
        from napari_mhim.plugin.refreshing import has_window
    except ImportError:  # napari without a Qt to draw with
        return list(slide.levels)
    return list(SlideView(slide).levels if has_window() else slide.levels)


def views(layers: Iterable[Any]) -> Iterator[SlideView]:
    """Give what draws the slides among some layers."""
    for layer in layers:
        data = layer.data if getattr(layer, "multiscale", False) else ()
        yield from {level.view for level in data if isinstance(level, DrawnLevel)}


def follow(layer: Any) -> None:
    """Have a layer drawn again when tiles come, where it shows a slide of ours."""
    for view in views([layer]):
        view.follow(layer)


def wait_until_sharp(viewer: Any, seconds: float = 20.0) -> bool:
    """Let the window work until all slides on screen are sharp: for pictures of it.

    Parameters
    ----------
    viewer : napari.Viewer
        A viewer with a window.
    seconds : float
        At most so long.

    Returns
    -------
    bool
        Whether they are.
    """
    from napari_mhim.plugin.refreshing import wait_until

    return wait_until(
        lambda: all(view.is_sharp for view in views(viewer.layers)), seconds
    )
