"""A heatmap as a pyramidal OME-TIFF that lies over the slide: values, or colours.

Pixel (0, 0) begins at the slide's corner and is a whole number of level-0 pixels wide, so
scaling by the downsample alone puts it in its place. Values are NaN where there is no
patch.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mhim.events import Progress
from napari_mhim.export.overlay import cell_of, overlay
from napari_mhim.export.source import Source
from napari_mhim.export.tables import NOTICE, percentiles
from napari_mhim.slide.tiling import PatchGrid
from napari_mhim.workspace import writing

SUFFIX = ".ome.tiff"
ABOUT = "A heatmap that lies over the slide, for QuPath, Fiji or napari."
MOST_PX = {"values": 8192, "colours": 4096}
"""Long side of the first level at most."""
_LAST_PX = 512
_TILE = 256


@dataclass(frozen=True)
class Frame:
    """A smaller slide that the heatmap fills."""

    slide_shape: tuple[int, int]
    """The slide's height and width, level-0 px."""
    downsample: int
    """Level-0 pixels per pixel, a power of two."""

    @property
    def shape(self) -> tuple[int, int]:
        """Give height and width; the last row and column may reach past the slide."""
        height, width = (-(-n // self.downsample) for n in self.slide_shape)
        return height, width

    def levels(self) -> list["Frame"]:
        """Give the frames of the pyramid, this one first, each half of the one before."""
        found = [self]
        while max(found[-1].shape) > _LAST_PX:
            found.append(Frame(self.slide_shape, found[-1].downsample * 2))
        return found


def write(source: Source, path: Path) -> Iterator[Progress]:
    """Write the pyramid; yields how many levels are done."""
    is_colour = source.options.pixels == "colours"
    frames = frame(source).levels()
    with writing(path) as part:
        _write(part, source, frames, is_colour)
    yield Progress(f"OME-TIFF of {source.result.slide}", 1, 1, "files")


def frame(source: Source) -> Frame:
    """Choose the downsample; for values, an edge of a patch is off by an eighth at most.

    Parameters
    ----------
    source : Source
        What is exported.

    Returns
    -------
    Frame
        Coarser only where the file would be larger than ``MOST_PX``.
    """
    result = source.result
    is_colour = source.options.pixels == "colours"
    fine = 1 if is_colour else max(1, int(result.grid.stride_px.min()) // 4)
    most = MOST_PX[source.options.pixels]
    coarse = -(-max(result.slide_shape) // most)
    # the largest power of two within the first, the smallest beyond the second
    power = max(fine.bit_length() - 1, (coarse - 1).bit_length())
    return Frame(result.slide_shape, 1 << power)


def channels(source: Source) -> dict[str, NDArray[np.float32]]:
    """Give what each channel shows, a value for each of N patches.

    Parameters
    ----------
    source : Source
        What is exported.

    Returns
    -------
    dict of str to ndarray, shape (N,), float32
        By the channel's name.
    """
    result = source.result
    teacher = "Teacher's" if result.score_source == "teacher" else "Own"
    found = {
        f"Evidence: {name}": result.contribution[:, index]
        for index, name in enumerate(result.classes)
    }
    for name, weights in zip(result.branches, result.attention, strict=True):
        found[name[:1].upper() + name[1:]] = weights
    found["Attention percentile"] = percentiles(result)
    found[f"{teacher} score"] = result.teacher_scores
    found["Hidden by teacher"] = result.mask.astype(np.float32)
    return found


def _write(part: Path, source: Source, frames: list[Frame], is_colour: bool) -> None:
    import tifffile

    make: Callable[[Source, Frame], Iterator[NDArray[Any]]] = (
        _colour_tiles if is_colour else _value_tiles
    )
    # BioFormats, and so QuPath, finds the pyramid in SubIFDs
    with tifffile.TiffWriter(part, bigtiff=True, ome=True) as tiff:
        for level, one in enumerate(frames):
            tiff.write(
                make(source, one),
                subifds=len(frames) - 1 if level == 0 else None,
                subfiletype=1 if level else 0,
                metadata=_metadata(source, one, is_colour) if level == 0 else None,
                tile=(_TILE, _TILE),
                software="napari-mhim",
                **_form(source, one, is_colour),
                **_resolution(source, one),
            )


def _form(source: Source, one: Frame, is_colour: bool) -> dict[str, Any]:
    if is_colour:
        return {
            "shape": (*one.shape, 3),
            "dtype": np.uint8,
            "photometric": "rgb",
            "compression": "jpeg",
            "compressionargs": {"level": 90},
        }
    return {
        "shape": (len(channels(source)), *one.shape),
        "dtype": np.float32,
        "photometric": "minisblack",
        "compression": "zlib",
    }


def _metadata(source: Source, one: Frame, is_colour: bool) -> dict[str, Any]:
    result = source.result
    drawn = overlay(source)
    what = f"{drawn.title} ({drawn.scale})" if drawn and is_colour else "values"
    about = (
        f"{NOTICE} Model {result.bundle}, {result.bundle_id}: {what}. "
        f"Downsample {one.downsample} of the slide's {result.slide_shape[1]} × "
        f"{result.slide_shape[0]} px, from its corner; a pixel has the value of the "
        "patch that its centre lies in."
    )
    found: dict[str, Any] = {
        "axes": "YXS" if is_colour else "CYX",
        "Name": f"{result.slide}: {NOTICE}",
        "Description": about
        if is_colour
        else f"{about} NaN: no patch. Evidence is N × attention × evidence, "
        f"{result.evidence_kind}.",
    }
    if not is_colour:
        found["Channel"] = {"Name": list(channels(source))}
    if result.slide_mpp is not None:
        for axis, mpp in zip("YX", result.slide_mpp, strict=True):
            found[f"PhysicalSize{axis}"] = mpp * one.downsample
            found[f"PhysicalSize{axis}Unit"] = "µm"
    return found


def _resolution(source: Source, one: Frame) -> dict[str, Any]:
    mpp = source.result.slide_mpp
    if mpp is None:
        return {}
    y, x = (1e4 / (value * one.downsample) for value in mpp)
    return {"resolution": (x, y), "resolutionunit": "CENTIMETER"}


def _value_tiles(source: Source, one: Frame) -> Iterator[NDArray[np.float32]]:
    """Give the tiles of each channel in turn; the whole image is never in memory."""
    for values in channels(source).values():
        raster = source.result.grid.raster(values)
        yield from _tiles(raster, source.result.grid, one)


def _tiles(
    raster: NDArray, grid: PatchGrid, one: Frame
) -> Iterator[NDArray[np.float32]]:
    """Cut a raster on the grid, shape (rows, cols, ...), into tiles of a frame."""
    # a row and a column more: what lies outside the grid is index -1, the last
    edge = [(0, 1), (0, 1), *[(0, 0)] * (raster.ndim - 2)]
    padded = np.pad(raster, edge, constant_values=np.nan)
    rows, columns = cell_of(grid, one.shape, one.downsample)
    for y in range(0, len(rows), _TILE):
        for x in range(0, len(columns), _TILE):
            tile = padded[np.ix_(rows[y : y + _TILE], columns[x : x + _TILE])]
            missing = [(0, _TILE - n) for n in tile.shape[:2]]
            edge = [*missing, *[(0, 0)] * (raster.ndim - 2)]
            yield np.pad(tile, edge, constant_values=np.nan)


def _colour_tiles(source: Source, one: Frame) -> Iterator[NDArray[np.uint8]]:
    """Give the tiles of the overlay upon the slide."""
    pixels = _slide_pixels(source, one)
    drawn = overlay(source)
    grid = source.result.grid
    shape = (*grid.shape, 4)
    colours = np.full(shape, np.nan)
    if drawn is not None:
        colours[grid.cells[:, 0], grid.cells[:, 1]] = drawn.colours()
    tiles = _tiles(colours, grid, one)
    for y in range(0, pixels.shape[0], _TILE):
        for x in range(0, pixels.shape[1], _TILE):
            over = np.nan_to_num(next(tiles))
            under = pixels[y : y + _TILE, x : x + _TILE]
            missing = [(0, _TILE - n) for n in under.shape[:2]]
            under = np.pad(under, (*missing, (0, 0)), mode="edge")
            alpha = over[..., 3:]
            mixed = under * (1 - alpha) + over[..., :3] * 255 * alpha
            yield np.rint(mixed).astype(np.uint8)


def _slide_pixels(source: Source, one: Frame) -> NDArray[np.uint8]:
    """Give the slide at a frame's size, with the notice in a corner, (height, width, 3)."""
    from PIL import Image, ImageDraw, ImageFont

    height, width = one.shape
    small = Image.fromarray(source.slide.thumbnail(max(height, width)))
    # the frame may reach past the slide by less than a pixel: it is not stretched to it
    fit = [max(1, round(n / one.downsample)) for n in source.slide.shape]
    canvas = Image.new("RGB", (width, height), "white")
    canvas.paste(small.resize((min(fit[1], width), min(fit[0], height))), (0, 0))
    font = ImageFont.load_default(max(10, width // 60))
    draw = ImageDraw.Draw(canvas)
    place = (width * 0.01, height * 0.99)
    draw.text(place, NOTICE, "black", font, "ls", stroke_width=2, stroke_fill="white")
    return np.array(canvas)
