"""Small pictures for a page: a patch with what lies around it, and images as text."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mhim.export.source import Source
from napari_mhim.mil.result import hard_instances
from napari_mhim.slide.slide import Slide

AROUND = 2.0
"""Width of the picture, in patches: a patch alone says little."""
CROP_PX = 300
MOST = 6
"""Patches shown at most."""


@dataclass(frozen=True)
class Crop:
    """One hard patch, as the page shows it."""

    number: int
    """Its number in the picture, 1 = weighed most."""
    picture: str
    """A ``data:`` address."""
    reason: str
    """Why it is shown."""


def hard_crops(source: Source) -> list[Crop]:
    """Cut out the hardest patches of a slide.

    Parameters
    ----------
    source : Source
        What is exported.

    Returns
    -------
    list of Crop
        At most ``MOST``; empty where there is no hard patch.

    Raises
    ------
    SlideError
        If the slide's pixels cannot be read.
    """
    result = source.result
    hard = hard_instances(result, source.class_index, min(MOST, source.options.top))
    sides = result.grid.patch_px
    found = []
    for number, (row, reason) in enumerate(
        zip(hard.index, hard.reasons, strict=True), start=1
    ):
        centre = result.grid.corners[row] + sides / 2
        pixels = cut(source.slide, centre, sides * AROUND, CROP_PX)
        if source.excluded is not None and source.excluded[row]:
            reason += " It lies in an excluded area."
        found.append(Crop(number, address(_framed(pixels)), reason))
    return found


def cut(
    slide: Slide, centre: NDArray[np.float64], sides: NDArray[np.float64], px: int
) -> NDArray[np.uint8]:
    """Read a rectangle of a slide at a wanted size.

    Parameters
    ----------
    slide : Slide
        The open slide.
    centre : ndarray, shape (2,)
        (y, x), level-0 px.
    sides : ndarray, shape (2,)
        Height and width, level-0 px.
    px : int
        Width of what comes back.

    Returns
    -------
    ndarray, shape (height, px, 3), uint8
        RGB, white outside the slide.
    """
    from PIL import Image

    scales = [np.array(slide.shape) / level.shape[:2] for level in slide.levels]
    # the coarsest level that still has as many pixels as are wanted
    level = max(
        (i for i, scale in enumerate(scales) if sides[1] / scale[1] >= px), default=0
    )
    height, width = np.maximum(np.rint(sides / scales[level]), 1).astype(int).tolist()
    y, x = centre / scales[level] - (height / 2, width / 2)
    pixels = slide.read_region(round(y), round(x), height, width, level)
    shape = px, max(1, round(px * sides[0] / sides[1]))
    return np.array(Image.fromarray(pixels).resize(shape, Image.Resampling.LANCZOS))


def address(pixels: NDArray[np.uint8], quality: int = 85) -> str:
    """Give an image as a ``data:`` address, so that a page needs no other file."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _framed(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Draw the patch's own edge into a picture of what is around it, in place."""
    height, width = pixels.shape[:2]
    share = (1 - 1 / AROUND) / 2
    top, left = round(height * share), round(width * share)
    for thick, colour in ((3, 255), (1, 0)):
        frame = np.zeros((height, width), bool)
        frame[
            top - thick : height - top + thick, left - thick : width - left + thick
        ] = 1
        frame[
            top + thick : height - top - thick, left + thick : width - left - thick
        ] = 0
        pixels[frame] = colour
    return pixels
