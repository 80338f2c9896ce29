"""The texture encoder on the CPU: each patch goes through the cache once, compiled.

The same numbers as :func:`napari_mhim.features.encoders.texture.measure`, which says what
they mean; torch's many steps over whole planes cost ten times what these loops do.
"""

import numpy as np
from numpy.typing import NDArray

from napari_mhim._compiled import clear, compiled
from napari_mhim.features.encoders._texture_nuclei import measure_nuclei

_SHARES_FROM, _SHARES_TO, _SHARES_STEP = -0.5, 1.5, 1 / 2048
_SCALES = 5


class Tables:
    """What the kernel looks up.

    Parameters
    ----------
    unmix : sequence of sequence of float
        (3, 3), stain by channel: from optical density of R, G, B to that of a stain.
    levels : sequence of float
        Densities above which shares are measured.
    softness : float
        Width of the steps there.
    growth : sequence of (int, ...)
        The steps by which the square of each opening grows, the narrowest first; each
        square's radius is the sum of its steps.
    """

    def __init__(
        self,
        unmix: list[list[float]],
        levels: tuple[float, ...],
        softness: float,
        growth: tuple[tuple[int, ...], ...],
    ) -> None:
        density = -np.log10((np.arange(256) + 1) / 256)
        # (stain, channel, byte): what a byte of a channel adds to a stain
        each = np.asarray(unmix)[:, :, None] * density
        self.stains = each.astype(np.float32)
        bins = np.arange(_SHARES_FROM, _SHARES_TO + _SHARES_STEP, _SHARES_STEP)
        from_level = (bins - np.asarray(levels)[:, None]) / softness
        self.shares = 1 / (1 + np.exp(-from_level))  # (levels, bins)
        self.steps, self.ends, self.shrink = _growth(growth)


