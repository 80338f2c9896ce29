"""A Zarr's store that looks at a chunk before its codec gives memory to it."""

import struct
from typing import Any

from zarr.storage import WrapperStore

from napari_mhim.slide.formats._coded import coded_size

_ZSTD = b"\x28\xb5\x2f\xfd"
_BLOSC_HEAD = 16
# bytes of a picture's pixel, at most
_BANDS = 4


class CarefulStore(WrapperStore):  # type: ignore[misc]
    """Another store, whose chunks are refused where they say they are too large."""

    most_bytes = 0
    """What a chunk may decode to; grows with the arrays that are opened."""

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        """Give bytes as the other store does.

        Parameters
        ----------
        key : str
            Which file or chunk.
        prototype, byte_range
            As zarr has them.

        Returns
        -------
        zarr buffer, or None
            The bytes; None where there are none.

        Raises
        ------
        ValueError
            If they say that they decode to more than any chunk of the slide.
        """
        found = await super().get(key, prototype, byte_range)
        if found is None or not self.most_bytes:
            return found
        claimed = claimed_bytes(found.to_bytes())
        if claimed > self.most_bytes:
            raise ValueError(f"a chunk says it holds {claimed >> 20} MiB")
        return found


def claimed_bytes(data: bytes) -> int:
    """Read how many bytes a chunk says it decodes to.

    Parameters
    ----------
    data : bytes
        Of JPEG, JPEG 2000, Blosc or Zstandard.

    Returns
    -------
    int
        0 where it does not say.
    """
    if (size := coded_size(data)) is not None:
        return size[0] * size[1] * _BANDS
    if data[:4] == _ZSTD:
        return _zstd(data)
    if len(data) >= _BLOSC_HEAD:
        whole, _, packed = struct.unpack_from("<3I", data, 4)
        # blosc has no mark of its own; its header ends with the chunk's own length
        if packed == len(data) and data[0] in (1, 2):
            return int(whole)
    return 0


def _zstd(data: bytes) -> int:
    if len(data) < 5:
        return 0
    descriptor = data[4]
    is_single = descriptor >> 5 & 1
    at = 5 + (0 if is_single else 1) + (0, 1, 2, 4)[descriptor & 3]
    length = (is_single, 2, 4, 8)[descriptor >> 6]
    # two bytes count from 256 on
    more = 256 if length == 2 else 0
    return int.from_bytes(data[at : at + length], "little") + more
