"""TIFF pyramids: Aperio SVS, generic tiled or striped ones, OME-TIFF with SubIFDs."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_mhim.errors import SlideError
from napari_mhim.slide.formats._tiff_directory import refuse_cut_short
from napari_mhim.slide.formats._tiff_page import PositionedFile, page_level
from napari_mhim.slide.opening import LeftToOthersError
from napari_mhim.slide.scale import Mpp, checked, from_resolution, to_number, to_um
from napari_mhim.slide.slide import SlideFile
from napari_mhim.slide.source import Pixels

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

RANK = 10
"""Asked first: it decodes each tile once, which OpenSlide does not."""

_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# families whose tiles overlap, or whose levels are hidden: OpenSlide knows them
_LEFT = {
    "is_ndpi": "Hamamatsu NDPI",
    "is_scn": "Leica SCN",
    "is_bif": "Ventana BIF",
    "is_philips": "Philips TIFF",
}
_REDUCED = 1


def sniff(head: bytes, path: Path) -> str | None:
    """Say why a file is no TIFF, or None where it is one.

    Parameters
    ----------
    head : bytes
        The file's first bytes; empty for a folder.
    path : Path
        The file.

    Returns
    -------
    str or None
        The reason.
    """
    if head[:4] in _MAGICS:
        return None
    return "it is a folder" if path.is_dir() else "it does not begin like a TIFF file"


def open_slide(path: Path, scene: int = 0) -> SlideFile:
    """Open a TIFF pyramid.

    Parameters
    ----------
    path : Path
        The file.
    scene : int
        Which of an OME-TIFF's images.

    Returns
    -------
    SlideFile
        Holds the file open.

    Raises
    ------
    SlideError
        If the file is damaged, cut short, left to OpenSlide or no 8-bit colour picture.
    """
    file = PositionedFile(path)
    try:
        refuse_cut_short(file)
        return _read(path, file)
    except BaseException:
        file.close()
        raise


def _read(path: Path, file: PositionedFile) -> SlideFile:
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            _refuse_others(tiff)
            pages = _pages(tiff)
            main, levels = _level_pages(pages)
            natives = [page_level(page, file) for page in levels]
            mpp, reason = _scale(tiff, main)
            return SlideFile(
                levels=natives,
                close=file.close,
                mpp=mpp,
                mpp_reason=reason,
                objective_power=_objective_power(tiff, main),
                vendor=_vendor(tiff),
                properties=_properties(main),
                associated=_associated(path, pages, levels),
                icc=bytes(main.tags.valueof(34675, b"") or b""),
            )
    except SlideError:
        raise
    # a damaged file makes tifffile fail in any of these ways
    except (ValueError, LookupError, TypeError, OSError, AttributeError, RuntimeError,
            ArithmeticError) as err:  # fmt: skip
        raise SlideError(
            f"the TIFF's directory is damaged or cut short: {err}"
        ) from err


def _refuse_others(tiff: "TiffFile") -> None:
    for flag, family in _LEFT.items():
        if getattr(tiff, flag):
            raise LeftToOthersError(f"{family} is left to OpenSlide")


def _pages(tiff: "TiffFile") -> list["TiffPage"]:
    """List the file's pages, each followed by its SubIFDs."""
    tiff.pages.useframes = False
    pages = []
    for page in tiff.pages:
        whole = page.aspage()
        pages.append(whole)
        if whole.subifds:
            pages += [sub.aspage() for sub in whole.pages or ()]
    if not pages:
        raise SlideError("the TIFF holds no picture")
    return pages


def _level_pages(pages: list["TiffPage"]) -> tuple["TiffPage", list["TiffPage"]]:
    """Find the largest picture and the smaller ones of the same view, finest first."""
    main = max(pages, key=lambda page: page.imagelength * page.imagewidth)
    full = (main.imagelength, main.imagewidth)
    twins = sum(_size(page) == full for page in pages)
    if twins > 1 and "Aperio" not in main.description:
        raise SlideError(
            f"it holds {twins} pictures of {full[1]} × {full[0]} pixels, a stack or "
            "separate channels; a slide has one 8-bit RGB picture"
        )
    levels = {full: main}
    for page in pages:
        if _is_reduction(page, main):
            levels.setdefault(_size(page), page)
    return main, [levels[size] for size in sorted(levels, reverse=True)]


def _size(page: "TiffPage") -> tuple[int, int]:
    return page.imagelength, page.imagewidth


