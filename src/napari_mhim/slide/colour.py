"""Colours as the scanner meant them: from the slide's ICC profile to sRGB."""

import io
from typing import Any

import numpy as np

from napari_mhim.errors import SlideError
from napari_mhim.slide.source import NativeLevel, Pixels


def to_srgb(level: NativeLevel, icc: bytes) -> NativeLevel:
    """Turn the colours of a level's tiles into sRGB as they are decoded.

    Parameters
    ----------
    level : NativeLevel
        A level in the scanner's own colours.
    icc : bytes
        The ICC profile of these.

    Returns
    -------
    NativeLevel
        The same level; absent tiles stay absent.

    Raises
    ------
    SlideError
        If the profile is damaged or not one of RGB.
    """
    from PIL import Image, ImageCms

    transform = _transform(icc)

    def decode(row: int, col: int) -> Pixels | None:
        pixels = level.decode(row, col)
        if pixels is None:
            return None
        image = Image.fromarray(np.ascontiguousarray(pixels))
        return np.array(ImageCms.applyTransform(image, transform))

    return NativeLevel(level.shape, level.tile, decode)


def _transform(icc: bytes) -> Any:
    from PIL import ImageCms

    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        # perceptual: what the makers of scanners give their profiles for
        return ImageCms.buildTransform(
            profile,
            ImageCms.createProfile("sRGB"),
            "RGB",
            "RGB",
            renderingIntent=ImageCms.Intent.PERCEPTUAL,
        )
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError) as err:
        raise SlideError(
            f"its ICC profile cannot be used ({err}); open it in the scanner's colours"
        ) from err
