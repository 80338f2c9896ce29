"""The images of an OME-TIFF: each a scene with its levels, planes and scale."""

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_mhim.errors import SlideError
from napari_mhim.slide.formats._tiff_names import beside
from napari_mhim.slide.scale import Mpp, checked, to_number, to_um

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage, TiffPageSeries

_PLANES = {"Z": "focal planes", "T": "times"}
_PIXEL_AXES = "YXS"


@dataclass(frozen=True)
class OmeImage:
    """One image of the file."""

    name: str
    """As the XML has it; may be empty."""
    beside: str
    """What it is where it is not the slide: label, macro, ..."""
    series: "TiffPageSeries"
    """Its pages."""
    xml: ET.Element | None
    """Its element, None where the XML lists another number of images."""


def ome_images(tiff: "TiffFile") -> list[OmeImage]:
    """List the images of an OME-TIFF.

    Parameters
    ----------
    tiff : TiffFile
        Open.

    Returns
    -------
    list of OmeImage
        Empty where the file is no OME-TIFF, or its XML does not fit its pages.
    """
    series = [one for one in tiff.series if one.kind == "ome"] if tiff.is_ome else []
    elements = _root(tiff).findall("{*}Image")
    found = []
    for number, one in enumerate(series):
        xml = elements[number] if len(elements) == len(series) else None
        name = one.name or ("" if xml is None else xml.get("Name", ""))
        found.append(OmeImage(name, beside(name), one, xml))
    return found


def image_levels(tiff: "TiffFile", image: OmeImage) -> tuple[list["TiffPage"], str]:
    """Give the pages of an image's levels, in the middle of what is stacked.

    Parameters
    ----------
    tiff : TiffFile
        The file.
    image : OmeImage
        One of its images.

    Returns
    -------
    levels : list of TiffPage
        The finest first.
    note : str
        Which plane it is, empty where there is but one.

    Raises
    ------
    SlideError
        If channels lie in pages of their own, or pages in another file.
    """
    note, levels = "", []
    for series in image.series.levels:
        stacked = {
            axis: n
            for axis, n in zip(series.axes, series.shape, strict=True)
            if axis not in _PIXEL_AXES
        }
        if others := {k: n for k, n in stacked.items() if k not in _PLANES and n > 1}:
            axis, n = next(iter(others.items()))
            raise SlideError(
                f"it holds {n} pictures along {axis!r}, a stack or separate channels; a "
                "slide has one 8-bit RGB picture"
            )
        lengths = tuple(stacked.values())
        middles = tuple(n // 2 for n in lengths)
        number = int(np.ravel_multi_index(middles, lengths)) if lengths else 0
        page = series.pages[number] if len(series.pages) > number else None
        if page is None or page.parent is not tiff:
            raise SlideError("some of its pages lie in another file; put them together")
        levels.append(page.aspage())
        note = note or _note(stacked)
    return levels, note


def image_scale(image: OmeImage) -> tuple[Mpp, str] | None:
    """Read an image's scale; None where its XML says nothing of it."""
    pixels = None if image.xml is None else image.xml.find("{*}Pixels")
    if pixels is None:
        return None
    y = to_um(pixels.get("PhysicalSizeY"), pixels.get("PhysicalSizeYUnit"))
    x = to_um(pixels.get("PhysicalSizeX"), pixels.get("PhysicalSizeXUnit"))
    return None if y is None and x is None else checked(y, x, "OME-XML")


def objective_power(tiff: "TiffFile") -> float | None:
    """Read the magnification of the first objective that an OME-TIFF names."""
    objective = _root(tiff).find(".//{*}Objective")
    if objective is None:
        return None
    return to_number(objective.get("NominalMagnification"))


def _note(stacked: dict[str, int]) -> str:
    said = [
        f"{n} {_PLANES[axis]}, of which this is number {n // 2 + 1}, the middle one"
        for axis, n in stacked.items()
        if n > 1
    ]
    return f"It holds {' and '.join(said)}." if said else ""


def _root(tiff: "TiffFile") -> ET.Element:
    try:
        return ET.fromstring(tiff.ome_metadata or "<none/>")
    except ET.ParseError:
        return ET.Element("none")
