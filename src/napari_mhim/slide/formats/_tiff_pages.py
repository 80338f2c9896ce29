"""The pages of a TIFF, listed with care: what a damaged directory says is not believed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from napari_mhim.errors import SlideError
from napari_mhim.slide.formats._tiff_directory import refuse_cut_short
from napari_mhim.slide.formats._tiff_page import PositionedFile, refuse_truncated
from napari_mhim.slide.source import MOST_WHOLE_PX

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# a tile of so many pixels is no scanner's; OpenSlide takes memory for what a file says,
# and takes the whole program along where there is none
_MOST_TILE_PX = 1 << 26


def is_tiff(head: bytes) -> bool:
    """Say whether a file begins like a TIFF."""
    return head[:4] in _MAGICS


@contextmanager
def tiff_pages(path: Path) -> Iterator[tuple["TiffFile", list["TiffPage"]]]:
    """Open a TIFF and list its pages, each followed by its SubIFDs.

    Parameters
    ----------
    path : Path
        The file.

    Yields
    ------
    TiffFile, list of TiffPage
        Open within the block.

    Raises
    ------
    SlideError
        If the directory is damaged, also where that shows within the block.
    """
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            yield tiff, _pages(tiff)
    except SlideError:
        raise
    # a damaged file makes tifffile fail in any of these ways
    except (ValueError, LookupError, TypeError, OSError, AttributeError, RuntimeError,
            ArithmeticError, MemoryError) as err:  # fmt: skip
        raise SlideError(
            f"the TIFF's directory is damaged or cut short: {err}"
        ) from err


def refuse_damaged(path: Path) -> None:
    """Refuse a TIFF that says what cannot be, before OpenSlide believes it.

    Parameters
    ----------
    path : Path
        A file that begins like a TIFF.

    Raises
    ------
    SlideError
        If a directory, a tile or a strip lies past the file's end, or is said to be of a
        size that no scanner writes.
    """
    file = PositionedFile(path)
    try:
        refuse_cut_short(file)
        with tiff_pages(path) as (tiff, pages):
            for page in pages:
                # hamamatsu's levels are one strip each, which is never decoded whole
                if not tiff.is_ndpi:
                    _refuse_sizes(page)
                    refuse_truncated(page, file)
    finally:
        file.close()


def _refuse_sizes(page: "TiffPage") -> None:
    if page.is_tiled:
        most, height, width = _MOST_TILE_PX, page.tilelength, page.tilewidth
    else:
        most, height, width = MOST_WHOLE_PX, page.imagelength, page.imagewidth
    # each of four bytes at most
    if not 0 < height * width * max(page.samplesperpixel, 1) <= 4 * most:
        what = "tiles" if page.is_tiled else "a picture"
        raise SlideError(f"it is said to hold {what} of {width} × {height} pixels")


def _pages(tiff: "TiffFile") -> list["TiffPage"]:
    tiff.pages.useframes = False
    pages = []
    for page in tiff.pages:
        whole = page.aspage()
        pages.append(whole)
        if whole.subifds:
            pages += [sub.aspage() for sub in whole.pages or ()]
    if not pages:
        raise SlideError("the TIFF holds no picture")
    for page in pages:
        sizes = (page.imagelength, page.imagewidth, page.rowsperstrip)
        # a damaged count makes a list of one of them
        if not all(
            isinstance(n, int) for n in (*sizes, page.tilelength, page.tilewidth)
        ):
            raise SlideError("one of the sizes in the TIFF's directory is no number")
    return pages
