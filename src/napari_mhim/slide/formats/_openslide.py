"""A file that OpenSlide reads, as levels: for the formats that are left to it."""

import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_mhim.errors import SlideError
from napari_mhim.slide.scale import checked, to_number
from napari_mhim.slide.slide import SlideFile
from napari_mhim.slide.source import WHITE, DamagedTileError, NativeLevel, Pixels

Box = tuple[int, int, int, int]
"""y, x, height, width in level-0 pixels."""

# OpenSlide puts a region together from the file's tiles: small ones cost a call each
_LEAST_TILE = 512
_MOST_TILE = 2048
_MOST_AREAS = 1000


def read_file(path: Path) -> SlideFile:
    """Open a slide by OpenSlide.

    Parameters
    ----------
    path : Path
        The file; of a DICOM series any instance.

    Returns
    -------
    SlideFile
        Holds the file open.

    Raises
    ------
    SlideError
        If OpenSlide refuses it, or its end is missing.
    """
    import openslide

    handle = _Handle(path)
    try:
        file = _read(handle)
        _refuse_cut_short(file)
        return file
    except (openslide.OpenSlideError, KeyError) as err:
        # a spoilt handle answers questions after its properties with a KeyError
        handle.close()
        raise SlideError(said(err, path)) from err
    except BaseException:
        handle.close()
        raise


def said(err: Exception, path: Path) -> str:
    """Give OpenSlide's reason, without the folder: that can be named after a patient."""
    text = " ".join(str(err).replace(str(path), path.name).split())
    text = text.replace(f"{path.parent}{os.sep}", "")
    return f"OpenSlide cannot read it ({text})"


