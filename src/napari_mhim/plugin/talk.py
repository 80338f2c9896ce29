"""What the dock asks the model about the slide on screen, and why it cannot just now."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from psygnal import Signal

from napari_mhim import pipeline
from napari_mhim.errors import MhimError
from napari_mhim.mil.questions import Question, open_reading
from napari_mhim.plugin.reading import Conversation, converse
from napari_mhim.plugin.state.desk import DeskState
from napari_mhim.workspace import Workspace


class Talk:
    """Keeps one conversation for the result on screen; it is opened by the first question.

    Parameters
    ----------
    state : DeskState
        What the dock shows.
    workspace : callable
        Gives the folder where features are looked for.
    device : callable
        Gives the device the user wants.
    """

    began = Signal()
    """Emitted when a conversation has been opened by a question."""

    def __init__(
        self,
        state: DeskState,
        workspace: Callable[[], Path],
        device: Callable[[], str],
    ) -> None:
        self._state, self._workspace, self._device = state, workspace, device
        self._conversation: Conversation | None = None
        state.events.result.connect(self.close, max_args=0)

    def release(self) -> None:
        """Stop listening to the state, and end the conversation."""
        self._state.events.result.disconnect(self.close)
        self.close()

    @property
    def is_waiting(self) -> bool:
        """Tell whether an answer is still to come."""
        return self._conversation is not None and self._conversation.is_waiting

    def why_not(self) -> str | None:
        """Say why nothing can be asked now.

        Returns
        -------
        str or None
            One sentence with the way out; None when questions are answered.
        """
        state = self._state
        if state.result is None:
            return "Run a model on the slide first."
        if state.bundle is None or state.bundle.id != state.result.bundle_id:
            return (
                f"This result is of the model {state.result.bundle}: choose that model in "
                "Analyse, or run the chosen one."
            )
        if self.features() is None:
            return (
                "The slide's features are not in the workspace: run the model once, they "
                "are kept from then on."
            )
        return None

    def features(self) -> Path | None:
        """Give the file of the slide's features, None where there is none."""
        state = self._state
        if state.features_path and Path(state.features_path).is_file():
            return Path(state.features_path)
        if state.bundle is None or state.slide is None:
            return None
        wanted = state.bundle.config.extraction()
        place = Workspace(self._workspace())
        path = pipeline.features_path(place, state.slide.path, wanted)
        return path if path.is_file() else None

    def ask(
        self,
        question: Question,
        on_answer: Callable[[Any], None],
        on_refused: Callable[[MhimError], None] | None = None,
    ) -> bool:
        """Ask the model; an older question of the same class is not heard any more.

        Parameters
        ----------
        question : Question
            One of :mod:`napari_mhim.mil.questions`.
        on_answer : callable
            Called with each answer, on the GUI thread.
        on_refused : callable, optional
            Called where it cannot be answered; the dock's message line where not given.

        Returns
        -------
        bool
            False where nothing can be asked now; :meth:`why_not` says why.
        """
        if self.why_not() is not None:
            return False
        is_new = self._conversation is None or self._conversation.state.is_over
        if is_new:
            try:
                self._conversation = self._open()
            except MhimError as err:
                self._state.tell(err)
                return False
        assert self._conversation is not None
        refused = self._state.tell if on_refused is None else on_refused
        self._conversation.ask(question, on_answer, refused)
        if is_new:
            self.began.emit()
        return True

    def close(self) -> None:
        """End the conversation; the next question opens another."""
        conversation, self._conversation = self._conversation, None
        if conversation is not None:
            conversation.close()

    def _open(self) -> Conversation:
        assert self._state.bundle is not None
        return converse(
            open_reading,
            str(self._state.bundle.path),
            str(self.features()),
            self._device(),
            on_error=self._state.tell,
        )
