"""Plain pictures, PNG, JPEG and BMP: a field of view, or a slide exported small."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mhim.errors import SlideError
from napari_mhim.slide.identity import MIRAX
from napari_mhim.slide.scale import Mpp, checked
from napari_mhim.slide.slide import SlideFile
from napari_mhim.slide.source import MOST_WHOLE_PX, WHITE, NativeLevel, Pixels

if TYPE_CHECKING:
    from PIL.Image import Image

RANK = 30
"""Asked last: a picture has one level, which is decoded whole."""

_MAGICS = {b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG", b"BM": "BMP"}
_TILE = 512
_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")
_ORIENTATION = 274
_UM_PER_INCH = 25_400.0
# what pillow's parsers and decoders raise over damaged headers and pixels
_DAMAGE = (OSError, ValueError, SyntaxError, LookupError, TypeError, MemoryError)


def sniff(head: bytes, path: Path) -> str | None:
    """Say why a file is no plain picture, or None where it is one.

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
    if path.suffix.lower() == MIRAX:
        return "a MIRAX file's picture is only what stands for its folder"
    if _kind(head):
        return None
    return f"it is no {', '.join(_MAGICS.values())} picture"


def open_slide(path: Path, scene: int = 0) -> SlideFile:
    """Open a picture, and decode it.

    Parameters
    ----------
    path : Path
        The file.
    scene : int
        Not used: a picture is one.

    Returns
    -------
    SlideFile
        One level in memory, turned upright where a camera's tag asks for it.

    Raises
    ------
    SlideError
        If it is damaged, too large for memory, or not 8-bit RGB or grey.
    """
    with _opened(path) as image:
        _refuse(image)
        kind = str(image.format)
        icc = bytes(image.info.get("icc_profile") or b"")
        mpp, reason = _scale(image)
        pixels, is_turned = _decoded(image)
    whole = _Whole(path.name, pixels)
    return SlideFile(
        levels=[NativeLevel(pixels.shape[:2], (_TILE, _TILE), whole.tile)],
        close=whole.close,
        mpp=mpp[::-1] if mpp and is_turned else mpp,
        mpp_reason=reason,
        vendor=kind.lower(),
        properties={"picture.format": kind},
        icc=icc,
    )


class _Whole:
    """A picture's pixels, until it is closed."""

    def __init__(self, name: str, pixels: Pixels) -> None:
        self._name = name
        self._pixels: Pixels | None = pixels

    def tile(self, row: int, col: int) -> Pixels:
        """Give one tile of the picture."""
        if (pixels := self._pixels) is None:
            raise SlideError(f"{self._name!r} is closed; open it again")
        y, x = row * _TILE, col * _TILE
        return pixels[y : y + _TILE, x : x + _TILE]

    def close(self) -> None:
        """Let go of the pixels."""
        self._pixels = None


def _kind(head: bytes) -> str:
    return next((kind for magic, kind in _MAGICS.items() if head.startswith(magic)), "")


def _opened(path: Path) -> Any:
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # from half of what is refused on, pillow warns of its own
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(path, formats=tuple(_MAGICS.values()))
    except UnidentifiedImageError as err:
        raise SlideError("its header is damaged; copy it again") from err
    except Image.DecompressionBombError as err:
        raise SlideError(
            f"it has more than {MOST_WHOLE_PX // 1_000_000} million pixels; write it as a "
            "tiled pyramid first"
        ) from err
    except _DAMAGE as err:
        raise SlideError(f"its header is damaged ({err}); copy it again") from err


def _refuse(image: "Image") -> None:
    width, height = image.size
    if width * height > MOST_WHOLE_PX:
        raise SlideError(
            f"it has {width} × {height} pixels and a {image.format} picture is read "
            f"whole, up to {MOST_WHOLE_PX // 1_000_000} million; write it as a tiled "
            "pyramid first"
        )
    if image.mode not in _MODES:
        raise SlideError(
            f"its colours are {image.mode}; a slide here is 8-bit RGB or 8-bit grey"
        )


def _decoded(image: "Image") -> tuple[Pixels, bool]:
    """Give upright pixels, and whether height and width have changed places."""
    from PIL import ImageOps

    try:
        image.load()
        is_turned = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
        return _as_rgb(ImageOps.exif_transpose(image)), is_turned
    except _DAMAGE as err:
        raise SlideError(f"it does not decode ({err}); copy it again") from err


def _as_rgb(image: "Image") -> Pixels:
    from PIL import Image as Images

    if not image.has_transparency_data:
        return np.asarray(image.convert("RGB"))
    rgba = image.convert("RGBA")
    glass = Images.new("RGBA", rgba.size, (WHITE, WHITE, WHITE, 255))
    return np.asarray(Images.alpha_composite(glass, rgba).convert("RGB"))


def _scale(image: "Image") -> tuple[Mpp, str]:
    dpi = image.info.get("dpi")
    if not dpi or not all(float(n) > 0 for n in dpi):
        return None, "the picture gives no dots an inch"
    x, y = (_UM_PER_INCH / float(n) for n in dpi)
    return checked(y, x, "dots an inch")
