"""How much of a slide's tissue was looked at closely: a coarse raster that fills up."""

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_mhim.errors import StoreError
from napari_mhim.slide.tissue import TissueMask
from napari_mhim.workspace import writing

CLOSE_UM = 1.0
"""Micrometres per screen pixel of a 10× objective: nearer is close."""
_SLACK = 1.02  # a key that sets 10× must count, whatever rounding makes of it


def magnification(um_per_screen_px: float) -> float:
    """Give the objective that shows a micrometre as large: 10 at 1 µm per screen pixel."""
    return 10 * CLOSE_UM / um_per_screen_px


class ViewedArea:
    """What one reader has seen of one slide at 10× or more.

    Parameters
    ----------
    tissue : TissueMask
        Where tissue is; its raster is the one that fills up.
    seen : ndarray, shape of the mask, bool, optional
        What was seen before.
    """

    def __init__(
        self, tissue: TissueMask, seen: NDArray[np.bool_] | None = None
    ) -> None:
        self._tissue = tissue
        self._seen = np.zeros_like(tissue.mask) if seen is None else seen

    def look(self, corners: NDArray[np.float64], um_per_screen_px: float) -> bool:
        """Note what is in view.

        Parameters
        ----------
        corners : ndarray, shape (2, 2)
            Upper left and lower right corner of the view, (y, x), level-0 px; it may reach
            past the slide.
        um_per_screen_px : float
            How close one looks.

        Returns
        -------
        bool
            Whether anything was seen for the first time. A place is seen when its middle is
            in view; from further away than 10× nothing is.
        """
        if um_per_screen_px > CLOSE_UM * _SLACK:
            return False
        # cells whose middle lies between the corners
        low, high = np.ceil(corners / self._tissue.px - 0.5).clip(0).astype(int)
        part = self._seen[low[0] : high[0], low[1] : high[1]]
        if part.all():
            return False
        part[:] = True
        return True

    @property
    def share(self) -> float:
        """Share of the tissue that was seen; NaN on a slide without tissue."""
        tissue = self._tissue.mask
        n = int(tissue.sum())
        return float((self._seen & tissue).sum() / n) if n else float("nan")

    def save(self, path: Path, fingerprint: str) -> None:
        """Keep what was seen.

        Parameters
        ----------
        path : Path
            File to write, whole or not at all.
        fingerprint : str
            The slide's.

        Raises
        ------
        WorkspaceError
            If it cannot be written.
        """
        with writing(path) as part, part.open("wb") as file:
            np.savez(
                file,
                seen=np.packbits(self._seen),
                shape=self._seen.shape,
                fingerprint=fingerprint,
            )

    @classmethod
    def load(cls, path: Path, fingerprint: str, tissue: TissueMask) -> "ViewedArea":
        """Go on with what was seen before.

        Parameters
        ----------
        path : Path
            What :meth:`save` wrote; it need not exist.
        fingerprint : str
            The slide's.
        tissue : TissueMask
            Where its tissue is.

        Returns
        -------
        ViewedArea
            Nothing is seen where there is no file.

        Raises
        ------
        StoreError
            If the file cannot be read, or is of another slide.
        """
        try:
            with np.load(path) as kept:
                shape, whose = tuple(kept["shape"].tolist()), str(kept["fingerprint"])
                flat = np.unpackbits(kept["seen"], count=int(np.prod(shape)))
        except FileNotFoundError:
            return cls(tissue)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as err:
            raise StoreError(
                f"what was seen of the slide, {path.name!r}, cannot be read; it is "
                "counted anew"
            ) from err
        if whose != fingerprint or shape != tissue.mask.shape:
            raise StoreError(
                f"what was seen in {path.name!r} is of another file of that name; it is "
                "counted anew"
            )
        return cls(tissue, flat.astype(bool).reshape(shape))
