"""DICOM whole-slide images: a folder of instances or any one of them, by OpenSlide."""

import re
from dataclasses import replace
from pathlib import Path

from napari_mhim.errors import SlideError
from napari_mhim.slide.address import url_of
from napari_mhim.slide.formats._dicom_frames import refuse_stray_frames
from napari_mhim.slide.formats._openslide import read_file
from napari_mhim.slide.opening import refuse_scene
from napari_mhim.slide.slide import SlideFile

RANK = 15
"""Asked after TIFF: a DICOM file can begin like one."""

_MARK = slice(128, 132)
# the tag SeriesInstanceUID with its length, as the encapsulated transfer syntaxes of
# slides write it: explicit kinds, the low byte first
_SERIES = re.compile(rb"\x20\x00\x0e\x00UI(..)([0-9.]+)", re.DOTALL)
_HEADER_BYTES = 1 << 16


def sniff(head: bytes, path: Path) -> str | None:
    """Say why a file or folder is no DICOM, or None where it is.

    Parameters
    ----------
    head : bytes
        The file's first bytes; empty for a folder.
    path : Path
        The file, or a folder of them.

    Returns
    -------
    str or None
        The reason.
    """
    if head:
        return None if head[_MARK] == b"DICM" else "it does not begin like a DICOM file"
    if url_of(path) is not None:
        return "it is a web address, and DICOM is read from a disk"
    return None if _series(path) else "the folder holds no DICOM file"


def open_slide(path: Path, scene: int = 0) -> SlideFile:
    """Open a DICOM slide.

    Parameters
    ----------
    path : Path
        A folder, or one instance: the others of its series are found beside it.
    scene : int
        Which of a folder's series, in the order of their first files' names.

    Returns
    -------
    SlideFile
        Holds the files open.

    Raises
    ------
    SlideError
        If OpenSlide refuses it, or there is no such series.
    """
    if path.is_file():
        return _first_that_opens([path], _siblings(path))
    series = _series(path)
    names = tuple(f"series {number + 1}" for number in range(len(series)))
    refuse_scene(scene, names)
    members = list(series.values())[scene]
    file = _first_that_opens(members, members)
    return file if len(names) == 1 else replace(file, scenes=names)


def _first_that_opens(tried: list[Path], series: list[Path]) -> SlideFile:
    """Open a series by one of its instances: some hold no picture of the slide."""
    for member in series:
        refuse_stray_frames(member)
    *others, last = tried
    for member in others:
        try:
            return read_file(member)
        except SlideError:
            continue
    return read_file(last)


def _siblings(path: Path) -> list[Path]:
    """Give the files of an instance's series, which OpenSlide opens with it."""
    return next(
        (members for members in _series(path.parent).values() if path in members),
        [path],
    )


def _series(folder: Path) -> dict[bytes, list[Path]]:
    """Give a folder's DICOM files by the series they belong to, sorted by name."""
    series: dict[bytes, list[Path]] = {}
    try:
        for member in sorted(folder.iterdir()):
            if member.is_file():
                with member.open("rb") as file:
                    head = file.read(_HEADER_BYTES)
                if head[_MARK] == b"DICM":
                    series.setdefault(_series_of(head), []).append(member)
    except OSError as err:
        raise SlideError(f"{folder.name!r} cannot be read: {err.strerror}") from err
    return series


def _series_of(head: bytes) -> bytes:
    match = _SERIES.search(head)
    if match is None:
        return b""
    return match[2][: int.from_bytes(match[1], "little")]
