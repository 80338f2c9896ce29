"""Whether a DICOM file's frames lie where it says: libdicom follows it anywhere."""

import re
import struct
from pathlib import Path

from napari_mhim.errors import SlideError
from napari_mhim.slide.formats._tiff_page import PositionedFile

# the pixels' tag and length; where that is not defined, items follow
_PIXELS = re.compile(rb"\xe0\x7f\x10\x00O[BW]\0\0(....)", re.DOTALL)
_TAG_BYTES, _UNDEFINED = 12, 0xFFFFFFFF
_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_HEAD = 8
_BLOCK = 1 << 20


def refuse_stray_frames(path: Path) -> None:
    """Refuse a file whose frames, or the table of them, point past its end.

    Parameters
    ----------
    path : Path
        A DICOM file.

    Raises
    ------
    SlideError
        If its frames do not follow one another up to an end, or the table of where they
        begin names other places.
    """
    file = PositionedFile(path)
    try:
        found = _pixels_at(file)
        if found is None:
            return
        start, length = found
        if length == _UNDEFINED:
            _check(file, start)
        elif start + length > file.size:
            raise SlideError("it is cut short within its pixels; copy it again")
    finally:
        file.close()


def _pixels_at(file: PositionedFile) -> tuple[int, int] | None:
    """Give where the pixels begin and how long they are; None where there are none."""
    for at in range(0, file.size, _BLOCK):
        # a tag may lie across two blocks
        block = file.read(at, min(_BLOCK + _TAG_BYTES - 1, file.size - at))
        if (match := _PIXELS.search(block)) is not None:
            return at + match.end(), int.from_bytes(match[1], "little")
    return None


def _check(file: PositionedFile, start: int) -> None:
    table_bytes = _item_length(file, start)
    if table_bytes is None or table_bytes % 4:
        raise SlideError("its table of frames is damaged; copy it again")
    frames = start + _HEAD + table_bytes
    # where each item begins, counted from the first after the table, as the table does
    begins = set()
    at = frames
    while (length := _item_length(file, at)) is not None:
        begins.add(at - frames)
        at += _HEAD + length
    table = file.read(start + _HEAD, table_bytes)
    said = struct.unpack(f"<{table_bytes // 4}I", table)
    if not begins.issuperset(said):
        raise SlideError(
            "its table of frames names places where none is; copy it again"
        )


def _item_length(file: PositionedFile, at: int) -> int | None:
    """Give the length of the item at a place, None at the items' end."""
    if at + _HEAD > file.size:
        raise SlideError("it is cut short within its frames; copy it again")
    head = file.read(at, _HEAD)
    (length,) = struct.unpack("<I", head[4:])
    if head[:4] == _END:
        return None
    if head[:4] != _ITEM or at + _HEAD + length > file.size:
        raise SlideError(
            f"one of its frames is damaged or cut short, at byte {at}; copy it again"
        )
    return int(length)
