"""What OpenSlide alone reads: NDPI, MRXS, SCN, BIF, Philips, Trestle, Sakura."""

from pathlib import Path

from napari_mhim.errors import SlideError
from napari_mhim.slide.address import url_of
from napari_mhim.slide.formats import _mirax
from napari_mhim.slide.formats._openslide import read_file, said
from napari_mhim.slide.formats._tiff_pages import is_tiff, refuse_damaged
from napari_mhim.slide.slide import SlideFile

RANK = 20
"""Asked after the readers that decode a file's tiles themselves."""


def sniff(head: bytes, path: Path) -> str | None:
    """Say why OpenSlide cannot open a file, or None where it may.

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
    if not head:
        return f"it is a{' web address' if url_of(path) else ' folder'}"
    import openslide

    try:
        if is_tiff(head):
            refuse_damaged(path)
        elif _mirax.is_mirax(path):
            _mirax.refuse_damaged(path)
    except SlideError as err:
        return str(err)
    try:
        vendor = openslide.OpenSlide.detect_format(path)
    except openslide.OpenSlideError as err:
        return said(err, path)
    return None if vendor else "OpenSlide knows no such format"


def open_slide(path: Path, scene: int = 0) -> SlideFile:
    """Open a slide by OpenSlide.

    Parameters
    ----------
    path : Path
        The file.
    scene : int
        Not used: where a file has several areas, OpenSlide lays them on one plane.

    Returns
    -------
    SlideFile
        Holds the file open.

    Raises
    ------
    SlideError
        If OpenSlide refuses it.
    """
    return read_file(path)
