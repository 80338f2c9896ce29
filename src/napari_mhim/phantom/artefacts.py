"""What spoils a slide between knife and camera: folds, regions out of focus, air bubbles.

Each is made as it comes about: a fold lets light through tissue twice, a region out of
focus is the slide under a wide Gaussian, a bubble bends light away at its rim and lays a
veil over what is inside. They are drawn from a generator of their own, so that a slide
without them keeps its pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_mhim.phantom.anatomy import Anatomy, tissue_room
from napari_mhim.phantom.nuclei import Float, Mpp
from napari_mhim.phantom.shapes import Blob, draw_blob

Mask = NDArray[np.bool_]

FOCUS_UM = 3.5
"""Deviation of the Gaussian of what is out of focus, µm."""
RIM_UM = 14.0
"""Width of the dark rim of an air bubble, µm."""
_RIM_LEAVES = 0.3
_VEIL = 0.3
_SOFT_UM = 12.0


@dataclass(frozen=True, eq=False)
class Strip:
    """A bowed strip, as a fold is one; lengths in µm."""

    centre: tuple[float, float]
    """Middle of the strip, (y, x), µm from the slide's upper left corner."""
    length: float
    """From end to end."""
    width: float
    """From side to side."""
    angle: float
    """Direction across it, radians from x towards y."""
    bow: float
    """Radius of the circle it lies on."""

    @property
    def radius(self) -> float:
        """Give how far it reaches from its middle, µm."""
        return self.length / 2

    def depth(self, y: NDArray, x: NDArray) -> Float:
        """Give how far points lie inside, µm, negative outside.

        Parameters
        ----------
        y, x : ndarray, shapes (rows, 1) and (1, cols)
            Where the rows and columns lie, µm.

        Returns
        -------
        ndarray, shape (rows, cols), float32
            Depth.
        """
        middle = (
            self.centre[0] - self.bow * np.sin(self.angle),
            self.centre[1] - self.bow * np.cos(self.angle),
        )
        down, right = y - middle[0], x - middle[1]
        across = np.abs(np.hypot(down, right) - self.bow)
        turn = np.arctan2(down, right) - self.angle
        along = self.bow * np.abs((turn + np.pi) % (2 * np.pi) - np.pi)
        depth = np.minimum(self.width / 2 - across, self.length / 2 - along)
        return np.asarray(depth, np.float32)


Shape = Blob | Strip


def spoil(rgb: NDArray[np.uint8], body: Anatomy) -> dict[str, tuple[Shape, ...]]:
    """Spoil a slide as its settings ask for, in place.

    Parameters
    ----------
    rgb : ndarray, shape (y, x, 3), uint8
        The slide's pixels, changed in place.
    body : Anatomy
        Which artefacts, the seed, and where tissue is; artefacts do not overlap.

    Returns
    -------
    dict of str to tuple of shapes
        ``"fold"``, ``"blur"``, ``"bubble"``: where each lies; empty where none was drawn.
    """
    config = body.config
    drawn: dict[str, tuple[Shape, ...]] = {"fold": (), "blur": (), "bubble": ()}
    if not (config.blur or config.bubble or config.fold):
        return drawn
    rng, room = np.random.default_rng([config.seed, 3]), tissue_room(body)
    extent = min(n * m for n, m in zip(config.shape, config.mpp, strict=True))
    if config.blur:
        centre, radius = room.place(rng.uniform(0.13, 0.18) * extent, rng, margin=15)
        drawn["blur"] = (draw_blob(centre, radius, rng, stretch=1.3),)
    if config.bubble:
        centre, radius = room.place(rng.uniform(0.09, 0.13) * extent, rng, margin=15)
        drawn["bubble"] = (draw_blob(centre, radius, rng, wave=0.04, stretch=1.2),)
    if config.fold:
        centre, radius = room.place(rng.uniform(0.14, 0.18) * extent, rng, margin=10)
        angle, width = rng.uniform(0, 2 * np.pi), rng.uniform(45, 75)
        strip = Strip(centre, 2 * radius, width, angle, rng.uniform(1, 3) * extent)
        drawn["fold"] = (strip,)
    for name, change in (("fold", _double), ("bubble", _lay_bubble), ("blur", _blur)):
        for shape in drawn[name]:
            change(rgb, config.mpp, shape)
    return drawn


def truth_masks(
    shapes: Mapping[str, tuple[Shape, ...]], y: NDArray, x: NDArray
) -> dict[str, Mask]:
    """Give where each artefact lies on a raster.

    Parameters
    ----------
    shapes : mapping of str to tuple of shapes
        As :func:`spoil` gives them.
    y, x : ndarray, shapes (rows, 1) and (1, cols)
        Where the raster's rows and columns lie, µm.

    Returns
    -------
    dict of str to ndarray, shape (rows, cols), bool
        By name.
    """
    masks = {}
    for name, drawn in shapes.items():
        mask = np.zeros((y.shape[0], x.shape[1]), bool)
        for shape in drawn:
            mask |= shape.depth(y, x) > 0
        masks[name] = mask
    return masks


def _box(
    rgb: NDArray[np.uint8], mpp: Mpp, shape: Shape, margin_um: float
) -> tuple[tuple[slice, slice], Float]:
    """Give the part of the slide round a shape, and the shape's depth there."""
    reach = shape.radius * 1.8 + margin_um
    parts, axes = [], []
    for size, step, at in zip(rgb.shape[:2], mpp, shape.centre, strict=True):
        first = max(0, int((at - reach) / step))
        last = min(size, int((at + reach) / step) + 1)
        parts.append(slice(first, last))
        axes.append((np.arange(first, last) + 0.5) * step)
    depth = shape.depth(axes[0][:, None], axes[1][None])
    return (parts[0], parts[1]), depth


def _double(rgb: NDArray[np.uint8], mpp: Mpp, strip: Shape) -> None:
    """Lay the tissue beside a strip on top of it, as a fold does."""
    part, depth = _box(rgb, mpp, strip, 0)
    seen = rgb[part].astype(np.float32)
    glass = np.float32(np.percentile(seen, 99.5))
    aside = tuple(-round(40 / step) for step in mpp)
    twice = seen * np.roll(seen, aside, (0, 1)) / glass
    weight = np.clip(depth / 3 + 0.5, 0, 1)[..., None]
    rgb[part] = np.round(seen + weight * (twice - seen))


def _lay_bubble(rgb: NDArray[np.uint8], mpp: Mpp, blob: Shape) -> None:
    part, depth = _box(rgb, mpp, blob, 2 * RIM_UM)
    seen = rgb[part].astype(np.float32)
    # inside the light is not bent as the coverslip's maker meant it: a veil
    veil = _VEIL * np.clip(depth / 4 + 0.5, 0, 1)[..., None]
    seen += veil * (225 - seen)
    rim = np.exp(-(((depth - RIM_UM / 2) / (RIM_UM / 2)) ** 2))[..., None]
    seen *= 1 - (1 - _RIM_LEAVES) * rim
    rgb[part] = np.round(seen)


def _blur(rgb: NDArray[np.uint8], mpp: Mpp, blob: Shape) -> None:
    part, depth = _box(rgb, mpp, blob, 4 * FOCUS_UM)
    seen = rgb[part].astype(np.float32)
    wide = [FOCUS_UM / step for step in mpp]
    soft = np.stack(
        [ndimage.gaussian_filter(seen[..., i], wide) for i in range(3)], axis=2
    )
    weight = np.clip(depth / _SOFT_UM + 0.5, 0, 1)[..., None]
    rgb[part] = np.round(seen + weight * (soft - seen))
