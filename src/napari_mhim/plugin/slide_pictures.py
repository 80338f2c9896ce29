"""Small pictures of whole slides, read by a thread of their own; no Qt.

Only the slide's own pixels: pictures of its label or of the glass can carry a name.
"""

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_mhim.errors import MhimError
from napari_mhim.plugin.background import Background
from napari_mhim.plugin.open_slides import open_slide

Picture = NDArray[np.uint8]


class SlidePictures:
    """Pictures of the slides on screen; use it on one thread, the reading has its own.

    Parameters
    ----------
    px : int
        Long side of a picture in pixels.
    most : int
        How many are kept; those used last stay.
    """

    def __init__(self, px: int, most: int = 400) -> None:
        self._most = most
        self._kept: OrderedDict[str, Picture | None] = OrderedDict()
        self._background: Background[str, Picture | str] = Background(
            lambda path: _picture(path, px), "mhim-slides"
        )

    def picture(self, path: str) -> Picture | None:
        """Give a slide's picture, shape (height, width, 3), uint8; None while there is none."""
        if path in self._kept:
            self._kept.move_to_end(path)
        return self._kept.get(path)

    def want(self, paths: Sequence[str]) -> None:
        """Ask for the pictures of these slides, and of no others any more.

        Parameters
        ----------
        paths : sequence of str
            Of the visible ones, the first wanted first.
        """
        self._most = max(self._most, len(paths))
        self._background.want(path for path in paths if path not in self._kept)

    @property
    def is_busy(self) -> bool:
        """Tell whether a picture is still to come."""
        return self._background.is_busy

    def take_fresh(self) -> dict[str, str]:
        """Take the pictures that have come.

        Returns
        -------
        dict of str to str
            Path to why there is no picture, "" where there is one.
        """
        told = {}
        for path, found in self._background.take_fresh().items():
            told[path] = found if isinstance(found, str) else ""
            self._kept[path] = None if isinstance(found, str) else found
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return told

    def close(self) -> None:
        """Stop reading."""
        self._background.close()


def _picture(path: str, px: int) -> Picture | str:
    try:
        with open_slide(path) as slide:
            return np.ascontiguousarray(slide.thumbnail(px))
    except MhimError as err:
        return str(err)
