"""Where the lesions of a phantom are: polygons, pixels and patches."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon2mask

from napari_mhim.errors import SlideError
from napari_mhim.slide.tiling import PatchGrid
from napari_mhim.workspace import writing

KINDS = {"easy": 1, "hard": 2}
"""Number of each kind of lesion in label images and patch labels; 0 is none."""
RASTER_PX = 4
"""Level-0 pixels per pixel of the raster that patches are measured on."""


@dataclass(frozen=True, eq=False)
class PhantomTruth:
    """The lesions of one slide."""

    shape: tuple[int, int]
    """The slide's height and width, level-0 px."""
    mpp: tuple[float, float]
    """Micrometres per pixel, (y, x)."""
    polygons: Mapping[str, Sequence[NDArray[np.float64]]]
    """Outlines by kind, each of shape (V, 2), (y, x), level-0 px from the corner."""
    made_from: Mapping[str, Any] = field(default_factory=dict)
    """The settings the slide was made from; empty when it was not read from a file."""

    def label_image(self, px: int = 1) -> NDArray[np.uint8]:
        """Give the kind of lesion at each pixel.

        Parameters
        ----------
        px : int
            Level-0 pixels per pixel of the image.

        Returns
        -------
        ndarray, shape (ceil(y / px), ceil(x / px)), uint8
            0 none, 1 easy, 2 hard, at the centre of each pixel.
        """
        shape = -(-self.shape[0] // px), -(-self.shape[1] // px)
        image = np.zeros(shape, np.uint8)
        for kind, outlines in self.polygons.items():
            for outline in outlines:
                _fill(image, outline / px - 0.5, KINDS[kind])
        return image

    def patch_shares(self, grid: PatchGrid) -> NDArray[np.float64]:
        """Give the share of each patch that each kind of lesion covers.

        Parameters
        ----------
        grid : PatchGrid
            The slide's patches.

        Returns
        -------
        ndarray, shape (N, 2), float64
            Share that is easy, and that is hard.
        """
        image = self.label_image(RASTER_PX)
        corners = grid.corners / RASTER_PX
        size = grid.patch_px / RASTER_PX
        shares = [
            _box_sums(image == number, corners, size) for number in KINDS.values()
        ]
        covered: NDArray[np.float64] = np.stack(shares, axis=1) / size.prod()
        return covered

    def patch_labels(
        self, grid: PatchGrid, least_share: float = 0.25
    ) -> NDArray[np.int8]:
        """Give the kind of lesion in each patch.

        Parameters
        ----------
        grid : PatchGrid
            The slide's patches.
        least_share : float
            Share of a patch from which a lesion counts.

        Returns
        -------
        ndarray, shape (N,), int8
            0 none, 1 easy, 2 hard; the larger where a patch holds both.
        """
        shares = self.patch_shares(grid)
        kind = (shares.argmax(axis=1) + 1).astype(np.int8)
        return np.where(shares.max(axis=1) >= least_share, kind, np.int8(0))


def _fill(image: NDArray[np.uint8], outline: NDArray, number: int) -> None:
    """Write a number on the pixels whose centre is inside an outline, in place."""
    low = np.maximum(np.floor(outline.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(outline.max(axis=0)).astype(int) + 1, image.shape)
    if np.any(high <= low):
        return
    inside = polygon2mask(tuple(high - low), outline - low)
    image[low[0] : high[0], low[1] : high[1]][inside] = number


def _box_sums(mask: NDArray[np.bool_], corners: NDArray, size: NDArray) -> NDArray:
    """Sum a mask over boxes with fractional corners, shape (N,)."""
    sums = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1))
    sums[1:, 1:] = mask.cumsum(axis=0).cumsum(axis=1)

    def upto(y: NDArray, x: NDArray) -> NDArray:
        y, x = np.clip(y, 0, mask.shape[0]), np.clip(x, 0, mask.shape[1])
        top = np.minimum(y.astype(int), mask.shape[0] - 1)
        left = np.minimum(x.astype(int), mask.shape[1] - 1)
        down, right = y - top, x - left
        above = sums[top, left] * (1 - right) + sums[top, left + 1] * right
        below = sums[top + 1, left] * (1 - right) + sums[top + 1, left + 1] * right
        return np.asarray(above * (1 - down) + below * down)

    (y0, x0), (y1, x1) = corners.T, (corners + size).T
    return np.asarray(upto(y1, x1) - upto(y0, x1) - upto(y1, x0) + upto(y0, x0))


def truth_path(slide_path: str | Path) -> Path:
    """Give where the truth of a slide is written: ``<stem>.truth.json`` beside it."""
    path = Path(slide_path)
    return path.with_name(f"{path.stem}.truth.json")


def write_truth(
    path: str | Path, truth: PhantomTruth, made_from: Mapping[str, Any]
) -> None:
    """Write a truth beside its slide.

    Parameters
    ----------
    path : path
        The slide's path.
    truth : PhantomTruth
        Its lesions.
    made_from : mapping
        The settings the slide was made from, plain values.

    Raises
    ------
    WorkspaceError
        If the folder cannot be written.
    """
    lesions = {
        kind: [np.round(outline, 2).tolist() for outline in outlines]
        for kind, outlines in truth.polygons.items()
    }
    content = {
        "shape_yx_px": truth.shape,
        "mpp_yx": truth.mpp,
        "polygons_yx_px": lesions,
        "made_from": dict(made_from),
    }
    with writing(truth_path(path)) as part:
        part.write_text(json.dumps(content), encoding="utf-8")


def read_truth(path: str | Path) -> PhantomTruth:
    """Read the truth of a phantom.

    Parameters
    ----------
    path : path
        The slide's path, or the truth's own (``*.truth.json``).

    Returns
    -------
    PhantomTruth
        The lesions.

    Raises
    ------
    SlideError
        If there is no truth beside the slide, or it cannot be read.
    """
    path = Path(path)
    file = path if path.name.endswith(".truth.json") else truth_path(path)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        height, width = content["shape_yx_px"]
        mpp_y, mpp_x = content["mpp_yx"]
        polygons = {
            kind: tuple(np.array(outline, float).reshape(-1, 2) for outline in outlines)
            for kind, outlines in content["polygons_yx_px"].items()
            if kind in KINDS
        }
        made_from = dict(content.get("made_from", {}))
    except FileNotFoundError as err:
        raise SlideError(
            f"{path.name!r} has no truth beside it: {file.name!r} is missing; only"
            " phantom slides have one"
        ) from err
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
        raise SlideError(
            f"{file.name!r} is not the truth of a phantom slide; write the slide again"
        ) from err
    return PhantomTruth((height, width), (mpp_y, mpp_x), polygons, made_from)
