"""TIFF pyramids: Aperio SVS, QPTIFF, OME-TIFF, generic ones in tiles or strips."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari_mhim.errors import SlideError
from napari_mhim.slide.formats._tiff_directory import refuse_cut_short
from napari_mhim.slide.formats._tiff_names import page_name, qptiff_field
from napari_mhim.slide.formats._tiff_ome import (
    image_levels,
    image_scale,
    objective_power,
    ome_images,
)
from napari_mhim.slide.formats._tiff_page import PositionedFile, page_level
from napari_mhim.slide.formats._tiff_pages import is_tiff, tiff_pages
from napari_mhim.slide.opening import LeftToOthersError, refuse_scene
from napari_mhim.slide.scale import Mpp, checked, from_resolution, to_number
from napari_mhim.slide.slide import SlideFile
from napari_mhim.slide.source import Pixels, read_whole

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

RANK = 10
"""Asked first: it decodes each tile once, which OpenSlide does not."""

# families whose tiles overlap, or whose levels are hidden: OpenSlide knows them
_LEFT = {
    "is_ndpi": "Hamamatsu NDPI",
    "is_scn": "Leica SCN",
    "is_bif": "Ventana BIF",
    "is_philips": "Philips TIFF",
}
_TRESTLE = "MedScan"
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
    if is_tiff(head):
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
        return _read(path, file, scene)
    except BaseException:
        file.close()
        raise


def _read(path: Path, file: PositionedFile, scene: int) -> SlideFile:
    with tiff_pages(path) as (tiff, pages):
        _refuse_others(tiff)
        view = _ome_view(tiff, pages, scene) or _plain_view(pages)
        main = view.levels[0]
        mpp, reason = view.scale or _scale(main)
        return SlideFile(
            levels=[page_level(page, file) for page in view.levels],
            close=file.close,
            mpp=mpp,
            mpp_reason=reason,
            objective_power=_objective_power(tiff, main),
            vendor=_vendor(tiff),
            properties=_properties(main),
            associated={
                name: partial(_picture, path, number)
                for name, number in view.beside.items()
            },
            icc=bytes(main.tags.valueof(34675, b"") or b""),
            scenes=view.scenes,
            notes=view.notes,
        )


def _refuse_others(tiff: "TiffFile") -> None:
    for flag, family in _LEFT.items():
        if getattr(tiff, flag):
            raise LeftToOthersError(f"{family} is left to OpenSlide")
    if tiff.pages and tiff.pages.first.software.startswith(_TRESTLE):
        raise LeftToOthersError("Trestle is left to OpenSlide")


@dataclass(frozen=True)
class _View:
    """Which pages of a file are the slide's levels, and which lie beside it."""

    levels: list["TiffPage"]
    beside: Mapping[str, int]
    """Number among all pages of each picture beside the slide."""
    scenes: tuple[str, ...] = ("",)
    notes: tuple[str, ...] = ()
    scale: tuple[Mpp, str] | None = None


def _ome_view(tiff: "TiffFile", pages: list["TiffPage"], scene: int) -> _View | None:
    """Take one image of an OME-TIFF; None where the file is none."""
    images = ome_images(tiff)
    scenes = [image for image in images if not image.beside]
    if not scenes:
        return None
    names = tuple(image.name for image in scenes)
    refuse_scene(scene, names)
    levels, note = image_levels(tiff, scenes[scene])
    # converters of old wrote the levels as images of their own, and mark them
    marked = [page for page in pages if page.subfiletype & _REDUCED]
    if len(levels) == 1 and (smaller := _reductions(levels[0], marked)):
        levels, names = [levels[0], *smaller], (names[scene],)
    places = {page.offset: number for number, page in enumerate(pages)}
    beside = {
        image.beside: places[image.series.keyframe.offset]
        for image in images
        if image.beside
    }
    scale = image_scale(scenes[scene])
    return _View(levels, beside, names, (note,) if note else (), scale)


