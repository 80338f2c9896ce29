"""Tissue and artefacts of one slide, asked for again and again; answered in a child process.

The slide is looked at once, when it is opened; a question then takes the time of the
rules alone. Imports without torch.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mhim.errors import NoTissueError
from napari_mhim.slide import GridConfig, TissueConfig, TissueMask, open_slide
from napari_mhim.slide.tiling import patch_grid
from napari_mhim.slide.tissue import ARTEFACTS, TissueFinder, look

KINDS = ("tissue", *ARTEFACTS)
"""What is shown; the n-th has bit n of :attr:`TissueFound.bits`."""
_LINE_SHARE = 1 / 500  # width of the tissue's outline, as a share of the long side


@dataclass(frozen=True)
class FindTissue:
    """How tissue is found with these settings."""

    config: TissueConfig
    """What counts as tissue."""
    grid: GridConfig | None = None
    """The model's grid, where its patches are to be counted."""


@dataclass(frozen=True, eq=False)
class TissueFound:
    """Tissue and artefacts, small enough to be sent and drawn at once."""

    config: TissueConfig
    """With which settings."""
    bits: NDArray[np.uint8]
    """Shape (rows, cols): bit 0 on the outline of what is used, bit n inside ``KINDS[n]``."""
    px: tuple[float, float]
    """(y, x) level-0 pixels that one of its pixels covers."""
    shares: Mapping[str, float]
    """Share of the slide that each of ``KINDS`` takes; without those not looked for."""
    n_patches: int | None = None
    """Patches of the grid that hold enough tissue; None without a grid."""


def open_tissue(
    path: str, slide_mpp: float | None, max_px: int
) -> Callable[[FindTissue], Iterator[TissueFound]]:
    """Look at a slide, and give what answers questions on its tissue.

    Parameters
    ----------
    path : str
        The slide's file.
    slide_mpp : float, optional
        Micrometres per pixel, for a slide that does not say its own.
    max_px : int
        Long side of the small picture.

    Returns
    -------
    callable
        Takes a :class:`FindTissue` and yields one :class:`TissueFound`.

    Raises
    ------
    SlideError
        If the slide cannot be read.
    """
    given = None if slide_mpp is None else (slide_mpp, slide_mpp)
    with open_slide(path) as slide:
        shape, mpp = slide.shape, slide.mpp or given
        finder = TissueFinder(look(slide, max_px, mpp))

    def answer(question: FindTissue) -> Iterator[TissueFound]:
        found = finder.find(question.config)
        n_patches = None
        if question.grid is not None and mpp is not None:
            try:
                n_patches = len(patch_grid(shape, mpp, found, question.grid))
            except NoTissueError:
                n_patches = 0
        yield told(found, question.config, n_patches)

    return answer


def told(
    found: TissueMask, config: TissueConfig, n_patches: int | None = None
) -> TissueFound:
    """Put tissue and artefacts into one array of bits.

    Parameters
    ----------
    found : TissueMask
        As the slide's room finds it.
    config : TissueConfig
        With which settings.
    n_patches : int, optional
        How many patches there are.

    Returns
    -------
    TissueFound
        For the window.
    """
    from scipy import ndimage

    line = max(1, round(_LINE_SHARE * max(found.mask.shape)))
    inner = ndimage.binary_erosion(found.mask, iterations=line)
    bits = (found.mask & ~inner).astype(np.uint8)
    shares = {"tissue": found.share}
    for number, kind in enumerate(ARTEFACTS, start=1):
        if kind in found.artefacts:
            bits |= found.artefacts[kind].astype(np.uint8) << number
            shares[kind] = float(found.artefacts[kind].mean())
    return TissueFound(config, bits, found.px, shares, n_patches)
