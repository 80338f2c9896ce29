"""Libraries log what they meet in a file, and that can be a patient's name."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# those that quote what a file holds, or where it lies
_NAMES = (
    *("tifffile", "PIL.PngImagePlugin", "PIL.TiffImagePlugin"),
    *("zarr.group", "fsspec.http"),
)

_is_ours: ContextVar[bool] = ContextVar("_is_ours", default=False)


class _Ours(logging.Filter):
    """Drops what is logged while a file is opened here; others' records pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a record passes."""
        return not _is_ours.get()


_FILTER = _Ours()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what libraries log of a slide's file, read within, out of every log.

    Yields
    ------
    None
        It holds for this thread, and for what it has done by others.
    """
    for name in _NAMES:
        logger = logging.getLogger(name)
        if _FILTER not in logger.filters:
            logger.addFilter(_FILTER)
    token = _is_ours.set(True)
    try:
        yield
    finally:
        _is_ours.reset(token)
