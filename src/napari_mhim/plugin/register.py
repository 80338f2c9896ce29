"""Where layers lie in the world: level-0 pixels and grid cells, in micrometres.

Half a patch off is the commonest fault of overlays; it is right or wrong here.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_mhim.slide.tiling import PatchGrid


@dataclass(frozen=True)
class Transform:
    """Where a layer's pixel (0, 0) lies in the world, and how far it is to the next."""

    scale: tuple[float, float]
    """World units per pixel of the layer, (y, x)."""
    translate: tuple[float, float]
    """World position of the centre of pixel (0, 0), (y, x)."""
    units: tuple[str, str]
    """Unit of the world, ``("um", "um")``, or pixels where the slide has no mpp."""

    def kwargs(self) -> dict[str, Any]:
        """Give the three as a layer's arguments."""
        return {
            "scale": self.scale,
            "translate": self.translate,
            "units": self.units,
        }


def slide_transform(mpp: tuple[float, float] | None) -> Transform:
    """Place level-0 pixels in the world.

    Parameters
    ----------
    mpp : tuple of float or None
        (y, x) micrometres per level-0 pixel; None makes the world one of pixels.

    Returns
    -------
    Transform
        The centre of level-0 pixel (0, 0) is the world's origin.
    """
    if mpp is None:
        return Transform((1.0, 1.0), (0.0, 0.0), ("pixel", "pixel"))
    return Transform((float(mpp[0]), float(mpp[1])), (0.0, 0.0), ("um", "um"))


def grid_transform(grid: PatchGrid, mpp: tuple[float, float] | None) -> Transform:
    """Place an image with one pixel per grid cell over the slide.

    Parameters
    ----------
    grid : PatchGrid
        Where the patches lie, in level-0 pixels.
    mpp : tuple of float or None
        (y, x) micrometres per level-0 pixel; None makes the world one of pixels.

    Returns
    -------
    Transform
        The centre of each pixel lies on the centre of its patch.
    """
    slide = slide_transform(mpp)
    world = np.asarray(slide.scale)
    # napari puts the centre of pixel 0 at the translation, not its corner
    middle = (grid.origin + (grid.patch_px - 1) / 2) * world
    step = grid.stride_px * world
    return Transform(
        (float(step[0]), float(step[1])),
        (float(middle[0]), float(middle[1])),
        slide.units,
    )


def raster_transform(
    px: tuple[float, float], mpp: tuple[float, float] | None
) -> Transform:
    """Place a coarse picture of the whole slide over it.

    Parameters
    ----------
    px : tuple of float
        (y, x) level-0 pixels that one of its pixels covers.
    mpp : tuple of float or None
        (y, x) micrometres per level-0 pixel; None makes the world one of pixels.

    Returns
    -------
    Transform
        Its corner lies on the slide's corner.
    """
    slide = slide_transform(mpp)
    down, right = (p * s for p, s in zip(px, slide.scale, strict=True))
    y, x = ((p - 1) / 2 * s for p, s in zip(px, slide.scale, strict=True))
    return Transform((down, right), (y, x), slide.units)
