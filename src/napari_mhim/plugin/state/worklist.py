"""The list of slides: what each is, what is known of it, what the reader may see of that."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from psygnal import SignalGroupDescriptor

from napari_mhim.errors import WorkspaceError
from napari_mhim.mil.cohort import CohortRow
from napari_mhim.mil.result_summary import ResultSummary
from napari_mhim.plugin.state import adjudication
from napari_mhim.plugin.state import worklist_order as order
from napari_mhim.plugin.state import worklist_shown as shown
from napari_mhim.plugin.state.labels import (
    ADJUDICATED,
    LABEL,
    NOT_ASSESSABLE,
    NOTE,
    OPENED,
    REVIEWED,
    UNCERTAIN,
    LabelLog,
    Said,
)
from napari_mhim.plugin.state.worklist_shown import ALL


@dataclass
class WorklistState:
    """The slides of a folder or table; opens and draws nothing itself."""

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    source: str = ""
    """Folder or table the slides are from, "" before one is opened."""
    text: str = ""
    """What is searched for."""
    shows: str = ALL
    """One of ``FILTERS``."""
    sort: str = ""
    """One of ``SORTS``, or ""."""
    is_reversed: bool = False
    """Whether what sorting puts last comes first."""
    by_case: bool = False
    """Whether slides stand below a line for their patient."""
    reader: str = ""
    """Who reads."""
    reads_first: bool = False
    """Whether score and overlays wait for the reader's label."""
    hides_names: bool = False
    """Whether slides and patients are numbers."""
    current: int = -1
    """Row of the slide on screen, -1 where it is none of the list."""
    version: int = 0
    """Goes up whenever other lines are shown, or in another order."""
    live_seen: float = float("nan")
    """Share of the slide on screen seen at 10× or more, NaN while that is not known."""
    touches: int = 0
    """Goes up whenever something else is known of the rows in ``touched``."""

    def __post_init__(self) -> None:
        self.log = LabelLog()
        self.touched: tuple[int, ...] = ()
        self.model_id = ""
        self._role_of: Mapping[str, str] = {}
        self.open((), (), "", self.log)

    def open(
        self,
        rows: Iterable[CohortRow],
        classes: Iterable[str],
        source: str,
        log: LabelLog,
        problems: Mapping[int, str] | None = None,
    ) -> None:
        """Show other slides.

        Parameters
        ----------
        rows : iterable of CohortRow
            The slides; names are different, and each has a patient.
        classes : iterable of str
            Classes a reader can choose, the one of interest last.
        source : str
            Folder or table they are from.
        log : LabelLog
            What was said of them.
        problems : mapping of int to str, optional
            What is wrong with some rows, one sentence each.
        """
        self.rows = tuple(rows)
        self.classes, self.log = tuple(classes), log
        self.problems = dict(problems or {})
        self.queued: dict[int, str] = {}
        self.row_of = {row.slide: number for number, row in enumerate(self.rows)}
        n = len(self.rows)
        self.has_features = np.zeros(n, bool)
        self.has_result = np.zeros(n, bool)
        self.summaries: dict[int, ResultSummary] = {}
        names = [row.patient for row in self.rows]
        self.patients, self.case = order.numbered(names)
        self._numbers = order.drawn([row.slide for row in self.rows])
        self._patient_numbers = order.drawn(self.patients)
        self.current = -1
        self.text, self.shows, self.sort = "", ALL, ""
        self.by_case = 2 * len(self.patients) <= n
        self.source = source
        self.arrange()

    def __len__(self) -> int:
        """Count the slides."""
        return len(self.rows)

    # --- what the reader may see

    def is_withheld(self, row: int) -> bool:
        """Tell whether score and overlays of a slide wait for the reader's label."""
        return self.reads_first and not self.own_label(row)

    def name(self, row: int) -> str:
        """Give a slide's name, or its number where names are hidden."""
        if not self.hides_names:
            return self.rows[row].slide
        return f"Case {self._numbers[row]:0{len(str(max(len(self), 10)))}d}"

    def patient(self, row: int) -> str:
        """Give a slide's patient, or the number where names are hidden."""
        return self.case_name(int(self.case[row]))

    def case_name(self, case: int) -> str:
        """Give a patient, or the number where names are hidden."""
        if not self.hides_names:
            return self.patients[case]
        return f"Patient {self._patient_numbers[case]:02d}"

    def own_label(self, row: int) -> str:
        """Give the reader's own label, "" without one."""
        return self.log.label(self.rows[row].slide, self.reader)

    def table_label(self, row: int) -> str:
        """Give the label of the table, "" without one or where it is withheld."""
        return "" if self.is_withheld(row) else self.rows[row].label

    def label(self, row: int) -> str:
        """Give the label in force: the adjudicated, else the own, else the table's.

        What training takes, and what a saved table holds.
        """
        return self.adjudicated(row) or self.own_label(row) or self.table_label(row)

    def adjudicated(self, row: int) -> str:
        """Give the label that settles what readers differ on, "" without one or withheld."""
        last = self.adjudication(row)
        return "" if last is None else last.value

    def adjudication(self, row: int) -> Said | None:
        """Give the line that settled it, None without one or where it is withheld."""
        if self.is_withheld(row):
            return None
        return self.log.adjudication(self.rows[row].slide)

    def readers_differ(self, row: int) -> bool:
        """Tell whether two readers' labels differ, as far as the reader may see them."""
        return len({self.own_label(row), *self.other_labels(row).values()} - {""}) > 1

    def other_labels(self, row: int) -> dict[str, str]:
        """Give other readers' labels; none until the reader has labelled the slide."""
        if self.reads_first and not self.own_label(row):
            return {}
        return self.log.others(self.rows[row].slide, self.reader)

    def seen(self, row: int) -> float:
        """Give the share of tissue the reader has seen at 10× or more, NaN if unknown."""
        kept = self.log.viewed(self.rows[row].slide, self.reader)
        is_live = row == self.current and self.live_seen == self.live_seen
        return self.live_seen if is_live else kept

    def was_looked_at(self, row: int) -> bool:
        """Tell whether the reader has opened a slide, and come close where that is known."""
        is_open = self.log.has_opened(self.rows[row].slide, self.reader)
        return is_open and self.seen(row) != 0

    def score(self, row: int) -> float:
        """Give the model's score, NaN without one or where it is withheld."""
        summary = self.summaries.get(row)
        if summary is None or self.is_withheld(row):
            return float("nan")
        return summary.score

    def call(self, row: int) -> str:
        """Give the class the model comes to, "" without one or where it is withheld."""
        summary = self.summaries.get(row)
        return "" if summary is None or self.is_withheld(row) else summary.call

    def role(self, row: int) -> str:
        """Give a slide's role in the model, or in the table where the model says none."""
        summary = self.summaries.get(row)
        # the result knows the file itself, and so finds one that was renamed
        if summary is not None and summary.role != "unknown":
            return summary.role
        return self._role_of.get(self.rows[row].slide, "") or self.rows[row].role

    def state(self, row: int) -> str:
        """Give how far a slide has come: one of the words of the column."""
        if row in self.queued:
            return self.queued[row]
        if row in self.problems:
            return "no file" if self.problems[row].startswith("no file") else "failed"
        if self.has_result[row]:
            return "result"
        return "features" if self.has_features[row] else ""

    def disagrees(self, row: int) -> bool:
        """Tell whether the label in force differs from the model's class or another reader's.

        A label that is no class (uncertain, not assessable) differs from nothing, and what
        is withheld from the reader is not told by this either. Where readers' labels were
        settled, only the model is left to differ.
        """
        label, call = self.label(row), self.call(row)
        if label not in self.classes:
            return False
        is_open = self.own_label(row) and not self.adjudicated(row)
        others = self.other_labels(row) if is_open else {}
        said = {call, *others.values()} & set(self.classes)
        return bool(said - {label})

    def case_score(self, case: int) -> float:
        """Give a patient's score: the largest of the slides', NaN while one is withheld."""
        rows = np.flatnonzero(self.case == case).tolist()
        if any(self.is_withheld(row) for row in rows):
            return float("nan")
        scores = [self.score(row) for row in rows]
        known = [score for score in scores if score == score]
        return max(known) if known else float("nan")

    def case_label(self, case: int) -> str:
        """Give a patient's label: of the slides' classes the last in order."""
        rows = np.flatnonzero(self.case == case).tolist()
        labels = {self.label(row) for row in rows}
        return next((one for one in reversed(self.classes) if one in labels), "")

    def aliases(self) -> dict[str, str]:
        """Give what to say for each name of a slide or patient; empty where names show."""
        if not self.hides_names:
            return {}
        patients = {p: self.case_name(case) for case, p in enumerate(self.patients)}
        return {**patients, **{r.slide: self.name(i) for i, r in enumerate(self.rows)}}

    def labelled(self) -> tuple[CohortRow, ...]:
        """Give the slides with the labels in force, as far as the reader may see them."""
        return tuple(
            replace(one, label=self.label(row), label_source=self.label_source(row))
            for row, one in enumerate(self.rows)
        )

    def label_source(self, row: int) -> str:
        """Give where the label in force comes from, as ``CohortRow`` has it."""
        if self.adjudicated(row):
            return "adjudicated"
        return "reader" if self.own_label(row) else self.rows[row].label_source

    # --- which lines are shown

    def arrange(self, **changes: str | bool) -> None:
        """Change what is shown, and how.

        Parameters
        ----------
        **changes : values
            Of ``text``, ``shows``, ``sort``, ``is_reversed`` and ``by_case``.
        """
        for name, value in changes.items():
            setattr(self, name, value)
        rows = shown.rows(self)
        keys, is_empty = shown.keys(self, rows)
        self.lines: NDArray[np.int64] = order.lines(
            rows,
            keys,
            is_empty,
            self.case[rows] if self.by_case else None,
            largest=self.sort == "score",
            is_reversed=self.is_reversed,
        )
        self.version += 1

    def step(self, by: int) -> int:
        """Give the row of the next (1) or previous (-1) slide shown; -1 at the end."""
        rows = self.lines[self.lines >= 0]
        at = np.flatnonzero(rows == self.current)
        place = int(at[0]) + by if len(at) else (0 if by > 0 else len(rows) - 1)
        return int(rows[place]) if 0 <= place < len(rows) else -1

    # --- what becomes known

    def take_made(self, features: set[str], results: set[str]) -> None:
        """Note which slides have features and results of the model chosen.

        Parameters
        ----------
        features, results : set of str
            Names of slides.
        """
        names = [row.slide for row in self.rows]
        self.has_features = np.array([name in features for name in names], bool)
        self.has_result = np.array([name in results for name in names], bool)
        self.summaries = {}
        self.touch(range(len(self)))

    def take_model(self, model_id: str, roles: Mapping[str, str]) -> None:
        """Note which model is chosen, and the role each slide had in it."""
        self.model_id, self._role_of = model_id, dict(roles)

    def take_summary(self, row: int, found: ResultSummary | str) -> None:
        """Note what a result says, or why it cannot be read; tells nobody: :meth:`touch`."""
        if isinstance(found, str):
            self.problems[row] = found
            self.has_result[row] = False
        else:
            self.summaries[row] = found
            self.has_result[row] = True

    def touch(self, rows: Iterable[int]) -> None:
        """Tell that something else is known of these rows; lines stay where they are."""
        self.touched = tuple(rows)
        self.touches += 1

    # --- what the reader says

    def say_label(self, row: int, label: str) -> None:
        """Keep the reader's label of a slide; "" takes it back.

        Parameters
        ----------
        row : int
            The slide.
        label : str
            One of ``choices()``, or "".

        Raises
        ------
        WorkspaceError
            If it cannot be written.
        """
        self._say(row, LABEL, label)

    def say_adjudicated(self, row: int, label: str) -> None:
        """Keep the label that settles what readers differ on; "" takes it back.

        Parameters
        ----------
        row : int
            The slide.
        label : str
            One of ``choices()``, or "".

        Raises
        ------
        WorkspaceError
            If there is nothing to settle, or it cannot be written.
        """
        if (reason := adjudication.why_not(self, row)) is not None:
            raise WorkspaceError(reason)
        self._say(row, ADJUDICATED, label)

    def say_reviewed(self, row: int, is_reviewed: bool) -> None:
        """Keep whether the reader is through with a slide; WorkspaceError as above."""
        self._say(row, REVIEWED, "yes" if is_reviewed else "")

    def say_note(self, row: int, text: str) -> None:
        """Keep the reader's note on a slide; WorkspaceError as above."""
        self._say(row, NOTE, text.strip())

    def say_opened(self, row: int, with_result: bool) -> None:
        """Keep that the reader has looked at a slide, and whether with its score."""
        slide = self.rows[row].slide
        if with_result and self.log.has_seen(slide, self.reader):
            return
        if not with_result and self.log.has_opened(slide, self.reader):
            return
        self._say(row, OPENED, "yes", with_result)

    def choices(self) -> tuple[str, ...]:
        """Give the labels a reader can give, those that are no class last."""
        return (*self.classes, UNCERTAIN, NOT_ASSESSABLE)

    def _say(
        self, row: int, kind: str, value: str, revealed: bool | None = None
    ) -> None:
        slide = self.rows[row].slide
        if revealed is None:
            in_view = row in self.summaries and not self.is_withheld(row)
            revealed = in_view or self.log.has_seen(slide, self.reader)
        self.log.add(Said(slide, self.reader, kind, value, revealed, self.model_id))
        self.touch([row])