def _is_reduction(page: "TiffPage", main: "TiffPage") -> bool:
    (height, width), (tall, wide) = _size(page), _size(main)
    if height > tall or width > wide or (height, width) == (tall, wide):
        return False
    if page.samplesperpixel != main.samplesperpixel or page.dtype != main.dtype:
        return False
    # aperio's thumbnail shows the same view, but in strips, and is no level
    is_marked = page.subfiletype & _REDUCED or page.is_subifd
    if page.is_tiled != main.is_tiled or not (page.is_tiled or is_marked):
        return False
    if _aperio_name(page):
        return False
    # one pixel more or less on either side is how scanners round
    return abs(height * wide - width * tall) <= max(tall, wide)


def _scale(tiff: "TiffFile", main: "TiffPage") -> tuple[Mpp, str]:
    if tiff.is_ome and (pixels := _ome(tiff, "Pixels")) is not None:
        get = pixels.get
        size_y = to_um(get("PhysicalSizeY"), get("PhysicalSizeYUnit"))
        size_x = to_um(get("PhysicalSizeX"), get("PhysicalSizeXUnit"))
        if size_y is not None or size_x is not None:
            return checked(size_y, size_x, "OME-XML")
    fields = _fields(main.description)
    mpp_y = to_number(fields.get("MPP_Y", fields.get("MPP")))
    mpp_x = to_number(fields.get("MPP_X", fields.get("MPP")))
    if mpp_y is not None or mpp_x is not None:
        return checked(mpp_y, mpp_x, "description")
    x, y = main.tags.valueof(282), main.tags.valueof(283)
    # without a unit it is inches, says the standard
    return from_resolution(x, y, int(main.tags.valueof(296, 2)))


def _objective_power(tiff: "TiffFile", main: "TiffPage") -> float | None:
    if tiff.is_ome and (objective := _ome(tiff, "Objective")) is not None:
        return to_number(objective.get("NominalMagnification"))
    return to_number(_fields(main.description).get("AppMag"))


def _vendor(tiff: "TiffFile") -> str:
    if tiff.is_svs:
        return "aperio"
    return "ome-tiff" if tiff.is_ome else "generic-tiff"


def _properties(main: "TiffPage") -> dict[str, str]:
    description = main.description
    # an OME-XML or JSON text is no list of fields; fields can name patient or user,
    # but stay in memory: nothing writes them out unasked
    fields = {} if description.lstrip()[:1] in ("<", "{") else _fields(description)
    return {
        **fields,
        "tiff.compression": getattr(main.compression, "name", str(main.compression)),
        "tiff.photometric": getattr(main.photometric, "name", str(main.photometric)),
    }


def _ome(tiff: "TiffFile", tag: str) -> ET.Element | None:
    try:
        root = ET.fromstring(tiff.ome_metadata or "<none/>")
    except ET.ParseError:
        return None
    return root.find(f".//{{*}}{tag}")


def _fields(description: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in description.split("|"))
    return {key.strip(): value.strip() for key, is_pair, value in pairs if is_pair}


def _aperio_name(page: "TiffPage") -> str:
    """Give ``label`` or ``macro`` where Aperio's description says so, else nothing."""
    match = re.match(r"Aperio[^\n]*\n\s*(label|macro)\b", page.description)
    return match[1] if match else ""


def _associated(
    path: Path, pages: list["TiffPage"], levels: list["TiffPage"]
) -> dict[str, Callable[[], Pixels]]:
    found: dict[str, Callable[[], Pixels]] = {}
    offsets = {page.offset for page in levels}
    for number, page in enumerate(pages):
        if page.offset in offsets or page.is_mask:
            continue
        name = _aperio_name(page) or f"picture {number}"
        is_aperio = page.description.startswith("Aperio")
        if is_aperio and not page.is_tiled and name.startswith("picture"):
            name = "thumbnail"
        # a tiled picture of full size is another focal plane
        if not (page.is_tiled and _size(page) == _size(levels[0])):
            found.setdefault(name, partial(_picture, path, number))
    return found


def _picture(path: Path, number: int) -> Pixels:
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            page = _pages(tiff)[number]
            pixels = np.asarray(page.asarray())
    except (ValueError, LookupError, TypeError, OSError, RuntimeError) as err:
        raise SlideError(f"a picture of {path.name!r} does not decode: {err}") from err
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3):
        raise SlideError(f"a picture of {path.name!r} is not 8-bit: {pixels.dtype}")
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    rgb = pixels[..., :3] if pixels.shape[-1] >= 3 else pixels[..., [0, 0, 0]]
    return np.ascontiguousarray(rgb)
