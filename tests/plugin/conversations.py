"""Conversations that a spawned child can import: what the tests of reading run."""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from napari_mhim.errors import NoTissueError


@dataclass(frozen=True)
class Double:
    """How much is twice this?"""

    n: int


@dataclass(frozen=True)
class Slow:
    """Answers twice, some seconds apart."""

    n: int


@dataclass(frozen=True)
class Refuse:
    """Cannot be answered."""


@dataclass(frozen=True)
class Crash:
    """Raises what nobody expects."""


def open_desk(offset: int) -> Callable[[object], Iterator[object]]:
    def answer(question: object) -> Iterator[object]:
        sys.stdout.write("this must not end up between two messages\n")
        if isinstance(question, Double):
            yield 2 * question.n + offset
        elif isinstance(question, Slow):
            yield ("first", question.n)
            time.sleep(0.4)
            yield ("second", question.n)
        elif isinstance(question, Refuse):
            raise NoTissueError("there is no tissue here")
        else:
            raise ZeroDivisionError("a fault of ours")

    return answer


def cannot_open() -> None:
    raise NoTissueError("nothing to open")
