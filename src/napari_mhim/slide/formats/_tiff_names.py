"""What a page of a TIFF shows beside the slide, as its maker's description says."""

import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tifffile import TiffPage

BESIDE = ("label", "macro", "thumbnail", "overview")
"""How pictures beside a slide are called, in lower case."""

_QPTIFF = {"Thumbnail": "thumbnail", "Overview": "macro", "Label": "label"}


def page_name(page: "TiffPage") -> str:
    """Name the picture beside the slide that a page is.

    Parameters
    ----------
    page : TiffPage
        Of an Aperio file or a QPTIFF.

    Returns
    -------
    str
        ``label``, ``macro`` or ``thumbnail``; empty where the description names none.
    """
    match = re.match(r"Aperio[^\n]*\n\s*(label|macro)\b", page.description)
    if match is not None:
        return match[1]
    return _QPTIFF.get(qptiff_field(page, "ImageType"), "")


def beside(name: str) -> str:
    """Give which of ``BESIDE`` an image is by its name, empty for a slide's own."""
    return next((one for one in BESIDE if name.lower().startswith(one)), "")


def qptiff_field(page: "TiffPage", name: str) -> str:
    """Read a field of the XML that each page of a QPTIFF carries.

    Parameters
    ----------
    page : TiffPage
        The page.
    name : str
        The element's name, below the root.

    Returns
    -------
    str
        Its text; empty where there is none, or the file is no QPTIFF.
    """
    if "PerkinElmer-QPI" not in page.description[:200]:
        return ""
    try:
        # the declaration may name an encoding that text no longer has
        text = re.sub(r"^\s*<\?xml[^>]*\?>", "", page.description)
        return (ET.fromstring(text).findtext(name) or "").strip()
    except ET.ParseError:
        return ""
