"""How a job goes: what it is at, how fast, and how long it will still take."""

from collections import deque
from dataclasses import dataclass, field
from typing import ClassVar

from psygnal import SignalGroupDescriptor

from napari_mhim.events import Progress
from napari_mhim.plugin import words

_WINDOW_SECONDS = 20.0
"""The rate is that of the last so many seconds."""
_LEAST_SECONDS = 1.0  # below this a rate is noise


@dataclass
class JobProgress:
    """What the footer of the dock shows of the running job."""

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    is_busy: bool = False
    """Whether a job is at work or being stopped."""
    is_stopping: bool = False
    """Whether it was told to stop and has not yet."""
    stage: str = ""
    """What it is at."""
    done: int = 0
    """How many units are finished."""
    total: int = 0
    """How many there are, 0 when nobody knows."""
    detail: str = ""
    """Count, rate and time left, for the person at the screen."""
    _seen: deque[tuple[float, int]] = field(default_factory=deque, repr=False)

    def begin(self, stage: str) -> None:
        """Show that a job has started, before its first event."""
        self._seen.clear()
        self.stage, self.detail = stage, ""
        self.done, self.total = 0, 0
        self.is_busy, self.is_stopping = True, False

    def end(self) -> None:
        """Show that no job is at work."""
        self.is_busy, self.is_stopping = False, False

    def take(self, event: Progress, now: float) -> None:
        """Note how far a stage has come.

        Parameters
        ----------
        event : Progress
            What the job said.
        now : float
            When, in seconds of a clock that never goes back.
        """
        if event.stage != self.stage or event.done < self.done:
            self._seen.clear()
        self._seen.append((now, event.done))
        while now - self._seen[0][0] > _WINDOW_SECONDS:
            self._seen.popleft()
        self.stage, self.done, self.total = event.stage, event.done, event.total
        self.detail = self._detail(event)

    @property
    def rate(self) -> float | None:
        """Give units per second over the last seconds, None while too little was seen."""
        if len(self._seen) < 2:
            return None
        (start, first), (end, last) = self._seen[0], self._seen[-1]
        if end - start < _LEAST_SECONDS or last <= first:
            return None
        return (last - first) / (end - start)

    def _detail(self, event: Progress) -> str:
        total = f" of {number(event.total)}" if event.total else ""
        parts = [f"{number(event.done)}{total} {event.unit}"]
        rate = self.rate
        if rate is not None:
            parts.append(f"{rate:.0f}/s" if rate >= 10 else f"{rate:.1f}/s")
            if event.total:
                parts.append(words.time_left((event.total - event.done) / rate))
        return " · ".join(parts)


def number(value: int) -> str:
    """Write a count with thin spaces between thousands."""
    return f"{value:,}".replace(",", "\u2009")
