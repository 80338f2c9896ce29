"""What the reader says of the slide on screen: label, reviewed, note.

A label is of the slide one looks at, never of one that is only selected in the list.
"""

from psygnal import Signal

from napari_mhim.plugin import slides_words
from napari_mhim.plugin.state.labels import UNCERTAIN
from napari_mhim.plugin.worklist import Worklist


class Labelling:
    """Keeps what the reader says.

    Parameters
    ----------
    worklist : Worklist
        The list at work.
    """

    noted = Signal(str)
    """Emitted with each sentence to be read that is no error."""

    def __init__(self, worklist: Worklist) -> None:
        self._worklist, self._list = worklist, worklist.list

    def label(self, label: str) -> None:
        """Label the slide on screen; with *Read first*, its result is then shown.

        Parameters
        ----------
        label : str
            One of ``list.choices()``, "" to take the label back.
        """
        row = self._list.current
        if row < 0:
            self.noted.emit(slides_words.NOTHING_TO_LABEL)
            return
        was_withheld = self._list.is_withheld(row)
        if self._worklist.keep(lambda: self._list.say_label(row, label)):
            self._worklist.withhold()
            if was_withheld and label:
                self._worklist.show_held_back(row)

    def label_number(self, number: int) -> None:
        """Label the slide on screen with the class of a key, from 1; 0 is *uncertain*."""
        names = self._list.classes
        if number == 0:
            self.label(UNCERTAIN)
        elif number <= len(names):
            self.label(names[number - 1])
        else:
            self.noted.emit(slides_words.no_such_class(number, names))

    def adjudicate(self, label: str) -> None:
        """Settle the label of the slide on screen where readers differ; "" takes it back."""
        slides, row = self._list, self._list.current
        if row < 0 or label != slides.adjudicated(row):
            self._worklist.keep(lambda: slides.say_adjudicated(row, label))

    def review(self, is_reviewed: bool) -> None:
        """Mark the slide on screen as reviewed, or not."""
        row = self._list.current
        if row >= 0 and is_reviewed != self._is_reviewed(row):
            self._worklist.keep(lambda: self._list.say_reviewed(row, is_reviewed))

    def toggle_reviewed(self) -> None:
        """Mark the slide on screen as reviewed, or take that back."""
        row = self._list.current
        if row >= 0:
            self.review(not self._is_reviewed(row))

    def note(self, text: str) -> None:
        """Keep a note on the slide on screen."""
        row, slides = self._list.current, self._list
        if row < 0:
            return
        before = slides.log.note(slides.rows[row].slide, slides.reader)
        if text.strip() != before:
            self._worklist.keep(lambda: slides.say_note(row, text))

    def _is_reviewed(self, row: int) -> bool:
        slides = self._list
        return slides.log.is_reviewed(slides.rows[row].slide, slides.reader)
