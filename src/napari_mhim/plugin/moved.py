"""Slides that are not where the list says: looked for in a child process, by content."""

from dataclasses import replace
from functools import partial

from psygnal import Signal

from napari_mhim.errors import MhimError
from napari_mhim.plugin import jobs, slides_words
from napari_mhim.plugin.jobs import Job
from napari_mhim.plugin.worklist import Worklist
from napari_mhim.plugin.worklist_files import Moved, find_moved


class MovedSlides:
    """Finds slides again.

    Parameters
    ----------
    worklist : Worklist
        The list at work.
    """

    noted = Signal(str)
    """Emitted with each sentence to be read that is no error."""

    def __init__(self, worklist: Worklist) -> None:
        self._worklist, self._list = worklist, worklist.list
        self._search: Job | None = None

    def release(self) -> None:
        """Stop looking."""
        if self._search is not None:
            self._search.cancel()

    def find(self, folder: str) -> None:
        """Look in a folder and all below it for the slides that are gone.

        Parameters
        ----------
        folder : str
            Where to look.
        """
        slides, index = self._list, self._worklist.index
        gone = [row for row in slides.problems if slides.state(row) == "no file"]
        names = [slides.rows[row].slide for row in gone]
        wanted = {name: index.fingerprint(name) for name in names}
        found: list[Moved] = []
        self.release()
        try:
            self._search = jobs.start(
                find_moved,
                wanted,
                folder,
                on_event=found.append,
                on_error=self._worklist.desk.state.tell,
                on_done=lambda: self._take(found, len(wanted)),
            )
        except MhimError as err:
            self._worklist.desk.state.tell(err)

    def _take(self, found: list[Moved], n_wanted: int) -> None:
        slides, index = self._list, self._worklist.index
        rows = list(slides.rows)
        for moved in found:
            # another list may have been opened meanwhile
            row = slides.row_of.get(moved.slide, -1)
            if row < 0 or slides.state(row) != "no file":
                continue
            rows[row] = replace(rows[row], path=moved.path)
            slides.problems.pop(row, None)
            self._worklist.keep(
                partial(index.note, moved.slide, moved.path, moved.fingerprint)
            )
        slides.rows = tuple(rows)
        slides.touch(range(len(slides)))
        self.noted.emit(slides_words.moved(found, n_wanted))
