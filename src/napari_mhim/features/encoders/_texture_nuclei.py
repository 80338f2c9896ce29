"""Sizes and paleness of nuclei, for the texture encoder on the CPU: compiled loops.

The rows of an image follow one another in one axis, so that a loop over it is long.
"""

import numpy as np

from napari_mhim._compiled import clear, compiled

_MOST_MASS = 1.2
_RANKS = 54_000
"""Steps of a density of 1 in the openings, for which rank alone counts: 16 bits do."""
_LOWEST = -32_400
_BLURS = (3, 5, 9)


@compiled
def measure_nuclei(blue, steps, ends, shrink, out):
    """Fill the rows of ``out``, (B, numbers), from haematoxylin at half, (B, h, w)."""
    size = blue.shape[1] * blue.shape[2]
    flat = blue.reshape(len(blue), size)
    for number in range(len(blue)):
        _nuclei(flat[number], blue.shape[2], steps, ends, shrink, out[number])


@compiled
def _nuclei(half, width, steps, ends, shrink, row):
    mass = np.empty_like(half)
    ranks = np.empty(len(half), np.int16)
    for x in range(len(half)):
        value = min(max(half[x], np.float32(0)), np.float32(_MOST_MASS))
        mass[x] = value
        rank = value * np.float32(_RANKS) + np.float32(_LOWEST)
        ranks[x] = np.int16(np.floor(rank + np.float32(0.5)))
    n = len(ends)
    _openings(ranks, width, steps, ends, shrink, row[: n + 1], row[2 * n + 13 :])
    for number in range(n):
        before, after = row[number], row[number + 1]
        row[n + 1 + number] = (before - after) / (row[0] + 0.02)
    for number in range(n + 1):
        row[number] = np.log(row[number] + 0.01)
    _bands(mass, width, row[2 * n + 1 :])


@compiled
def _openings(ranks, width, steps, ends, shrink, survived, pale):
    """Open by squares of growing size; give what is left, and how dark what goes is."""
    finer, eroded = ranks, np.empty_like(ranks)
    one, spare = np.empty_like(ranks), np.empty_like(ranks)
    total = 0.0
    for x in range(len(ranks)):
        total += ranks[x]
        eroded[x] = -ranks[x]
    survived[0] = (total / len(ranks) - _LOWEST) / _RANKS
    first = 0
    for number in range(len(ends)):
        # squares of squares: the next erosion goes on from the last
        _widen(eroded, width, shrink[number], spare, eroded)
        for x in range(len(eroded)):
            one[x] = -eroded[x]
        for place in range(first, ends[number]):
            _widen(one, width, steps[place], spare, one)
        first = ends[number]
        lost, squares = _lost(finer, one)
        survived[number + 1] = survived[number] - lost
        pale[number] = squares / (lost + 0.005)
        finer, one = one, finer


@compiled
def _lost(finer, coarser):
    total = squares = 0.0
    for x in range(len(finer)):
        gone = np.int32(finer[x]) - np.int32(coarser[x])
        total += gone
        squares += np.float32(gone) * np.float32(gone)
    each = len(finer) * float(_RANKS)
    return total / each, squares / (each * _RANKS)


@compiled
def _widen(image, width, step, spare, into):
    """Grow what is bright by a step to all sides; the border cuts the square off.

    Rows follow one another in memory, so that both axes are one long loop; what a row
    then takes from its neighbours is put right after.
    """
    count = len(image)
    by = step * width
    for x in range(by):
        end = count - 1 - x
        spare[x] = max(image[x], image[x + by])
        spare[end] = max(image[end], image[end - by])
    inner = count - 2 * by
    _largest(image[:inner], image[by:], image[2 * by :], spare[by:])
    inner = count - 2 * step
    _largest(spare[:inner], spare[step:], spare[2 * step :], into[step:])
    for left in range(0, count, width):
        right = left + width - 1
        for x in range(step):
            into[left + x] = max(spare[left + x], spare[left + x + step])
            into[right - x] = max(spare[right - x], spare[right - x - step])


@compiled
def _largest(one, two, three, into):
    for x in range(len(one)):
        largest = one[x]
        if two[x] > largest:
            largest = two[x]
        if three[x] > largest:
            largest = three[x]
        into[x] = largest


@compiled
def _bands(image, width, row):
    """Measure spots and holes between blurs of growing width; spoils the image."""
    finer, coarser = image, np.empty_like(image)
    spare, count = np.empty_like(image), len(image)
    sums = np.empty(4, np.float64)
    for number in range(len(_BLURS)):
        _blur(finer, width, _BLURS[number] // 2, spare, coarser)
        clear(sums)
        for at in range(0, count, width):
            _add_band(finer[at : at + width], coarser[at : at + width], sums)
        _scale_by(sums, 1 / count)
        holes, second, third, fourth = sums
        lean, peak = third / (second**1.5 + 1e-5), fourth / (second**2 + 1e-6)
        row[4 * number] = np.log(second + 1e-5)
        row[4 * number + 1] = min(max(lean, -6.0), 6.0)
        row[4 * number + 2] = min(max(peak, 0.0), 20.0)
        row[4 * number + 3] = holes / (np.sqrt(second) + 0.01)
        finer, coarser = coarser, finer


@compiled
def _add_band(finer, coarser, sums):
    holes = second = third = fourth = np.float32(0)
    for x in range(len(finer)):
        band = finer[x] - coarser[x]
        square = band * band
        holes += max(-band, np.float32(0))
        second += square
        third += square * band
        fourth += square * square
    sums[0] += holes
    sums[1] += second
    sums[2] += third
    sums[3] += fourth


@compiled
def _blur(image, width, radius, spare, into):
    """Average over the square around each pixel, cut off at the border."""
    height = len(image) // width
    for y in range(height):
        first, last = max(y - radius, 0), min(y + radius, height - 1)
        down = spare[y * width : (y + 1) * width]
        clear(down)
        for other in range(first, last + 1):
            _add(image[other * width :], down)
        _scale_by(down, np.float32(1 / (last - first + 1)))
    middle = into[radius : len(image) - radius]
    clear(middle)
    for shift in range(2 * radius + 1):
        _add(spare[shift:], middle)
    _scale_by(middle, np.float32(1 / (2 * radius + 1)))
    for left in range(0, len(image), width):
        right = left + width - 1
        total = end = np.float32(0)
        for x in range(2 * radius):
            total += spare[left + x]
            end += spare[right - x]
            if x >= radius:
                share = np.float32(1 / (x + 1))
                into[left + x - radius] = total * share
                into[right - x + radius] = end * share


@compiled
def _add(more, into):
    for x in range(len(into)):
        into[x] += more[x]


@compiled
def _scale_by(row, factor):
    for x in range(len(row)):
        row[x] *= factor
