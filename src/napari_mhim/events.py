"""What a long job says while it works: small frozen events, the same in every room.

A long job is a generator. The command line loops over it, a test lists it, the window
runs it in a child process: so events are plain values that pickle, arrays included.
Rooms add events of their own beside the generator that yields them.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far one stage of a job has come."""

    stage: str
    """What is being done, for the person at the screen: ``"features of case-07"``."""
    done: int
    """How many units are finished."""
    total: int
    """How many there are; 0 when nobody knows yet."""
    unit: str = "patches"
    """What is counted, in the plural."""


@dataclass(frozen=True)
class Note:
    """Something the user should read, and nothing that stops the job."""

    text: str
    """One sentence."""
