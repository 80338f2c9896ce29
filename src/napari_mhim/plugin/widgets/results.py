"""What came of a run: figures for each role, what fine-tuning changed, and the errors."""

from html import escape
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_mhim.errors import MhimError
from napari_mhim.mil.bundle import Bundle, BundleConfig
from napari_mhim.mil.review import Results, read_results
from napari_mhim.plugin import training_words as said
from napari_mhim.plugin.hardest import Hardest
from napari_mhim.plugin.state.hints import wrong_with_hints
from napari_mhim.plugin.state.judged import figure
from napari_mhim.plugin.trainings import Trainings
from napari_mhim.plugin.widgets.judged import JudgedView
from napari_mhim.plugin.widgets.text import button, label
from napari_mhim.plugin.worklist import Worklist

_FIGURES = (
    ("auc", "AUC"),
    ("balanced_accuracy", "balanced accuracy"),
    ("sensitivity", "sensitivity"),
    ("specificity", "specificity"),
)
_COLUMNS = ("slide", "role", "label", "model", "loss", "T − S")
_TIPS = (
    "Double-click opens the slide at its hardest patch.",
    "What the slide was for this model.",
    "Its label.",
    "Class the model comes to at its cut-off.",
    "Minus the logarithm of the score of its own class: large is wrong and sure.",
    "Teacher's minus student's score of the class of interest. Both can be wrong together.",
)
LOSS, GAP = "by loss", "by teacher–student gap"


class ResultsView(QWidget):  # type: ignore[misc]
    """Figures and error review of the finished model.

    Parameters
    ----------
    trainings : Trainings
        The runs.
    worklist : Worklist
        Opens slides.
    """

    def __init__(self, trainings: Trainings, worklist: Worklist) -> None:
        super().__init__()
        self._trainings, self._worklist = trainings, worklist
        self._hardest = Hardest(trainings.desk)
        self._results: Results | None = None
        self._cell: tuple[str, str] | None = None
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 0, 0, 0)
        self.figures, self.change = label(), label()
        self.confusion = QTableWidget()
        self.confusion.setToolTip(
            "Rows: labels. Columns: what the model comes to. Click a number to list those "
            "slides below; click again for all."
        )
        self.confusion.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.confusion.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.confusion.cellClicked.connect(self._choose_cell)
        self.role, self.order = QComboBox(), QComboBox()
        self.order.addItems([LOSS, GAP])
        self.role.setToolTip("Whose slides the curves, the counts and the list are of.")
        self.order.setToolTip("What comes first in the list.")
        self.role.currentTextChanged.connect(self._show_role)
        self.order.currentTextChanged.connect(self._list)
        self.judged = JudgedView()
        self.errors = QTableWidget()
        self.errors.setColumnCount(len(_COLUMNS))
        self.errors.setHorizontalHeaderLabels(_COLUMNS)
        for place, tip in enumerate(_TIPS):
            self.errors.horizontalHeaderItem(place).setToolTip(tip)
        self.errors.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.errors.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
        self.errors.verticalHeader().hide()
        self.errors.setMinimumHeight(180)
        self.errors.cellDoubleClicked.connect(lambda row, _: self.open_row(row))
        self.open = button(
            "Open slide",
            "Open the selected slide at its hardest patch; the model looks at it first, if "
            "it has not.",
            lambda: self.open_row(),
        )
        self.offer = label()
        for widget in (
            *(self.figures, self.change, self.role, self.judged, self.confusion),
            *(self.offer, self.order, self.errors, self.open),
        ):
            column.addWidget(widget)
        trainings.state.events.bundle_path.connect(self.refresh, max_args=0)
        trainings.state.events.status.connect(self.refresh, max_args=0)
        self.refresh()

    def release(self) -> None:
        """Stop listening."""
        self._hardest.release()
        events = self._trainings.state.events
        events.bundle_path.disconnect(self.refresh)
        events.status.disconnect(self.refresh)

    def refresh(self) -> None:
        """Read the results of the run, if it is finished."""
        path = self._trainings.state.bundle_path
        self._results, self._cell = None, None
        what = "No finished run yet."
        change = ""
        if path:
            try:
                bundle = Bundle.open(path)
                parent = bundle.config.trained.get("parent")
                if parent and parent["tuned"] == "cut-off":
                    what = _new_cutoff(bundle.config, parent)
                else:
                    change = _change(parent)
                    self._results = read_results(Path(path).parent)
                    what = figures_table(self._results)
            except MhimError as err:
                what = escape(str(err))
        self.figures.setText(what)
        self.change.setText(change)
        self.change.setVisible(bool(change))
        for widget in (
            *(self.judged, self.confusion, self.role),
            *(self.order, self.errors, self.open),
        ):
            widget.setVisible(self._results is not None)
        self._offer_hints()
        if self._results is not None:
            self.role.blockSignals(True)
            self.role.clear()
            # the slides that can judge the model come first
            roles = [r for r in ("test", "val", "train") if r in self._results.figures]
            for role in roles:
                self.role.addItem(said.ROLE_NAMES[role], role)
            self.role.blockSignals(False)
            self._show_role()

    def _offer_hints(self) -> None:
        """Ask for hints where a wrong slide has regions."""
        slides = () if self._results is None else self._results.slides
        wrong = wrong_with_hints(slides, self._trainings.place)
        text = self._trainings.desk.state.without_names(said.hints_offer(wrong))
        self.offer.setText(escape(text))
        self.offer.setVisible(bool(text))

    def open_row(self, row: int | None = None) -> None:
        """Open a slide of the error review, close by its hardest patch.

        Parameters
        ----------
        row : int, optional
            Line of the list; the selected one where not given.
        """
        item = self.errors.item(self.errors.currentRow() if row is None else row, 0)
        path = "" if item is None else str(item.data(Qt.ItemDataRole.UserRole))
        if not path:
            return
        try:
            self._worklist.open_file(path)
        except MhimError as err:
            self._trainings.desk.state.tell(err)
            return
        self._hardest.look()

    def _show_role(self) -> None:
        if self._results is not None and self._results.figures:
            self.judged.show_role(self._results, self.role.currentData())
        self._list()

    def _choose_cell(self, row: int, column: int) -> None:
        assert self._results is not None
        classes = self._results.classes
        cell = classes[row], classes[column]
        self._cell = None if cell == self._cell else cell
        self._list()

    def _list(self) -> None:
        results = self._results
        if results is None:
            return
        role = self.role.currentData()
        some = [one for one in results.slides if one.role == role]
        _fill_confusion(self.confusion, results, some)
        if self._cell is not None:
            some = [one for one in some if (one.label, one.call) == self._cell]
        if self.order.currentText() == GAP:
            some.sort(key=lambda one: -abs(one.gap))
        self.errors.setRowCount(len(some))
        desk = self._trainings.desk.state
        for row, one in enumerate(some):
            loss, gap = f"{one.loss:.2f}", f"{one.gap:+.2f}".replace("-", "−")
            name = desk.without_names(one.slide)
            texts = (name, said.ROLE_NAMES[one.role], one.label, one.call, loss, gap)
            for place, text in enumerate(texts):
                item = QTableWidgetItem(text)
                item.setData(Qt.ItemDataRole.UserRole, one.path)
                self.errors.setItem(row, place, item)
        self.errors.resizeColumnsToContents()