def _plain_view(pages: list["TiffPage"]) -> _View:
    """Take the largest picture and the smaller ones of the same view."""
    unnamed = [page for page in pages if not page_name(page)] or pages
    main = max(unnamed, key=lambda page: page.imagelength * page.imagewidth)
    full = _size(main)
    twins = [page for page in unnamed if _is_plane(page, main)]
    is_aperio = main.description.startswith("Aperio")
    if len(twins) > 1 and not is_aperio:
        raise SlideError(
            f"it holds {len(twins)} pictures of {full[1]} × {full[0]} pixels, a stack or "
            "separate channels; a slide has one 8-bit RGB picture"
        )
    levels = [main, *_reductions(main, pages)]
    notes: tuple[str, ...] = ()
    if len(twins) > 1:
        levels = _middle_planes(levels, pages, len(twins))
        middle = len(twins) // 2 + 1
        notes = (
            f"It holds {len(twins)} focal planes, of which this is number {middle}, the "
            "middle one.",
        )
    return _View(levels, _beside(pages, levels), notes=notes)


def _middle_planes(
    levels: list["TiffPage"], pages: list["TiffPage"], n_planes: int
) -> list["TiffPage"]:
    """Give the middle plane of each level that has them all, and no other level."""
    found = []
    for level in levels:
        planes = [page for page in pages if _is_plane(page, level)]
        if len(planes) == n_planes:
            found.append(planes[n_planes // 2])
    return found


def _reductions(main: "TiffPage", pages: list["TiffPage"]) -> list["TiffPage"]:
    """Give the pages that show less finely what another shows, the finest first."""
    levels: dict[tuple[int, int], TiffPage] = {}
    for page in pages:
        if _is_reduction(page, main):
            levels.setdefault(_size(page), page)
    return [levels[size] for size in sorted(levels, reverse=True)]


def _is_plane(page: "TiffPage", level: "TiffPage") -> bool:
    """Say whether a page is as large as a level and stored as it is, tiled or not."""
    is_alike = _size(page) == _size(level) and page.is_tiled == level.is_tiled
    return is_alike and not page_name(page)


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
    if page_name(page):
        return False
    # one pixel more or less on either side is how scanners round
    return abs(height * wide - width * tall) <= max(tall, wide)


def _scale(main: "TiffPage") -> tuple[Mpp, str]:
    fields = _fields(main.description)
    mpp_y = to_number(fields.get("MPP_Y", fields.get("MPP")))
    mpp_x = to_number(fields.get("MPP_X", fields.get("MPP")))
    if mpp_y is not None or mpp_x is not None:
        return checked(mpp_y, mpp_x, "description")
    x, y = main.tags.valueof(282), main.tags.valueof(283)
    # without a unit it is inches, says the standard
    return from_resolution(x, y, int(main.tags.valueof(296, 2)))


def _objective_power(tiff: "TiffFile", main: "TiffPage") -> float | None:
    if tiff.is_ome:
        return objective_power(tiff)
    said = _fields(main.description).get("AppMag") or qptiff_field(main, "Objective")
    return to_number(said.lower().removesuffix("x"))


def _vendor(tiff: "TiffFile") -> str:
    if tiff.is_svs:
        return "aperio"
    if tiff.is_qpi:
        return "perkinelmer-qptiff"
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


def _fields(description: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in description.split("|"))
    return {key.strip(): value.strip() for key, is_pair, value in pairs if is_pair}


def _beside(pages: list["TiffPage"], levels: list["TiffPage"]) -> dict[str, int]:
    """Name the pictures that are no level, and give their numbers among the pages."""
    found: dict[str, int] = {}
    offsets = {page.offset for page in levels}
    for number, page in enumerate(pages):
        if page.offset in offsets or page.is_mask:
            continue
        name = page_name(page) or f"picture {number}"
        is_aperio = page.description.startswith("Aperio")
        if is_aperio and not page.is_tiled and name.startswith("picture"):
            name = "thumbnail"
        # a tiled picture of a level's size is another focal plane
        is_plane = page.is_tiled and any(_size(page) == _size(one) for one in levels)
        if not is_plane:
            found.setdefault(name, number)
    return found


def _picture(path: Path, number: int) -> Pixels:
    file = PositionedFile(path)
    try:
        with tiff_pages(path) as (_, pages):
            level = page_level(pages[number], file)
        return read_whole(level)
    finally:
        file.close()
