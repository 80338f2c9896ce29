"""What lies on a slide and is no tissue to look at: ink, folds, air bubbles.

Each is found on a small picture of the whole slide by one rule on its optical density,
and comes as a mask of its own. What is out of focus needs detail that the small picture
has not: see :mod:`napari_mhim.slide.sharpness`.

The rules know how these things come about, not how they look on one scanner: ink absorbs
other colours than haematoxylin and eosin, a fold is tissue seen twice, and the rim of a
bubble bends all colours away alike. They were set on made slides and looked at on real
ones; their defaults rather miss a little than take tissue away.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mhim.slide._masks import (
    Floats,
    Mask,
    across,
    averaged,
    closed,
    grown,
    large,
    resampled,
    smoothed,
)

COARSE_UM = 8.0
"""Width of a pixel on which folds and bubbles are looked for, µm: above a nucleus'."""

# blurred rim of a pen's stroke, as a share of the picture's long side
_RIM_SHARE = 0.004
# optical density of red, green, blue: Ruifrok and Johnston, "Quantification of
# histochemical staining by color deconvolution", Anal Quant Cytol Histol 23, 2001
_STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])
# a fold is a strip: so many times longer than wide, and at least so long
_FOLD_STRETCH, _FOLD_LENGTH_UM = 2.5, 150.0
# from a fold's core outwards, as a share of the density its core must have
_FOLD_EDGE = 0.85
# haematoxylin comes in nuclei and varies by itself: so much more of it there must be, and
# so many times as much more than of eosin there may be
_FOLD_BLUE, _FOLD_ALIKE = 1.15, 1.3
# on a smaller field than this, µm, one does not see what is usual about a place
_FIELD_UM = 1000.0
# what is "about" a place, and what is the place itself, as deviations in µm
_ABOUT_UM, _HERE_UM = 150.0, 14.0
# density of ink, natural logarithm, that no stain reaches over a stroke's width
_DENSE_INK = 1.6
# half the width of the finest stroke of a pen, µm
_STROKE_UM = 20.0
# the rim of a bubble: alike in all colours, dense by itself or more than what is about it,
# and narrower than so many coarse pixels
_RIM_GREY, _RIM_DENSITY, _THIN_DENSITY, _RIM_PX = 0.6, 0.3, 0.2, 7
# share of a bubble's outline that is such a rim, and of its hull that it fills
_RIM_WHOLE, _BUBBLE_ROUND = 0.6, 0.85
# so far beside what it encloses a bubble's rim is its own, coarse pixels
_BESIDE_PX = 3
# density within, below which there is neither tissue nor a veil
_NOT_EMPTY = 0.08


