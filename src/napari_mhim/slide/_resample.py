"""Patches brought to the model's scale: a triangle as wide as a pixel of the patch.

Down first, then across, in whole numbers: the same on every machine and rounded once.
"""

import math

import numpy as np
from numpy.typing import NDArray

from napari_mhim._compiled import compiled
from napari_mhim.slide.source import Pixels

# bits of a weight, and of what is kept of a pixel's fraction between the two axes
_BITS, _KEPT = 14, 7


def resample(
    pixels: Pixels, corner: tuple[float, float], step: tuple[float, float], out: Pixels
) -> None:
    """Cut a patch from pixels that surround it.

    Parameters
    ----------
    pixels : ndarray, shape (h, w, 3), uint8
        RGB, reaching a pixel's width of the patch beyond it on all sides.
    corner : tuple of float
        (y, x) of the patch in these pixels, of its upper left pixel's outer corner.
    step : tuple of float
        (y, x) these pixels per pixel of the patch.
    out : ndarray, shape (side, side, 3), uint8
        Where the patch is put.
    """
    side = len(out)
    rows = pixels.reshape(len(pixels), -1)
    into = out.reshape(side, 3 * side)
    if step == (2.0, 2.0) and all(c == int(c) >= 1 for c in corner):
        _halve(rows, int(corner[0]) - 1, int(corner[1]) - 1, into)
        return
    down = _axis(corner[0], step[0], len(pixels), side)
    across = _axis(corner[1], step[1], pixels.shape[1], side)
    _resample(rows, *down, *across, into)


def _axis(
    corner: float, step: float, length: int, side: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Give the first pixel of each triangle, (side,), and the weights, (side, taps)."""
    taps = math.ceil(2 * max(step, 1.0)) + 1
    first = np.empty(side, np.int32)
    weights = np.zeros((side, taps), np.int32)
    _triangles(corner, step, length, first, weights)
    return first, weights


@compiled
def _triangles(corner, step, length, first, weights):
    side, taps = weights.shape
    width = max(step, 1.0)
    found = np.empty(taps, np.float64)
    for number in range(side):
        centre = corner + (number + 0.5) * step
        low = math.floor(centre - width + 0.5)
        # all taps lie in the picture; those beyond the triangle weigh nothing
        low = max(min(low, length - taps), 0)
        first[number] = low
        total = 0.0
        for tap in range(taps):
            away = abs(low + tap + 0.5 - centre) / width
            found[tap] = max(1 - away, 0.0)
            total += found[tap]
        left, largest = 1 << _BITS, 0
        for tap in range(taps):
            weight = int(found[tap] / total * (1 << _BITS) + 0.5)
            weights[number, tap] = weight
            left -= weight
            if found[tap] > found[largest]:
                largest = tap
        # a flat picture stays as it is: the weights of a pixel add up to 1
        weights[number, largest] += left


@compiled
def _resample(rows, first_y, weights_y, first_x, weights_x, out):
    width, side = rows.shape[1], len(first_x)
    tall = np.empty(width, np.int32)
    for number in range(side):
        for x in range(width):
            tall[x] = 0
        for tap in range(weights_y.shape[1]):
            _add(rows[first_y[number] + tap], weights_y[number, tap], tall)
        for x in range(width):
            tall[x] >>= _KEPT
        _across(tall, first_x, weights_x, out[number])


@compiled
def _add(row, weight, into):
    for x in range(len(into)):
        into[x] += weight * np.int32(row[x])


@compiled
def _across(row, first, weights, out):
    half = np.int32(1 << (2 * _BITS - _KEPT - 1))
    shift = 2 * _BITS - _KEPT
    # unsigned, since an index that may be negative costs a look each time
    one, two, three = np.uint32(1), np.uint32(2), np.uint32(3)
    for number in range(len(first)):
        red = green = blue = half
        at = np.uint32(3 * first[number])
        for tap in range(weights.shape[1]):
            weight = weights[number, tap]
            red += np.int32(weight * row[at])
            green += np.int32(weight * row[at + one])
            blue += np.int32(weight * row[at + two])
            at += three
        into = np.uint32(3 * number)
        out[into] = red >> shift
        out[into + one] = green >> shift
        out[into + two] = blue >> shift


@compiled
def _halve(rows, top, left, out):
    """Do the same for a step of 2 from a whole corner: weights of 1, 3, 3 and 1."""
    side, width = out.shape
    tall = np.empty(2 * width + 6, np.uint16)
    three = np.uint16(3)
    for number in range(side):
        y = top + 2 * number
        upper, lower = rows[y, 3 * left :], rows[y + 3, 3 * left :]
        inner, other = rows[y + 1, 3 * left :], rows[y + 2, 3 * left :]
        for x in range(2 * width + 6):
            outside = np.uint16(upper[x]) + np.uint16(lower[x])
            tall[x] = outside + three * (np.uint16(inner[x]) + np.uint16(other[x]))
        row = out[number]
        for pixel in range(side):
            for band in range(3):
                x = 6 * pixel + band
                inside = tall[x + 3] + tall[x + 6]
                row[3 * pixel + band] = (
                    tall[x] + three * inside + tall[x + 9] + 32
                ) >> 6
