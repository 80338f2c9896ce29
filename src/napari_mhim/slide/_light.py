"""What of a small picture of a slide is glass, what the scanner did not see, what absorbs."""

import numpy as np
from numpy.typing import NDArray

from napari_mhim.slide._masks import Floats, Mask, across, grown, large

# what the scanner did not see is written as black, and jpeg leaves it nearly so
_BLACK = 24
# on a fluorescence slide most of the picture is darker than this, and the rest no glass
_DARK, _GLASS = 70, 110
# glass is grey: a brightest colour with more chroma than this is tissue from edge to edge
_GLASS_CHROMA = 0.12
_PLAIN_GLASS = 240.0


def is_dark_field(picture: NDArray[np.uint8]) -> bool:
    """Tell a glowing slide on a dark ground from stained tissue on bright glass.

    Parameters
    ----------
    picture : ndarray, shape (rows, cols, 3), uint8
        RGB.

    Returns
    -------
    bool
        True where most is dark and what is not is no glass.
    """
    brightest, least = across(np.maximum, picture), across(np.minimum, picture)
    bright = brightest >= _DARK
    if bright.mean() > 0.5:
        return False
    # a bright slide with large lost regions is black too, but the rest of it is glass
    return not bright.any() or float(np.percentile(least[bright], 90)) < _GLASS


def unseen(picture: NDArray[np.uint8]) -> Mask:
    """Find the black borders and lost regions of a slide on bright glass.

    Parameters
    ----------
    picture : ndarray, shape (rows, cols, 3), uint8
        RGB.

    Returns
    -------
    ndarray, shape (rows, cols), bool
        True where the scanner saw nothing, a little wider than it.
    """
    brightest = across(np.maximum, picture)
    # on a dim slide nuclei are nearly black as well; lost regions are black altogether
    limit = min(_BLACK, 0.1 * float(np.percentile(brightest, 99)))
    return grown(large(brightest <= limit, 32), 2)


def optical_density(picture: NDArray[np.uint8], seen: Mask) -> Floats:
    """Give how much light each pixel takes away, against the slide's own glass.

    Parameters
    ----------
    picture : ndarray, shape (rows, cols, 3), uint8
        RGB.
    seen : ndarray, shape (rows, cols), bool
        Where the scanner saw something.

    Returns
    -------
    ndarray, shape (rows, cols, 3), float32
        Natural logarithm, 0 on glass.
    """
    glass = np.log(_glass(picture[seen].astype(np.float32)) + 1)
    # there are 256 logarithms, whatever the picture
    density = glass - np.log(np.arange(256, dtype=np.float32) + 1)[picture]
    return np.asarray(np.maximum(density, 0), np.float32)


def _glass(colours: Floats) -> Floats:
    """Give the colour of the glass, of pixels (n, 3)."""
    if not len(colours):
        return np.full(3, _PLAIN_GLASS, np.float32)
    least = colours.min(axis=1)
    glass = np.median(colours[least >= np.percentile(least, 95)], axis=0)
    if glass.max() - glass.min() > _GLASS_CHROMA * glass.max():
        # no glass in sight: tissue from edge to edge
        glass = np.full(3, max(float(glass.max()), _PLAIN_GLASS))
    return np.asarray(glass, np.float32)