def pen(
    density: Floats, px_um: tuple[float, float] | None, faintest: float = 0.15
) -> Mask:
    """Find ink of a marker: blue, green, red or black.

    Haematoxylin and eosin take green away most, red and blue less; the markers' inks
    take red most (blue and green ink), green and blue alike and no red (red ink), or all
    three alike and nearly all of it (black ink).

    Parameters
    ----------
    density : ndarray, shape (rows, cols, 3), float32
        Optical density of red, green, blue, natural logarithm.
    px_um : tuple of float, optional
        (y, x) µm that a pixel covers: a stroke is wider than the rim of an air bubble or
        a flake of pigment. Where it is not known, every width counts.
    faintest : float
        Density of red from which blue and green ink counts; red and black in proportion.

    Returns
    -------
    ndarray, shape (rows, cols), bool
        True on ink, a little wider than it.
    """
    red, green, blue = (smoothed(density[..., i]) for i in range(3))
    strength = faintest / 0.15
    least, most = (
        np.minimum(np.minimum(red, green), blue),
        np.maximum(np.maximum(red, green), blue),
    )
    # where ink is as dense as this there may be tissue beneath, which adds its own colours
    dense = most > _DENSE_INK * strength
    cold = (red > 1.3 * green + 0.05 * strength) & (red > faintest)
    cold |= dense & (red > 1.05 * green)
    warm = (green > 0.8 * strength) & (blue > 0.8 * green) & (red < 0.3 * green)
    warm |= dense & (blue > 0.62 * green) & (red < 0.35 * green)
    black = (least > 0.9 * strength) & (most - least < 0.25 * most)
    black |= (least > _DENSE_INK * strength) & (most - least < 0.5 * most)
    # the blurred rim of a stroke has the colours of tissue: as wide as it can be
    rim_px = max(6, round(_RIM_SHARE * max(density.shape)))
    # nuclei under the ink have colours of their own
    strokes = large(closed(large(cold | warm | black, 12), rim_px // 2), 12)
    if px_um is not None:
        strokes = _wide(strokes, px_um)
    return grown(strokes, rim_px) if strokes.any() else strokes


@dataclass(frozen=True, eq=False)
class Folded:
    """How much each place looks like a fold, on coarse pixels."""

    times: Floats
    """How many times denser than what is about it, 0 where it can be no fold."""
    um: tuple[float, float]
    """(y, x) µm that a coarse pixel covers."""


def fold_strength(
    density: Floats, tissue: Mask, px_um: tuple[float, float]
) -> Folded | None:
    """Measure where tissue may lie doubled: all of :func:`folds` that takes long.

    Parameters
    ----------
    density : ndarray, shape (rows, cols, 3), float32
        Optical density of red, green, blue, natural logarithm.
    tissue : ndarray, shape (rows, cols), bool
        Tissue without ink.
    px_um : tuple of float
        (y, x) µm that a pixel covers.

    Returns
    -------
    Folded or None
        None on a field too small to tell what is usual about a place.
    """
    if max(n * um for n, um in zip(tissue.shape, px_um, strict=True)) < _FIELD_UM:
        return None
    step = _step(px_um)
    um = px_um[0] * step[0], px_um[1] * step[1]
    on = averaged(tissue[..., None].astype(np.float32), step)[..., 0]
    coarse = averaged(density * tissue[..., None], step)
    blue, pink = np.moveaxis(coarse @ np.linalg.pinv(_STAINS).astype(np.float32), 2, 0)
    place = _Place(on, um)
    total = _against_neighbours(coarse.mean(axis=2), place)
    more_blue, more_pink = (_against_neighbours(v, place) for v in (blue, pink))
    alike = (more_blue > _FOLD_BLUE) & (more_blue < _FOLD_ALIKE * more_pink)
    times = np.where(alike & (on > 0.5), np.minimum(total, more_pink), 0)
    return Folded(np.asarray(times, np.float32), um)


def folds(folded: Folded | None, tissue: Mask, times: float = 1.5) -> Mask:
    """Find strips in which the tissue lies doubled.

    Such a strip is denser than the tissue about it in both stains at once (a crowd of
    nuclei is so in haematoxylin, blood and muscle in eosin) and long. That folds are found
    by being darker and more saturated than their slide, from a core outwards, is from
    Kothari et al., "Eliminating tissue-fold artifacts in histopathological whole-slide
    images for improved image-based prediction of cancer grade", J Pathol Inform 4, 2013;
    stains in place of saturation, the neighbourhood in place of the slide, and the shape
    are ours.

    Parameters
    ----------
    folded : Folded, optional
        As :func:`fold_strength` gives it.
    tissue : ndarray, shape (rows, cols), bool
        Tissue without ink.
    times : float
        How many times denser than the tissue about it a fold's core is.

    Returns
    -------
    ndarray, shape (rows, cols), bool
        True on folds.
    """
    from skimage.filters import apply_hysteresis_threshold

    if folded is None:
        return np.zeros_like(tissue)
    strips = apply_hysteresis_threshold(folded.times, _FOLD_EDGE * times, times)
    return resampled(_long(strips, folded.um), tissue.shape) & tissue


def bubbles(
    density: Floats, ink: Mask, px_um: tuple[float, float], least_um: float = 100.0
) -> Mask:
    """Find air caught under the coverslip: round areas within a dark grey rim.

    Parameters
    ----------
    density : ndarray, shape (rows, cols, 3), float32
        Optical density of red, green, blue, natural logarithm.
    ink : ndarray, shape (rows, cols), bool
        Ink of a pen: a ring of it is none, but it may cover a part of a rim.
    px_um : tuple of float
        (y, x) µm that a pixel covers.
    least_um : float
        Least diameter, µm.

    Returns
    -------
    ndarray, shape (rows, cols), bool
        True on bubbles, their rim included.
    """
    from scipy import ndimage

    step = _step(px_um)
    coarse = averaged(density, step)
    inked = averaged(ink[..., None].astype(np.float32), step)[..., 0] > 0.5
    # dense tissue beneath has a colour of its own: less what is about it, a rim is grey
    thin = coarse - ndimage.grey_opening(coarse, (_RIM_PX, _RIM_PX, 1))
    area_um2 = px_um[0] * step[0] * px_um[1] * step[1]
    least_px = np.pi / 4 * least_um**2 / area_um2
    found = np.zeros_like(inked)
    for rim in (_grey(coarse, _RIM_DENSITY), _grey(thin, _THIN_DENSITY)):
        found |= _enclosed(rim & ~inked, inked, coarse.mean(axis=2), least_px)
    return resampled(found, ink.shape)


def out_of_focus(blur_um: Floats, shape: tuple[int, int], least_um: float) -> Mask:
    """Find what is blurred, in pieces that are worth leaving out.

    Parameters
    ----------
    blur_um : ndarray, shape (rows, cols), float32
        As ``sharpness.blur_um`` gives it, NaN where nothing is known.
    shape : tuple of int
        Rows and columns of the mask wanted.
    least_um : float
        Blur from which on it counts, µm.

    Returns
    -------
    ndarray, shape ``shape``, bool
        True where out of focus.
    """
    blurred = np.nan_to_num(blur_um) >= least_um
    return resampled(closed(large(blurred, 4), 1), shape)


def _enclosed(rim: Mask, inked: Mask, density: Floats, least_px: float) -> Mask:
    """Give what is round, not empty and within a rim, part of which ink may cover."""
    from scipy import ndimage
    from skimage.measure import regionprops

    wall = closed(rim | inked, 2)
    inside, _ = ndimage.label(ndimage.binary_fill_holes(wall) & ~wall)
    found = np.zeros_like(rim)
    near_rim = grown(rim, 1)
    for piece in regionprops(inside):
        if piece.area < least_px:
            continue
        # a piece and its surroundings: the whole picture for each would take seconds
        top, left, below, right = piece.bbox
        here = (
            slice(max(top - _BESIDE_PX, 0), below + _BESIDE_PX),
            slice(max(left - _BESIDE_PX, 0), right + _BESIDE_PX),
        )
        shape = inside[here] == piece.label
        if np.median(density[here][shape]) < _NOT_EMPTY:
            continue  # a gap in the tissue has an edge, too, and nothing to leave out
        edge = grown(shape, 2) & ~shape
        is_rimmed = (edge & near_rim[here]).sum() >= _RIM_WHOLE * edge.sum()
        # the hull, which solidity is of, takes longest
        if is_rimmed and piece.solidity >= _BUBBLE_ROUND:
            found[here] |= grown(shape, _BESIDE_PX) & (shape | wall[here])
    return found


def _grey(density: Floats, least: float) -> Mask:
    """Tell where density is at least so much, and about the same in all colours."""
    low, high = across(np.minimum, density), across(np.maximum, density)
    grey: Mask = (low > least) & (low > _RIM_GREY * high)
    return grey


def _step(px_um: tuple[float, float]) -> tuple[int, int]:
    """Give how many pixels make a coarse one, (y, x)."""
    down, right = (max(1, round(COARSE_UM / um)) for um in px_um)
    return down, right


class _Place:
    """Smooths values that count by weight, given times their weight."""

    def __init__(self, weight: Floats, px_um: tuple[float, float]) -> None:
        self.weight = weight
        self._px_um = px_um
        self._smooth: dict[float, Floats] = {}

    def mean(self, values: Floats, wide_um: float) -> Floats:
        """Give the mean about each place, as far as a deviation of so many µm."""
        sigma = wide_um / self._px_um[0], wide_um / self._px_um[1]
        if wide_um not in self._smooth:
            self._smooth[wide_um] = np.maximum(smoothed(self.weight, sigma), 1e-3)
        smooth = smoothed(values, sigma)
        return np.asarray(smooth / self._smooth[wide_um], np.float32)


def _against_neighbours(values: Floats, place: _Place) -> Floats:
    """Give how many times a place's value is its neighbourhood's, shape (rows, cols).

    What stands out is counted once only as so much as it may differ, or a fold would
    raise what it is held against.
    """
    here, about = place.mean(values, _HERE_UM), place.mean(values, _ABOUT_UM)
    for _ in range(2):
        kept = np.minimum(here, 1.2 * about) * place.weight
        about = place.mean(kept, _ABOUT_UM)
    return np.asarray(here / np.maximum(about, 1e-3), np.float32)


def _wide(mask: Mask, px_um: tuple[float, float]) -> Mask:
    """Keep what is as wide as a stroke, and what belongs to that."""
    from scipy import ndimage

    if not mask.any():
        return mask
    inside: NDArray[np.float64] = ndimage.distance_transform_edt(mask, sampling=px_um)
    core: Mask = inside >= _STROKE_UM
    if not core.any():
        return core
    away = ndimage.distance_transform_edt(~core, sampling=px_um)
    kept: Mask = mask & (away <= 1.5 * _STROKE_UM)
    return kept


def _long(mask: Mask, px_um: tuple[float, float]) -> Mask:
    """Keep the pieces that are strips."""
    from skimage.measure import label, regionprops

    pieces: NDArray[np.int64] = label(closed(mask, 1), connectivity=2)
    um = float(np.sqrt(px_um[0] * px_um[1]))
    kept = np.zeros_like(mask)
    for piece in regionprops(pieces):
        length, width = piece.axis_major_length, max(piece.axis_minor_length, 1.0)
        if length * um >= _FOLD_LENGTH_UM and length >= _FOLD_STRETCH * width:
            kept[piece.slice] |= piece.image
    return kept