def figures_table(results: Results) -> str:
    """Show the figures of each role, by slide and by patient, with intervals and n.

    Parameters
    ----------
    results : Results
        Of a finished run.

    Returns
    -------
    str
        Rich text.
    """
    parts = []
    for role in ("test", "val", "train"):
        if role not in results.figures:
            continue
        rows = []
        for key, name in _FIGURES:
            cells = "".join(
                f"<td>&nbsp;{figure(results.figures[role][unit][key])}</td>"
                for unit in ("patients", "slides")
            )
            rows.append(f"<tr><td>{name}</td>{cells}</tr>")
        n = [results.figures[role][u]["auc"]["n"] for u in ("patients", "slides")]
        head = f"<tr><th></th><th>{n[0]} patients</th><th>{n[1]} slides</th></tr>"
        parts.append(f"<b>{_NOTES[role]}</b><table>{head}{''.join(rows)}</table>")
        if role != "train" and n[0] < said.FEW:
            parts.append(f"{n[0]} patients: too few to tell whether it improved.<br>")
    return "".join(parts) or "No slide to judge by."


_NOTES = {
    "test": "Held out",
    "val": "Validation (epoch and cut-off were chosen on it: optimistic)",
    "train": "Training (learnt from: says nothing about new slides)",
}


def _new_cutoff(config: BundleConfig, parent: dict[str, Any]) -> str:
    """Say what the cut-off was and is."""
    assert config.cutoff is not None  # it was just chosen
    cutoff, was = config.cutoff, parent["cutoff_before"]
    before = f"{was['value']:.3f}" if was else "none"
    return (
        f"Cut-off: {before} → <b>{cutoff.value:.3f}</b>, set on {cutoff.n} "
        f"{escape(cutoff.where)} slides. Nothing was trained: every score is as before."
    )


def _change(parent: dict[str, Any] | None) -> str:
    """Say what fine-tuning changed on the same validation slides."""
    if not parent or "auc_change" not in parent:
        return ""
    change = parent["auc_change"]
    if change["value"] is None:
        return f"Before / after: not comparable, {escape(change['reason'])}."
    before, after = figure(parent["auc_before"]), figure(parent["auc_after"])
    paired = (
        ""
        if change["low"] is None
        else (
            f" Change {change['value']:+.2f} ({change['low']:+.2f} to {change['high']:+.2f})."
        ).replace("-", "−")
    )
    few = ""
    if parent["patients"] < said.FEW:
        few = f" {parent['patients']} patients: too few to tell whether it improved."
    return (
        f"<b>Before → after</b>, the same {change['n']} validation slides: AUC {before} → "
        f"{after}.{paired}{few}"
    )


def _fill_confusion(table: QTableWidget, results: Results, some: list[Any]) -> None:
    classes = list(results.classes)
    table.setRowCount(len(classes))
    table.setColumnCount(len(classes))
    table.setVerticalHeaderLabels(classes)
    table.setHorizontalHeaderLabels([f"→ {name}" for name in classes])
    for row, own in enumerate(classes):
        for column, call in enumerate(classes):
            n = sum((one.label, one.call) == (own, call) for one in some)
            item = QTableWidgetItem(str(n))
            item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
            table.setItem(row, column, item)
    table.resizeRowsToContents()
    height = table.horizontalHeader().sizeHint().height() + 6
    table.setFixedHeight(height + sum(table.rowHeight(r) for r in range(len(classes))))
