"""How large a compressed tile says it is: looked at before memory is given to it."""

import struct

_START = b"\xff\xd8"
# frame headers of JPEG, baseline to arithmetic; 0xc4, 0xc8 and 0xcc are none
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_ALONE = {0x01, *range(0xD0, 0xD8)}
_JP2_SIZES = b"\xff\x4f\xff\x51"
_JP2_WITHIN = 200


def coded_size(data: bytes) -> tuple[int, int] | None:
    """Read height and width from the header of a JPEG or JPEG 2000.

    Parameters
    ----------
    data : bytes
        A compressed tile.

    Returns
    -------
    tuple of int, or None
        (height, width) in pixels; None where it is neither, or names no size.
    """
    if data[:2] == _START:
        return _jpeg_size(data)
    at = data.find(_JP2_SIZES, 0, _JP2_WITHIN)
    if at < 0 or len(data) < at + 24:
        return None
    # after the marker, its length and capabilities: the grid, and the corner on it
    right, below, left, top = struct.unpack_from(">4I", data, at + 8)
    return max(below - top, 0), max(right - left, 0)


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker in _FRAMES:
            height, width = struct.unpack_from(">2H", data, at + 5)
            return height, width
        if marker == 0xFF:
            at += 1
        elif marker in _ALONE:
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
