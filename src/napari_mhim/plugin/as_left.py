"""The desk as it was left: list, slide, view, overlays; kept in the user's workspace."""

from napari_mhim.errors import MhimError
from napari_mhim.plugin.habits import View
from napari_mhim.plugin.state.memory import Left
from napari_mhim.plugin.worklist import Worklist


class AsLeft:
    """Remembers the desk, and opens it again.

    Parameters
    ----------
    worklist : Worklist
        The list at work.
    """

    def __init__(self, worklist: Worklist) -> None:
        self._worklist = worklist
        self._runs = worklist.desk.runs

    @property
    def last(self) -> Left:
        """Give the desk as it was left last."""
        return self._runs.memory.left

    def now(self) -> Left:
        """Give the desk as it is."""
        work = self._worklist
        slide, view = work.desk.state.slide, work.habits.view()
        where = {} if view is None else vars(view)
        return Left(
            source=work.list.source,
            slide="" if slide is None else slide.path,
            looks=work.habits.looks(),
            reader=work.list.reader,
            reads_first=work.list.reads_first,
            hides_names=work.list.hides_names,
            **where,
        )

    def keep(self) -> None:
        """Remember the desk as it is, where there is anything on it, and it is new."""
        now = self.now()
        if (now.source or now.slide) and now != self.last:
            self._runs.memory.left = now
            self._runs.keep()

    def open(self) -> None:
        """Open list and slide as they were left, and look at the same place."""
        left, work = self.last, self._worklist
        slides = work.list
        slides.reader, slides.reads_first = left.reader, left.reads_first
        slides.hides_names = left.hides_names
        if left.source and not work.open([left.source]):
            return
        if not left.slide:
            return
        try:
            work.open_file(left.slide)
        except MhimError as err:
            work.desk.state.tell(err)
            return
        if left.zoom:
            view = View(left.centre, left.zoom, left.units, left.is_whole)
            work.habits.restore(view, left.looks)