class _Handle:
    """An OpenSlide handle that is opened anew after an error has spoilt it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._is_closed = False
        self._slide = self._opened()

    @property
    def slide(self) -> Any:
        """Give the handle."""
        return self._slide

    def ask(self, question: Callable[[Any], Any]) -> Any:
        """Ask the handle something; an error is a SlideError and costs the handle."""
        import openslide

        slide = self._slide
        if self._is_closed:
            raise SlideError(f"{self.path.name!r} is closed; open it again")
        try:
            return question(slide)
        except openslide.OpenSlideError as err:
            # the first error stays with a handle for good: every later read fails too
            self._replace(slide)
            raise DamagedTileError(said(err, self.path)) from err
        except KeyError as err:
            # what openslide-python says of a picture whose size cannot be read
            self._replace(slide)
            raise DamagedTileError(
                f"OpenSlide lists a picture in {self.path.name!r} and finds none"
            ) from err

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._is_closed = True
            self._slide.close()

    def _replace(self, spoilt: Any) -> None:
        # the spoilt one is left to the garbage collector: a thread may be inside it
        with self._lock:
            if self._slide is spoilt and not self._is_closed:
                self._slide = self._opened()

    def _opened(self) -> Any:
        import openslide

        try:
            return openslide.OpenSlide(self.path)
        except openslide.OpenSlideError as err:
            raise SlideError(said(err, self.path)) from err


def _read(handle: _Handle) -> SlideFile:
    properties = {str(k): str(v) for k, v in handle.slide.properties.items()}
    mpp, reason = checked(
        to_number(properties.get("openslide.mpp-y")),
        to_number(properties.get("openslide.mpp-x")),
        "OpenSlide properties",
    )
    names = tuple(handle.slide.associated_images)
    areas = _areas(properties, handle.slide.dimensions)
    count = handle.slide.level_count
    return SlideFile(
        levels=[_level(handle, level, areas) for level in range(count)],
        close=handle.close,
        mpp=mpp,
        mpp_reason=reason,
        objective_power=to_number(properties.get("openslide.objective-power")),
        vendor=properties.get("openslide.vendor", ""),
        properties=properties,
        icc=_icc(handle.slide),
        bounds=_box(properties, "openslide.bounds-", handle.slide.dimensions),
        notes=_notes(areas),
        associated={name: partial(_picture, handle, name) for name in names},
    )


def _notes(areas: list[Box]) -> list[str]:
    if len(areas) < 2:
        return []
    return [f"{len(areas)} areas were scanned; they lie side by side, as on the glass."]


def _areas(properties: dict[str, str], size: tuple[int, int]) -> list[Box]:
    """Give what was scanned: areas apart, or what bounds them; empty for all of it."""
    found = []
    for number in range(_MOST_AREAS):
        prefix = f"openslide.region[{number}]."
        if f"{prefix}x" not in properties:
            break
        if (box := _box(properties, prefix, size)) is not None:
            found.append(box)
    whole = _box(properties, "openslide.bounds-", size)
    return found or ([] if whole is None else [whole])


def _icc(slide: Any) -> bytes:
    import openslide
    from PIL import ImageCms

    try:
        profile = slide.color_profile
    # a damaged profile costs the colours' turn, not the slide
    except (openslide.OpenSlideError, ImageCms.PyCMSError):
        return b""
    return b"" if profile is None else bytes(profile.tobytes())


def _box(properties: dict[str, str], prefix: str, size: tuple[int, int]) -> Box | None:
    """Read y, x, height, width, cut at the frame; None where the file does not say."""
    said = [
        to_number(properties.get(f"{prefix}{side}"))
        for side in ("y", "x", "height", "width")
    ]
    y, x, height, width = (0 if n is None else round(n) for n in said)
    y, x = max(y, 0), max(x, 0)
    height, width = min(height, size[1] - y), min(width, size[0] - x)
    return (y, x, height, width) if height > 0 and width > 0 else None


def _refuse_cut_short(file: SlideFile) -> None:
    # OpenSlide opens a file whose end is missing, and fails when it comes to it
    for level in file.levels:
        rows, cols = (-(-n // t) for n, t in zip(level.shape, level.tile, strict=True))
        try:
            level.decode(rows - 1, cols - 1)
        except DamagedTileError as err:
            raise SlideError(
                f"its last tiles cannot be read, as of a file cut short: {err}; "
                "copy it again"
            ) from err


def _level(handle: _Handle, level: int, areas: list[Box]) -> NativeLevel:
    width, height = handle.slide.level_dimensions[level]
    get = handle.slide.properties.get
    tile_y, tile_x = (
        _tile_length(get(f"openslide.level[{level}].tile-{side}"))
        for side in ("height", "width")
    )
    downsample = handle.slide.level_downsamples[level]

    def decode(row: int, col: int) -> Pixels | None:
        y, x = row * tile_y, col * tile_x
        size = (min(tile_x, width - x), min(tile_y, height - y))
        # the corner is asked for in level-0 pixels, whatever the level
        corner = (round(x * downsample), round(y * downsample))
        rgba = handle.ask(lambda slide: slide.read_region(corner, level, size))
        pixels = _over_glass(np.asarray(rgba))
        if pixels is None and not _is_scanned(areas, corner, size, downsample):
            # glass that no scanner looked at is no loss
            return np.full((size[1], size[0], 3), WHITE, np.uint8)
        return pixels

    return NativeLevel((height, width), (tile_y, tile_x), decode)


def _is_scanned(
    areas: list[Box], corner: tuple[int, int], size: tuple[int, int], downsample: float
) -> bool:
    """Say whether a tile, its corner (x, y) on level 0, touches what was scanned."""
    left, top = corner
    right, below = left + size[0] * downsample, top + size[1] * downsample
    return not areas or any(
        top < y + height and below > y and left < x + width and right > x
        for y, x, height, width in areas
    )


def _tile_length(said: str | None) -> int:
    tile = int(to_number(said) or _LEAST_TILE)
    if not 0 < tile <= _MOST_TILE:
        return _LEAST_TILE
    return -(-_LEAST_TILE // tile) * tile


def _over_glass(rgba: Pixels) -> Pixels | None:
    """Lay pixels over white; None where the scanner saw nothing of them."""
    alpha = rgba[..., 3]
    if alpha.all() and alpha.min() == 255:
        return np.ascontiguousarray(rgba[..., :3])
    if not alpha.any():
        return None
    share = alpha[..., None].astype(np.float32) / 255
    mixed = rgba[..., :3] * share + WHITE * (1 - share)
    return np.rint(mixed).astype(np.uint8)


def _picture(handle: _Handle, name: str) -> Pixels:
    rgba = handle.ask(lambda slide: slide.associated_images[name])
    pixels = np.asarray(rgba.convert("RGBA"))
    over_glass = _over_glass(pixels)
    return np.full_like(pixels[..., :3], WHITE) if over_glass is None else over_glass
