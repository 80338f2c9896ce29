"""What one does with the list of slides: opens it and its slides, labels them, runs the model.

No widgets. What may be seen is decided in ``state/worklist.py``; a result that waits for
the reader's label is never loaded, so that no part of the window can show it.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from psygnal import Signal

from napari_mhim.errors import MhimError
from napari_mhim.mil.result import SlideResult
from napari_mhim.mil.result_summary import ResultSummary
from napari_mhim.phantom.truth import read_truth, truth_path
from napari_mhim.plugin import slides_words
from napari_mhim.plugin import worklist_files as files
from napari_mhim.plugin.background import Background
from napari_mhim.plugin.desk import Desk
from napari_mhim.plugin.habits import Habits
from napari_mhim.plugin.slide_queue import SlideQueue, summary_or_reason
from napari_mhim.plugin.state.labels import LabelLog
from napari_mhim.workspace import Workspace


class Worklist:
    """The list at work.

    Parameters
    ----------
    desk : Desk
        What the dock works with; ``desk.slides`` is the list.
    """

    noted = Signal(str)
    """Emitted with each sentence to be read that is no error."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.list = desk, desk.slides
        self.habits = Habits(desk.canvas)
        self.is_stepping = False
        """True while a slide is opened that the tab should not change for."""
        self.index = files.Index(Path())
        """Where the slides lie that were opened once."""
        self._scores: Background[tuple[int, str], ResultSummary | str] = Background(
            _summary, "mhim-scores"
        )
        state = desk.state
        state.events.slide.connect(self._on_slide, max_args=0)
        state.events.result.connect(self._on_result, max_args=0)
        state.events.bundle.connect(self.look_up, max_args=0)
        self.list.events.reads_first.connect(self.withhold, max_args=0)
        self.list.events.reader.connect(self.withhold, max_args=0)
        self.list.events.hides_names.connect(self._name_anew, max_args=0)
        self.queue = SlideQueue(desk)

    def release(self) -> None:
        """Stop listening and reading."""
        state = self.desk.state
        state.events.slide.disconnect(self._on_slide)
        state.events.result.disconnect(self._on_result)
        state.events.bundle.disconnect(self.look_up)
        self._scores.close()

    # --- opening the list

    def open(self, paths: Sequence[str]) -> bool:
        """Open what was chosen or dropped: slides, folders, a table, a model.

        Parameters
        ----------
        paths : sequence of str
            Paths of files and folders. A single slide is opened and the list stays; a
            model's folder is chosen.

        Returns
        -------
        bool
            False where something could not be used, which is told in the dock.
        """
        models = [path for path in paths if files.is_bundle(path)]
        rest = [path for path in paths if path not in models]
        if models:
            self.desk.runs.choose_bundle(models[0])
        try:
            if (
                len(rest) == 1
                and Path(rest[0]).is_file()
                and not files.is_table(rest[0])
            ):
                self.open_file(rest[0])
            elif rest:
                self._take(files.find(rest))
        except MhimError as err:
            self.desk.state.tell(err)
            return False
        return True

    def open_file(self, path: str) -> None:
        """Open one slide as it is, with its result where the list knows it; may raise."""
        name = Path(path).stem
        row = self.list.row_of.get(name, -1)
        if row >= 0 and self.list.rows[row].path == str(Path(path).absolute()):
            self.open_row(row)
            return
        self.habits.note()
        self.desk.canvas.open(path)
        self.desk.state.problem = ""
        self.habits.apply()

    def look_up(self) -> None:
        """Find out which slides have features and results of the model chosen."""
        bundle, slides = self.desk.state.bundle, self.list
        self._scores.forget()
        if not len(slides):
            return
        names = [row.slide for row in slides.rows]
        known = self.index.fingerprint
        roles = (
            {}
            if bundle is None
            else {name: bundle.config.role_of(name, known(name)) for name in names}
        )
        roles = {name: role for name, role in roles.items() if role != "unknown"}
        slides.take_model("" if bundle is None else bundle.id, roles)
        if bundle is not None and not slides.classes:
            slides.classes = bundle.config.classes
        features, results = files.made(self.desk.runs.workspace, bundle, names)
        slides.take_made(features, results)
        if bundle is None:
            return
        place = Workspace(self.desk.runs.workspace)
        self._scores.want(
            (row, str(place.result_path(bundle.name, names[row])))
            for row in slides.has_result.nonzero()[0].tolist()
        )

    def poll(self) -> None:
        """Take what was read meanwhile; to be called now and then."""
        fresh = self._scores.take_fresh()
        for (row, _), found in fresh.items():
            self.list.take_summary(row, found)
        if fresh:
            self.list.touch([row for row, _ in fresh])
            if not self._scores.is_busy and self.list.sort in ("score", "state"):
                self.list.arrange()

    @property
    def is_reading(self) -> bool:
        """Tell whether scores are still to come."""
        return self._scores.is_busy

    def take_pictures(self, told: dict[str, str]) -> None:
        """Note whose pictures have come, and which files cannot be opened.

        Parameters
        ----------
        told : dict of str to str
            Path to why there is no picture, "" where there is one.
        """
        slides, rows = self.list, []
        for path, reason in told.items():
            row = self.queue.row_at(path)
            if row >= 0:
                rows.append(row)
                if reason:
                    slides.problems.setdefault(row, reason)
        slides.touch(rows)

    def save_table(self, path: str) -> None:
        """Write the list with the reader's labels as a label table.

        Parameters
        ----------
        path : str
            CSV file to write.

        Raises
        ------
        CohortError, WorkspaceError
            If the list cannot be a table, or it cannot be written.
        """
        files.save_table(path, self.list.labelled(), self.list.classes)

    # --- opening slides

    def open_row(self, row: int, stays: bool = False) -> bool:
        """Open a slide of the list, with its result where there is one to be seen.

        Parameters
        ----------
        row : int
            The slide.
        stays : bool
            Whether the tab in front stays there.

        Returns
        -------
        bool
            False where it cannot be opened, which is told in one sentence.
        """
        slides, state = self.list, self.desk.state
        self.habits.note()
        self.is_stepping = stays
        try:
            self.desk.canvas.open(slides.rows[row].path)
            state.problem = ""
            slides.problems.pop(row, None)
            self.habits.apply()
            self._note_place(row)
            self._reveal(row)
        except MhimError as err:
            slides.problems[row] = str(err)
            state.tell(err)
            return False
        finally:
            self.is_stepping = False
            slides.touch([row])
        return True

    def step(self, by: int) -> None:
        """Open the next (1) or previous (-1) slide of the list as it is shown."""
        row = self.list.step(by)
        if row < 0:
            self.noted.emit(slides_words.end_of_list(by, len(self.list)))
            return
        # what cannot be opened is told, and the next step goes on from there
        if not self.open_row(row, stays=True):
            self.list.current = row

    def keeps_back(self, result: SlideResult) -> bool:
        """Tell whether a result must wait for the reader's label, and say so.

        Parameters
        ----------
        result : SlideResult
            Of the slide on screen.

        Returns
        -------
        bool
            True where it must not be drawn.
        """
        row = self.list.row_of.get(result.slide, -1)
        if row < 0 or not self.list.is_withheld(row):
            return False
        self.noted.emit(slides_words.WITHHELD)
        return True

    # --- what the reader says

    def keep(self, write: Callable[[], object]) -> bool:
        """Write something down; what is wrong with that is told, and gives False."""
        try:
            write()
        except MhimError as err:
            self.desk.state.tell(err)
            return False
        return True

    # --- inside

    def _take(self, found: files.Found) -> None:
        runs, state = self.desk.runs, self.desk.state
        folder = Path(found.workspace) if found.workspace else runs.home
        place = Workspace(folder)
        log = LabelLog.read(place.labels_path)  # may refuse: then the list stays
        runs.use_workspace(folder)
        self.index = files.Index(place.index_path)
        rows = files.relocated(found.rows, self.index)
        self._choose_model(folder)
        bundle = state.bundle
        classes = found.classes or (() if bundle is None else bundle.config.classes)
        self.list.open(rows, classes, found.source, log, files.missing(rows))
        self._name_anew()
        self.look_up()
        self._on_slide()
        for note in (*found.notes, *slides_words.opened_notes(self.list)):
            self.noted.emit(note)

    def _choose_model(self, folder: Path) -> None:
        """Choose a model that was trained here, unless the one chosen has results here."""
        bundle, place = self.desk.state.bundle, Workspace(folder)
        if bundle is not None and place.result_path(bundle.name, "any").parent.is_dir():
            return
        models = files.models_of(folder)
        if models:
            self.desk.runs.choose_bundle(models[0])

    def show_held_back(self, row: int) -> None:
        """Draw the result of the slide on screen now that the reader has labelled it."""
        self.is_stepping = True
        try:
            self._reveal(row)
        except MhimError as err:
            self.desk.state.tell(err)
        finally:
            self.is_stepping = False

    def _reveal(self, row: int) -> None:
        """Draw a slide's result over it, where there is one and it may be seen."""
        slides, bundle = self.list, self.desk.state.bundle
        slide = self.desk.canvas.slide()
        if bundle is None or slide is None or slides.is_withheld(row):
            return
        if not slides.has_result[row]:
            return
        place, name = Workspace(self.desk.runs.workspace), slides.rows[row].slide
        result = SlideResult.load(place.result_path(bundle.name, name))
        is_same = result.fingerprint in ("", slide.fingerprint)
        if not is_same or result.slide_shape != slide.shape:
            self._note(slides_words.other_file(name))
            return
        plain = place.result_path(f"{bundle.name}-baseline", name)
        truth = truth_path(slide.path)
        self.desk.canvas.show_result(
            result,
            SlideResult.load(plain) if plain.is_file() else None,
            read_truth(truth) if truth.is_file() else None,
        )
        self.habits.apply_looks()

    def _note(self, sentence: str) -> None:
        self.noted.emit(self.desk.state.without_names(sentence))

    def _note_place(self, row: int) -> None:
        slide, name = self.desk.state.slide, self.list.rows[row].slide
        if slide is None:
            return
        known = self.index.fingerprint(name)
        if known and known != slide.fingerprint:
            self._note(slides_words.changed(name))
            return
        self.keep(lambda: self.index.note(name, slide.path, slide.fingerprint))

    def _on_slide(self) -> None:
        slide, slides = self.desk.state.slide, self.list
        row = -1 if slide is None else slides.row_of.get(slide.name, -1)
        if row >= 0 and slide is not None and slides.rows[row].path != slide.path:
            row = -1
        before, slides.current = slides.current, row
        if row >= 0:
            self.keep(lambda: slides.say_opened(row, with_result=False))
        self._say_held_back()
        slides.touch([one for one in {before, row} if one >= 0])

    def _on_result(self) -> None:
        row = self.list.current
        if self.desk.state.result is not None and row >= 0:
            self.keep(lambda: self.list.say_opened(row, with_result=True))

    def withhold(self) -> None:
        """Take away what the reader may not see any more, and show what may be seen."""
        slides = self.list
        if slides.current >= 0 and slides.is_withheld(slides.current):
            self.desk.canvas.drop_result()
        self._say_held_back()
        slides.touch(range(len(slides)))

    def _say_held_back(self) -> None:
        slides, row = self.list, self.list.current
        waits = row >= 0 and slides.is_withheld(row) and slides.has_result[row]
        self.desk.state.held_back = bool(waits)

    def _name_anew(self) -> None:
        self.desk.state.aliases = self.list.aliases()
        self.list.arrange()


def _summary(key: tuple[int, str]) -> ResultSummary | str:
    return summary_or_reason(key[1])
