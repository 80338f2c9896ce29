"""Whether a TIFF's directories are whole: tifffile reads on where a file was cut short."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from napari_mhim.errors import SlideError
from napari_mhim.slide.formats._tiff_page import PositionedFile

_SUBIFDS = 330
_TYPE_BYTES = {
    **dict.fromkeys((1, 2, 6, 7), 1),
    **dict.fromkeys((3, 8), 2),
    **dict.fromkeys((4, 9, 11, 13), 4),
    **dict.fromkeys((5, 10, 12, 16, 17, 18), 8),
}
_MOST_DIRECTORIES = 100_000


@dataclass(frozen=True)
class _Layout:
    """How a TIFF writes its numbers: classic or big, either byte order."""

    order: str
    is_big: bool

    @property
    def offset(self) -> str:
        return self.order + ("Q" if self.is_big else "I")

    @property
    def n_entries(self) -> str:
        return self.order + ("Q" if self.is_big else "H")

    @property
    def entry(self) -> str:
        # code, type, count; the value or its offset follows
        return self.order + ("HHQ" if self.is_big else "HHI")


def refuse_cut_short(file: PositionedFile) -> None:
    """Refuse a TIFF whose directories, or their values, lie past the file's end.

    Parameters
    ----------
    file : PositionedFile
        A file that begins like a TIFF.

    Raises
    ------
    SlideError
        If something is missing.
    """
    head = file.read(0, min(16, file.size))
    order = "<" if head[:2] == b"II" else ">"
    is_big = head[2:4] in (b"+\0", b"\0+")
    if not is_big and file.size >= 1 << 32:
        # only Hamamatsu's files are classic and this large, with offsets of their own
        return
    layout = _Layout(order, is_big)
    first = _number(file, layout.offset, 8 if is_big else 4)
    todo, seen = [first], set[int]()
    while todo:
        place = todo.pop()
        if not place or place in seen or len(seen) >= _MOST_DIRECTORIES:
            continue
        seen.add(place)
        todo += _directory(file, layout, place)


def _directory(file: PositionedFile, layout: _Layout, place: int) -> Iterator[int]:
    """Check one directory, and give the places of those it names."""
    count = _number(file, layout.n_entries, place)
    at = place + struct.calcsize(layout.n_entries)
    width = struct.calcsize(layout.offset)
    entry_bytes = struct.calcsize(layout.entry) + width
    entries = _bytes(file, at, count * entry_bytes)
    for start in range(0, len(entries), entry_bytes):
        code, kind, n = struct.unpack_from(layout.entry, entries, start)
        length = n * _TYPE_BYTES.get(kind, 0)
        value = start + entry_bytes - width
        if length > width:
            (outside,) = struct.unpack_from(layout.offset, entries, value)
            _refuse_outside(file, outside, length)
            values = b"" if code != _SUBIFDS else file.read(outside, length)
        else:
            values = entries[value : value + length]
        if code == _SUBIFDS and _TYPE_BYTES.get(kind, 0) in (4, 8):
            form = f"{layout.order}{n}{'I' if _TYPE_BYTES[kind] == 4 else 'Q'}"
            yield from struct.unpack(form, values)
    yield _number(file, layout.offset, at + len(entries))


def _number(file: PositionedFile, form: str, place: int) -> int:
    (number,) = struct.unpack(form, _bytes(file, place, struct.calcsize(form)))
    return int(number)


def _bytes(file: PositionedFile, place: int, length: int) -> bytes:
    _refuse_outside(file, place, length)
    return file.read(place, length)


def _refuse_outside(file: PositionedFile, place: int, length: int) -> None:
    if place + length > file.size:
        raise SlideError(
            f"the file is cut short: its directory reaches to byte {place + length} "
            f"and it ends at {file.size}; copy it again"
        )
