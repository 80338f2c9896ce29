"""Whether a MIRAX slide says what can be: OpenSlide takes what memory it asks for."""

import re
import struct
from pathlib import Path

from napari_mhim.errors import SlideError
from napari_mhim.slide.formats._tiff_page import PositionedFile
from napari_mhim.slide.identity import MIRAX, mirax_description

_SAID = re.compile(r"^\s*(\w+)\s*=\s*(\S+)\s*$", re.MULTILINE)
_MOST_SAID_BYTES = 1 << 20
_MOST_COUNT = 100_000
_MOST_PHOTOGRAPHS = 1 << 26
_MOST_SIDE = 1 << 13
_VERSION_BYTES = 5
# before what a page of one record says of it: its length and three words of nothing
_RECORD_AT = 16


def is_mirax(path: Path) -> bool:
    """Say whether a file stands for a folder of MIRAX."""
    return path.suffix.lower() == MIRAX


def refuse_damaged(path: Path) -> None:
    """Refuse a slide whose description asks for more than any scanner writes.

    Parameters
    ----------
    path : Path
        The ``.mrxs`` file.

    Raises
    ------
    SlideError
        If its folder is not there, counts or sizes cannot be, or a record is said to be
        larger than the file it lies in.
    """
    said = _said(path)
    for name in (key for key in said if key.endswith("_COUNT")):
        _refuse_beyond(said, name, 0, _MOST_COUNT)
    across, down = _number(said, "IMAGENUMBER_X"), _number(said, "IMAGENUMBER_Y")
    if not 0 < across * down <= _MOST_PHOTOGRAPHS:
        raise SlideError(f"it is said to be of {across} × {down} photographs")
    for name in ("DIGITIZER_WIDTH", "DIGITIZER_HEIGHT"):
        _refuse_beyond(said, name, 1, _MOST_SIDE)
    _refuse_records(path.with_suffix(""), said)


def _said(path: Path) -> dict[str, str]:
    """Give what the description says; of sizes told level by level, the largest."""
    place = mirax_description(path)
    try:
        if place.stat().st_size > _MOST_SAID_BYTES:
            raise SlideError(f"its Slidedat.ini has more than {_MOST_SAID_BYTES} bytes")
        text = place.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as err:
        raise SlideError(
            f"the folder {path.stem!r} beside it, with Slidedat.ini, cannot be read "
            f"({err.strerror}); copy it along"
        ) from err
    found: dict[str, str] = {}
    for name, value in _SAID.findall(text):
        if name not in found or _as_number(value) > _as_number(found[name]):
            found[name] = value
    return found


def _refuse_beyond(said: dict[str, str], name: str, least: int, most: int) -> None:
    if not least <= (number := _number(said, name)) <= most:
        raise SlideError(
            f"its Slidedat.ini says {name} is {number}, and {least} to {most} can be"
        )


def _number(said: dict[str, str], name: str) -> int:
    if name not in said:
        raise SlideError(f"its Slidedat.ini lacks {name}")
    return _as_number(said[name])


def _as_number(value: str) -> int:
    return int(value) if re.fullmatch(r"[+-]?\d{1,18}", value) else -1


def _refuse_records(folder: Path, said: dict[str, str]) -> None:
    """Refuse records beside the levels, such as the photographs' places, without end."""
    file = PositionedFile(_member(folder, said.get("INDEXFILE", "")))
    try:
        for size, number in _records(file, said):
            data = _member(folder, said.get(f"FILE_{number}", ""))
            if not data.is_file() or not 0 <= size <= data.stat().st_size:
                raise SlideError(f"its index names {size} bytes of file {number}")
    finally:
        file.close()


def _member(folder: Path, name: str) -> Path:
    if not name or any(letter in name for letter in "/\\\0"):
        raise SlideError("its Slidedat.ini names a file that is none of its folder's")
    return folder / name


def _records(file: PositionedFile, said: dict[str, str]) -> list[tuple[int, int]]:
    """Give size and number of the file of each record."""
    count = sum(
        _as_number(value)
        for name, value in said.items()
        if re.fullmatch(r"NONHIER_\d+_COUNT", name)
    )
    if not count:
        return []
    # the second of two roots, after version and name
    table = _word(file, _VERSION_BYTES + len(said.get("SLIDE_ID", "")) + 4)
    found = []
    for number in range(min(count, _MOST_COUNT)):
        page = _word(file, _word(file, table + 4 * number) + 4)
        size, which = struct.unpack("<2i", file.read(page + _RECORD_AT + 4, 8))
        found.append((size, which))
    return found


def _word(file: PositionedFile, at: int) -> int:
    if not 0 <= at <= file.size - 4:
        raise SlideError("its index points past its end; copy it again")
    (value,) = struct.unpack("<i", file.read(at, 4))
    return int(value)
