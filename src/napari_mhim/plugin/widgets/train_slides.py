"""Which slides a run is for: a table or the list, their features, and the split shown."""

from pathlib import Path

from qtpy.QtWidgets import (
    QApplication,
    QFileDialog,
    QHBoxLayout,
    QVBoxLayout,
    QWidget,
)

from napari_mhim.errors import MhimError
from napari_mhim.plugin import training_words as said
from napari_mhim.plugin.trainings import Trainings
from napari_mhim.plugin.widgets.text import button, label, title

TABLES = "Label tables (*.csv *.tsv *.txt);;All files (*)"
"""What a file dialog offers where a label table is asked for."""


class TrainSlides(QWidget):  # type: ignore[misc]
    """The slides that are asked for, and what a run would do with each.

    Parameters
    ----------
    trainings : Trainings
        The runs.
    """

    def __init__(self, trainings: Trainings) -> None:
        super().__init__()
        self._trainings, self._state = trainings, trainings.state
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(5)
        column.addWidget(title("1 · Slides"))
        row = QHBoxLayout()
        for text, tip, act in (
            (
                "Label table …",
                "A CSV with slide, label and, if you like, path, patient, role and site. "
                "Slides without a role are split by patient.",
                self._ask_table,
            ),
            (
                "Slides tab",
                "The slides of the Slides tab, with the labels you gave them there.",
                self._use_list,
            ),
        ):
            row.addWidget(button(text, tip, act), 1)
        column.addLayout(row)
        self.features = button(
            "Features made elsewhere …",
            "A folder with a file for each slide (.h5, .npy, .pt) of another program: slide "
            "files are not needed then. Press again to go back to slides.",
            self._ask_features,
        )
        self.chosen, self.preview = label(), label()
        self.few = label(small=True)
        self.cross_validation = button(
            "Copy cross-validation",
            "Copy the command line that cross-validates these settings on these slides.",
            self._copy_cross_validation,
        )
        for widget in (
            *(self.features, self.chosen, self.preview),
            *(self.few, self.cross_validation),
        ):
            column.addWidget(widget)

    def refresh(self) -> None:
        """Show what the state says."""
        state = self._state
        self.chosen.setText(_source(self._trainings))
        self.preview.setText(said.split_table(state.split))
        self.preview.setVisible(state.split is not None)
        is_advised = state.wants_cross_validation
        if state.split is not None and is_advised:
            self.few.setText(said.few_slides(state.split.n_slides))
        self.few.setVisible(is_advised)
        self.cross_validation.setVisible(is_advised)
        name = Path(state.features).name if state.features else ""
        self.features.setText(
            f"Features: {name}" if name else "Features made elsewhere …"
        )

    def use_table(self, path: str) -> None:
        """Take the slides of a label table.

        Parameters
        ----------
        path : str
            Its file.
        """
        self._state.takes_list, self._state.table = False, path
        self._trainings.look()

    def use_features(self, folder: str) -> None:
        """Take features that another program made in place of slides.

        Parameters
        ----------
        folder : str
            Their folder, "" for slides again.
        """
        self._state.features = folder
        self._trainings.look()

    def _copy_cross_validation(self) -> None:
        try:
            line = self._trainings.cross_validation()
        except MhimError as err:
            self._trainings.desk.state.tell(err)
            return
        QApplication.clipboard().setText(line)

    def _use_list(self) -> None:
        self._state.takes_list, self._state.table = True, ""
        self._trainings.look()

    def _ask_table(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Label table", "", TABLES)
        if path:
            self.use_table(path)

    def _ask_features(self) -> None:
        if self._state.features:
            self.use_features("")
            return
        folder = QFileDialog.getExistingDirectory(self, "Features made elsewhere")
        if folder:
            self.use_features(folder)


def _source(trainings: Trainings) -> str:
    state = trainings.state
    if state.takes_list:
        n = sum(bool(row.label) for row in trainings.desk.slides.labelled())
        return f"{n} labelled slides of the Slides tab; adjudicated labels go first."
    if state.table:
        return trainings.desk.state.without_names(repr(state.table)).strip("'")
    return "No slides chosen."