def _growth(
    growth: tuple[tuple[int, ...], ...],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Give all steps in a row, where each opening's end, and those from one to the next."""
    radii = [sum(steps) for steps in growth]
    between = [b - a for a, b in zip([0, *radii], radii, strict=False)]
    return (
        np.asarray([step for steps in growth for step in steps]),
        np.cumsum([len(steps) for steps in growth]),
        np.asarray(between),
    )


def measured(
    patches: NDArray[np.uint8], tables: Tables, dim: int
) -> NDArray[np.float32]:
    """Measure patches, before shift and scale.

    Parameters
    ----------
    patches : ndarray, shape (B, H, W, 3), uint8
        RGB.
    tables : Tables
        What is looked up.
    dim : int
        How many numbers a patch has.

    Returns
    -------
    ndarray, shape (B, dim), float32
        The numbers.
    """
    count, height, width, _ = patches.shape
    out = np.empty((count, dim), np.float32)
    blue = np.empty((count, height // 2, width // 2), np.float32)
    patches = np.ascontiguousarray(patches)
    after = _measure_colour(patches, tables.stains, tables.shares, blue, out)
    measure_nuclei(blue, tables.steps, tables.ends, tables.shrink, out[:, after:])
    return out


@compiled
def _measure_colour(patches, stains, shares, blue, out):
    """Fill the first numbers of each row; give how many, and haematoxylin's half."""
    height, width = patches.shape[1:3]
    half = np.empty((2, height // 2, width // 2), np.float32)
    coarser = np.empty((2, height // 4, width // 4), np.float32)
    # the last three are what the others are taken about
    moments = np.empty(13, np.float64)
    energy = np.empty((2, 3), np.float64)
    at = 10 + 2 * len(shares)
    for number in range(len(patches)):
        row = out[number]
        _stains_and_finest(patches[number], stains, half, moments, energy)
        _colour(moments, height * width, half, shares, row)
        _scale(energy, (height // 2) * (width // 2), row, at)
        for level in range(1, _SCALES):
            h, w = height >> level, width >> level
            fine = half if level == 1 else coarser
            for stain in range(2):
                _haar(fine[stain, :h, :w], coarser[stain], energy[stain])
            _scale(energy, (h // 2) * (w // 2), row, at + 6 * level)
        blue[number] = half[0]
    return at + 6 * _SCALES


@compiled
def _stains_and_finest(patch, stains, half, moments, energy):
    """Unmix a patch two rows at a time: its moments, its finest edges, its half."""
    height, width = patch.shape[:2]
    rows = np.empty((2, 3, width), np.float32)
    centre = moments[10:]
    clear(moments)
    for stain in range(2):
        clear(energy[stain])
    for y in range(0, height, 2):
        tall = min(2, height - y)
        for i in range(tall):
            _unmix(patch[y + i], stains, rows[i])
            if y + i == 0:
                _centre(rows[0], centre)
            _add_moments(rows[i], centre, moments)
        if tall == 2:
            for stain in range(2):
                upper, lower = rows[0, stain], rows[1, stain]
                _add_edges(upper, lower, half[stain, y // 2], energy[stain])


@compiled
def _unmix(pixels, stains, into):
    for x in range(len(pixels)):
        red, green, blue = pixels[x, 0], pixels[x, 1], pixels[x, 2]
        for stain in range(3):
            into[stain, x] = (
                stains[stain, 0, red] + stains[stain, 1, green] + stains[stain, 2, blue]
            )


@compiled
def _centre(row, centre):
    """Give the means of a row: moments about them lose no digits."""
    for stain in range(3):
        total = np.float32(0)
        for x in range(row.shape[1]):
            total += row[stain, x]
        centre[stain] = np.float32(total / row.shape[1])


@compiled
def _add_moments(row, centre, moments):
    width = row.shape[1]
    for stain in range(3):
        middle = np.float32(centre[stain])
        first = second = third = np.float32(0)
        for x in range(width):
            value = row[stain, x] - middle
            first += value
            second += value * value
            third += value * value * value
        moments[stain] += first
        moments[3 + stain] += second
        moments[6 + stain] += third
    blue, pink = np.float32(centre[0]), np.float32(centre[1])
    both = np.float32(0)
    for x in range(width):
        both += (row[0, x] - blue) * (row[1, x] - pink)
    moments[9] += both


@compiled
def _add_edges(upper, lower, low, energy):
    """Add one row of 2 by 2 pixels: energy of edges and corners, and the edges' height."""
    edges = corners = heights = np.float32(0)
    for x in range(len(low)):
        a, b = upper[2 * x], upper[2 * x + 1]
        c, d = lower[2 * x], lower[2 * x + 1]
        up, down, left, right = a + b, c + d, a - b, c - d
        edge = (up - down) * (up - down) + (left + right) * (left + right)
        edges += edge
        heights += np.sqrt(edge)
        corners += (left - right) * (left - right)
        low[x] = (up + down) * np.float32(0.25)
    energy[0] += edges
    energy[1] += corners
    energy[2] += heights


@compiled
def _haar(fine, coarse, energy):
    """Go one scale down; ``coarse`` may be the memory of ``fine``."""
    height, width = fine.shape[0] // 2, fine.shape[1] // 2
    clear(energy)
    for y in range(height):
        _add_edges(fine[2 * y], fine[2 * y + 1], coarse[y, :width], energy)


@compiled
def _scale(energy, count, row, at):
    for stain in range(2):
        edges, corners = energy[stain, 0] / count, energy[stain, 1] / count
        heights = energy[stain, 2] / count
        row[at + stain] = np.log(edges + 1e-4)
        row[at + 2 + stain] = np.log(corners + 1e-4)
        row[at + 4 + stain] = heights * heights / (edges + 1e-6)


@compiled
def _colour(moments, count, half, shares, row):
    spread = np.empty(3, np.float64)
    for stain in range(3):
        mean = moments[stain] / count
        second, third = moments[3 + stain] / count, moments[6 + stain] / count
        spread[stain] = np.sqrt(max(second - mean * mean, 0.0))
        skew = third - 3 * mean * second + 2 * mean**3
        row[stain] = moments[10 + stain] + mean
        row[3 + stain] = spread[stain]
        row[6 + stain] = min(max(skew / (spread[stain] ** 3 + 1e-4), -8.0), 8.0)
    levels, bins = shares.shape
    counts = np.empty(bins, np.float64)
    for stain in range(2):
        clear(counts)
        for y in range(half.shape[1]):
            _count(half[stain, y], counts)
        for level in range(levels):
            share = 0.0
            for place in range(bins):
                share += counts[place] * shares[level, place]
            row[9 + 2 * level + stain] = share / half[stain].size
    both = moments[9] / count - moments[0] * moments[1] / count**2
    row[9 + 2 * levels] = both / (spread[0] * spread[1] + 1e-3)


@compiled
def _count(pixels, counts):
    """Share each pixel out between the two bins it lies between."""
    last = np.float32(len(counts) - 1.001)
    start, per_step = np.float32(_SHARES_FROM), np.float32(1 / _SHARES_STEP)
    for x in range(len(pixels)):
        place = min(max((pixels[x] - start) * per_step, np.float32(0)), last)
        low = np.uint32(place)
        part = place - np.float32(low)
        counts[low] += 1 - part
        counts[low + 1] += part
