"""An extraction that dies: by its own hand at a named moment, with no time to tidy up."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from napari_mhim.features import _layout, _part
from napari_mhim.features.config import ExtractConfig
from napari_mhim.features.extract import extract


def die(*_args: object) -> NoReturn:
    """Die as by ``kill -9``: no handler, no ``finally``, no flush."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def within_a_row() -> None:
    real, calls = os.write, 0

    def write(file: int, data: Any) -> int:
        nonlocal calls
        calls += isinstance(data, memoryview)
        if calls < 4:
            return real(file, data)
        real(file, data[: len(data) // 2 + 3])
        die()

    os.write = write


def before_the_journal() -> None:
    Path.replace = die


def within_the_hdf5() -> None:
    _layout._write_coords = die


def before_the_rename() -> None:
    os.replace = die


def after_the_rename() -> None:
    _part.Part.delete = die


def between_part_and_journal() -> None:
    real = Path.unlink

    def unlink(self: Path, missing_ok: bool = False) -> None:
        if self.name.endswith(".part.json"):
            die()
        real(self, missing_ok)

    Path.unlink = unlink


MOMENTS: dict[str, Callable[[], None]] = {
    function.__name__: function
    for function in (
        before_the_journal,
        within_a_row,
        within_the_hdf5,
        before_the_rename,
        after_the_rename,
        between_part_and_journal,
    )
}


def extract_until(moment: str, slide: str, store: str, config: ExtractConfig) -> None:
    """Extract, and die at a moment of ``MOMENTS``."""
    MOMENTS[moment]()
    list(extract(slide, store, config))


def extract_slowly(slide: str, store: str, config: ExtractConfig) -> None:
    """Extract with a pause after each batch, so that a parent has time to kill."""
    for _event in extract(slide, store, config):
        time.sleep(0.02)
