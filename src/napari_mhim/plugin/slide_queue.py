"""Many slides, one after another, in one job; the list says of each how far it is."""

from collections.abc import Sequence
from pathlib import Path

from napari_mhim.errors import MhimError
from napari_mhim.mil.result_summary import ResultSummary, read_summary
from napari_mhim.plugin.desk import Desk


class SlideQueue:
    """Runs the model on slides of the list.

    Parameters
    ----------
    desk : Desk
        What the dock works with.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk, self._list = desk, desk.slides
        runs = desk.runs
        runs.slide_begun.connect(self._on_begun)
        runs.slide_done.connect(self._on_done)
        runs.slide_failed.connect(self._on_failed)
        runs.ended.connect(self._on_ended)

    def analyse(self, rows: Sequence[int]) -> None:
        """Run the model on slides; files that are gone are left out.

        Parameters
        ----------
        rows : sequence of int
            Of the list, in the order to run them.
        """
        slides = self._list
        if self.why_not(rows) is not None:
            return
        there = [row for row in rows if slides.state(row) != "no file"]
        slides.queued = dict.fromkeys(there, "waiting")
        slides.touch(there)
        self._desk.runs.predict_many([slides.rows[row].path for row in there])

    def why_not(self, rows: Sequence[int]) -> str | None:
        """Say why the model cannot run on these slides now.

        Parameters
        ----------
        rows : sequence of int
            Of the list.

        Returns
        -------
        str or None
            One sentence with the way out; None when it can run.
        """
        state = self._desk.state
        if not len(self._list):
            return "Open a folder or a table first."
        if state.job.is_busy:
            return "A job is running: wait for it, or cancel it below."
        if state.bundle is None:
            return "Choose a model in Analyse first."
        if not rows:
            return "Select slides in the list."
        if all(self._list.state(row) == "no file" for row in rows):
            return "The files of these slides are not there: find moved slides first."
        return None

    def _on_begun(self, path: str) -> None:
        self._mark(path, "running")

    def _on_done(self, path: str, result_path: str) -> None:
        row = self._mark(path, "")
        if row >= 0:
            self._list.problems.pop(row, None)
            self._list.has_features[row] = True
            self._list.take_summary(row, summary_or_reason(result_path))
            self._list.touch([row])

    def _on_failed(self, path: str, reason: str) -> None:
        row = self._mark(path, "")
        if row >= 0:
            self._list.problems[row] = reason
            self._list.touch([row])

    def _on_ended(self) -> None:
        rows, self._list.queued = tuple(self._list.queued), {}
        self._list.touch(rows)

    def row_at(self, path: str) -> int:
        """Give the row of a slide's file, -1 where it is none of the list."""
        place = Path(path)
        for name in (place.stem, place.name):
            row = self._list.row_of.get(name, -1)
            if row >= 0 and self._list.rows[row].path == path:
                return row
        return -1

    def _mark(self, path: str, how: str) -> int:
        row = self.row_at(path)
        if row < 0:
            return -1
        if how:
            self._list.queued[row] = how
        else:
            self._list.queued.pop(row, None)
        self._list.touch([row])
        return row


def summary_or_reason(path: str) -> ResultSummary | str:
    """Read a result's figures, or say in one sentence why they cannot be read."""
    try:
        return read_summary(path)
    except MhimError as err:
        return str(err)
