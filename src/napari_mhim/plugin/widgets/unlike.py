"""On the score card: how unlike the training slides this one is, once somebody asks."""

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_mhim.errors import MhimError
from napari_mhim.mil.questions import HowUnlike, Unlike
from napari_mhim.mil.unlike import unlike_of
from napari_mhim.plugin import unlike_words
from napari_mhim.plugin.desk import Desk
from napari_mhim.plugin.widgets.text import boxed, button, label


class UnlikeLine(QWidget):  # type: ignore[misc]
    """A question, and its answer in place of it.

    A new result brings the answer along. Of an older one it is asked on a click, and by
    itself once another section has asked the model something: a process that holds the
    model is at work then.

    Parameters
    ----------
    desk : Desk
        What the dock works with.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self.found: Unlike | None = None
        self._is_asked = False
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        self.question = button(
            "How unlike the training slides is it?",
            "Distance of this slide's features to those of training, and whether teacher "
            "and student see it alike.",
            self.ask,
        )
        self.caution = label()
        self.caution.setMargin(4)
        boxed(self.caution, "#d08000")
        self.answer = label(small=True)
        for one in (self.question, self.caution, self.answer):
            column.addWidget(one)
        state = desk.state
        state.events.result.connect(self._start, max_args=0)
        state.events.bundle.connect(self._start, max_args=0)
        desk.talk.began.connect(self.ask)
        self._start()

    def release(self) -> None:
        """Stop listening to the desk."""
        state = self._desk.state
        state.events.result.disconnect(self._start)
        state.events.bundle.disconnect(self._start)
        self._desk.talk.began.disconnect(self.ask)

    def ask(self) -> None:
        """Ask the model, where it has not been asked about this slide."""
        if self._is_asked:
            return
        # set first: asking opens a conversation, which asks here again
        self._is_asked = True
        self._is_asked = self._desk.talk.ask(HowUnlike(), self._take, self._refuse)
        if self._is_asked:
            self.question.setEnabled(False)
            self.question.setText("Looking …")

    def _start(self) -> None:
        """Begin anew with the result there is."""
        self.found, self._is_asked = None, False
        is_ready = self._desk.talk.why_not() is None
        self.question.setText("How unlike the training slides is it?")
        self.question.setEnabled(True)
        # not without features: the reason stands where the model is asked for more
        self.question.setVisible(is_ready)
        self.answer.hide()
        self.caution.hide()
        state = self._desk.state
        known = None if state.result is None else unlike_of(state.result)
        is_its_model = (
            state.result is not None
            and state.bundle is not None
            and state.bundle.id == state.result.bundle_id
        )
        if known is not None and is_its_model:
            self._is_asked = True
            self._take(known)

    def _refuse(self, error: MhimError) -> None:
        self._start()
        self._desk.state.tell(error)

    def _take(self, found: Unlike) -> None:
        bundle = self._desk.state.bundle
        if bundle is None:
            return
        self.found = found
        caution = unlike_words.caution(found, bundle.config)
        self.question.hide()
        self.caution.setText(caution)
        self.caution.setVisible(bool(caution))
        self.answer.setText(unlike_words.answer(found, bundle.config))
        self.answer.show()
