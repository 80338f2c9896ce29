"""What readers said of slides: a file of lines that only grows, and what follows from it.

A label is never changed: a new line follows it, with reader, time, the model whose score
there was, and whether the reader had seen that score before.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from napari_mhim.errors import WorkspaceError
from napari_mhim.mil.cohort import NOT_TRAINED
from napari_mhim.workspace import why_unwritable

LABEL, REVIEWED, NOTE, OPENED = "label", "reviewed", "note", "opened"
ADJUDICATED = "adjudicated"
VIEWED = "viewed"
"""What a line can be."""
UNCERTAIN, NOT_ASSESSABLE = NOT_TRAINED
"""Labels that no model is trained on."""


@dataclass(frozen=True)
class Said:
    """One line of the file."""

    slide: str
    """Slide's name."""
    reader: str
    """Who, "" for a reader without a name."""
    kind: str
    """``LABEL``, ``ADJUDICATED``, ``REVIEWED``, ``NOTE``, ``OPENED`` or ``VIEWED``."""
    value: str = ""
    """Class, "yes", the note's text or the share of tissue seen; "" takes back what was said."""
    revealed: bool = False
    """Whether this reader had seen a model's score of the slide by then."""
    model: str = ""
    """Hash of the model chosen then, "" for none."""
    time: str = ""
    """When, ISO 8601, UTC."""


_NAMES = tuple(field.name for field in fields(Said))


class LabelLog:
    """All that was said in one workspace; made by :meth:`read`.

    Parameters
    ----------
    path : Path or None
        The file, which need not exist; None keeps nothing beyond the window.
    said : iterable of Said
        What stands in it, in order.
    damaged : int
        Lines that could not be read; they stay in the file.
    """

    def __init__(
        self, path: Path | None = None, said: Iterable[Said] = (), damaged: int = 0
    ) -> None:
        self.path, self.damaged = path, damaged
        self._said: dict[str, list[Said]] = {}
        for one in said:
            self._take(one)

    @classmethod
    def read(cls, path: Path) -> "LabelLog":
        """Read a file of labels.

        Parameters
        ----------
        path : Path
            The file; nothing was said where there is none.

        Returns
        -------
        LabelLog
            What was said; a line that cannot be read is counted and left alone.

        Raises
        ------
        WorkspaceError
            If the file is there and cannot be read: labels must not seem to be gone.
        """
        try:
            lines = path.read_bytes().splitlines()
        except FileNotFoundError:
            return cls(path)
        except OSError as err:
            raise WorkspaceError(
                f"the labels in {str(path)!r} cannot be read: {err.strerror}; nothing "
                "can be labelled until they can"
            ) from err
        found = [_parsed(line) for line in lines if line.strip()]
        good = [one for one in found if one is not None]
        return cls(path, good, damaged=len(found) - len(good))

    def add(self, said: Said) -> Said:
        """Put a line at the end of the file; nothing before it is touched.

        Parameters
        ----------
        said : Said
            What to keep; the time is filled in where it is not given.

        Returns
        -------
        Said
            The line as it was kept.

        Raises
        ------
        WorkspaceError
            If it cannot be written; nothing is taken for said then.
        """
        if not said.time:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            said = Said(**{**asdict(said), "time": now})
        if self.path is not None:
            try:
                _append(self.path, json.dumps(asdict(said), ensure_ascii=False))
            except OSError as err:
                raise WorkspaceError(why_unwritable(self.path, err)) from err
        self._take(said)
        return said

    def history(self, slide: str, reader: str | None = None) -> tuple[Said, ...]:
        """Give all that was said of a slide, oldest first; of one reader, or of all."""
        lines = self._said.get(slide, ())
        return tuple(one for one in lines if reader is None or one.reader == reader)

    def last(self, slide: str, reader: str, kind: str) -> Said | None:
        """Give the line in force: a reader's last of a kind; None where taken back."""
        for one in reversed(self._said.get(slide, ())):
            if one.reader == reader and one.kind == kind:
                return one if one.value else None
        return None

    def label(self, slide: str, reader: str) -> str:
        """Give a reader's label of a slide, "" without one."""
        last = self.last(slide, reader, LABEL)
        return "" if last is None else last.value

    def adjudication(self, slide: str) -> Said | None:
        """Give the line that settles a slide's label, whoever said it; None without one."""
        for one in reversed(self._said.get(slide, ())):
            if one.kind == ADJUDICATED:
                return one if one.value else None
        return None

    def viewed(self, slide: str, reader: str) -> float:
        """Give the share of tissue a reader has seen close by, NaN where nobody measured."""
        last = self.last(slide, reader, VIEWED)
        try:
            return float("nan") if last is None else float(last.value)
        except ValueError:
            return float("nan")

    def blind_label(self, slide: str, reader: str) -> str:
        """Give a reader's last label from before the score was seen, "" without one."""
        for one in reversed(self._said.get(slide, ())):
            if one.reader == reader and one.kind == LABEL and not one.revealed:
                return one.value
        return ""

    def has_seen(self, slide: str, reader: str) -> bool:
        """Tell whether a reader has had a model's score of a slide in view."""
        return any(one.revealed for one in self.history(slide, reader))

    def has_opened(self, slide: str, reader: str) -> bool:
        """Tell whether a reader has opened a slide."""
        return any(one.kind == OPENED for one in self.history(slide, reader))

    def is_reviewed(self, slide: str, reader: str) -> bool:
        """Tell whether a reader has marked a slide as reviewed."""
        return self.last(slide, reader, REVIEWED) is not None

    def note(self, slide: str, reader: str) -> str:
        """Give a reader's note on a slide, "" without one."""
        last = self.last(slide, reader, NOTE)
        return "" if last is None else last.value

    def readers(self) -> tuple[str, ...]:
        """Give who has labelled a slide here, sorted."""
        return tuple(
            sorted(
                {
                    one.reader
                    for lines in self._said.values()
                    for one in lines
                    if one.kind == LABEL
                }
            )
        )

    def others(self, slide: str, reader: str) -> dict[str, str]:
        """Give the labels of a slide by readers other than one, by reader."""
        names = {one.reader for one in self.history(slide) if one.reader != reader}
        found = {name: self.label(slide, name) for name in sorted(names)}
        return {name: label for name, label in found.items() if label}

    def _take(self, said: Said) -> None:
        self._said.setdefault(said.slide, []).append(said)


def _parsed(line: bytes) -> Said | None:
    try:
        values = json.loads(line)
        # what a later version adds to a line is not lost: the line stays in the file
        said = Said(**{name: values[name] for name in _NAMES if name in values})
    except (ValueError, TypeError):
        return None
    is_text = all(
        isinstance(getattr(said, name), str) for name in _NAMES if name != "revealed"
    )
    return said if is_text and isinstance(said.revealed, bool) else None


def _append(path: Path, line: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        # a line that a power cut left half written must not swallow this one
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
