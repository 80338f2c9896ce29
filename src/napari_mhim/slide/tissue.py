"""Where a slide holds tissue: glass, pen, black borders and lost regions left out.

1. look at the slide at a low level, and decide whether it is stained tissue on bright
   glass or glows on a dark ground;
2. bright: optical density against the slide's own glass; what absorbs is tissue, unless
   its colour is a pen's or it is black;
3. dark: what glows above the ground's noise;
4. close gaps, fill small holes, drop specks.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mhim.errors import ConfigError
from napari_mhim.slide.slide import Slide

Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]

# what the scanner did not see is written as black, and jpeg leaves it nearly so
_BLACK = 24
# on a fluorescence slide most of the picture is darker than this, and the rest no glass
_DARK, _GLASS = 70, 110
# glass is grey: a brightest colour with more chroma than this is tissue from edge to edge
_GLASS_CHROMA = 0.12
_PLAIN_GLASS = 240.0
# blurred rim of a pen's stroke, as a share of the picture's long side
_RIM_SHARE = 0.004
# how far glowing nuclei lie apart, as a share of the picture's long side
_JOIN_SHARE = 0.003


@dataclass(frozen=True)
class TissueConfig:
    """How tissue is told from the rest. Lengths are pixels of the small picture."""

    max_px: int = 1536
    """Long side of the picture that is looked at."""
    density: float | None = None
    """Optical density from which on a pixel is tissue; None takes it from the slide."""
    min_share: float = 1e-5
    """Share of the picture below which a piece of tissue is a speck."""
    fill_share: float = 1e-4
    """Share of the picture up to which a hole in tissue is filled."""
    drop_pen: bool = True
    """Whether strokes of blue, green, red and black ink are left out."""

    def __post_init__(self) -> None:
        if self.max_px < 16:
            raise ConfigError(f"max_px must be at least 16, got {self.max_px}")
        if self.density is not None and not 0 < self.density < 3:
            raise ConfigError(f"density must be in (0, 3), got {self.density}")
        for name in ("min_share", "fill_share"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(
                    f"{name} must be in [0, 1), got {getattr(self, name)}"
                )


@dataclass(frozen=True, eq=False)
class TissueMask:
    """Where tissue is, on a coarse raster over the whole slide."""

    mask: Mask
    """Shape (rows, cols), True on tissue."""
    px: tuple[float, float]
    """(y, x) level-0 pixels that one pixel of the mask covers."""

    @property
    def share(self) -> float:
        """Give the share of the slide that is tissue."""
        return float(self.mask.mean())


def tissue_mask(slide: Slide, config: TissueConfig | None = None) -> TissueMask:
    """Find the tissue of a slide.

    Parameters
    ----------
    slide : Slide
        Open; only its low levels are read where it has such.
    config : TissueConfig, optional
        The defaults where not given.

    Returns
    -------
    TissueMask
        All False on an empty slide.
    """
    config = config or TissueConfig()
    picture = slide.thumbnail(config.max_px)
    mask = tissue_in(picture, config)
    height, width = (n / m for n, m in zip(slide.shape, mask.shape, strict=True))
    return TissueMask(mask, (height, width))


def tissue_in(picture: NDArray[np.uint8], config: TissueConfig) -> Mask:
    """Find the tissue in a small picture of a whole slide.

    Parameters
    ----------
    picture : ndarray, shape (rows, cols, 3), uint8
        RGB.
    config : TissueConfig
        How.

    Returns
    -------
    ndarray, shape (rows, cols), bool
        True on tissue.
    """
    if is_dark_field(picture):
        return _tidied(_glowing(picture), config)
    black = unseen(picture)
    density = optical_density(picture, ~black)  # (rows, cols, 3)
    ink = pen(density) if config.drop_pen else np.zeros_like(black)
    smooth = _smoothed(density.mean(axis=2))
    limit = config.density or _density_limit(smooth, ~(black | ink))
    return _tidied((smooth > limit) & ~black & ~ink, config) & ~black & ~ink


def is_dark_field(picture: NDArray[np.uint8]) -> bool:
    """Tell a glowing slide on a dark ground from stained tissue on bright glass.

    Parameters
    ----------
    picture : ndarray, shape (rows, cols, 3), uint8
        RGB.

    Returns
    -------
    bool
        True where most is dark and what is not is no glass.
    """
    brightest, least = picture.max(axis=2), picture.min(axis=2)
    bright = brightest >= _DARK
    if bright.mean() > 0.5:
        return False
    # a bright slide with large lost regions is black too, but the rest of it is glass
    return not bright.any() or float(np.percentile(least[bright], 90)) < _GLASS


def unseen(picture: NDArray[np.uint8]) -> Mask:
    """Find the black borders and lost regions of a slide on bright glass.

    Parameters
    ----------
    picture : ndarray, shape (rows, cols, 3), uint8
        RGB.

    Returns
    -------
    ndarray, shape (rows, cols), bool
        True where the scanner saw nothing, a little wider than it.
    """
    brightest = picture.max(axis=2)
    # on a dim slide nuclei are nearly black as well; lost regions are black altogether
    limit = min(_BLACK, 0.1 * float(np.percentile(brightest, 99)))
    return _grown(_large(brightest <= limit, 32), 2)


def optical_density(picture: NDArray[np.uint8], seen: Mask) -> Floats:
    """Give how much light each pixel takes away, against the slide's own glass.

    Parameters
    ----------
    picture : ndarray, shape (rows, cols, 3), uint8
        RGB.
    seen : ndarray, shape (rows, cols), bool
        Where the scanner saw something.

    Returns
    -------
    ndarray, shape (rows, cols, 3), float32
        Natural logarithm, 0 on glass.
    """
    light = picture.astype(np.float32)
    density = np.log(_glass(light[seen]) + 1) - np.log(light + 1)
    return np.asarray(np.maximum(density, 0), np.float32)


def pen(density: Floats) -> Mask:
    """Find ink of a marker: blue, green, red or black.

    Haematoxylin and eosin take green away most, red and blue less; the markers' inks
    take red most (blue and green ink), green and blue alike and no red (red ink), or all
    three alike and nearly all of it (black ink).

    Parameters
    ----------
    density : ndarray, shape (rows, cols, 3), float32
        Optical density of red, green, blue.

    Returns
    -------
    ndarray, shape (rows, cols), bool
        True on ink, a little wider than it.
    """
    from scipy import ndimage

    red, green, blue = (ndimage.gaussian_filter(density[..., i], 1) for i in range(3))
    cold = (red > 1.3 * green + 0.05) & (red > 0.15)
    warm = (green > 0.8) & (blue > 0.8 * green) & (red < 0.3 * green)
    least, most = (
        np.minimum(np.minimum(red, green), blue),
        np.maximum(np.maximum(red, green), blue),
    )
    black = (least > 0.9) & (most - least < 0.25 * most)
    strokes = _large(cold | warm | black, 12)
    # the blurred rim of a stroke has the colours of tissue: as wide as it can be
    return _grown(strokes, max(6, round(_RIM_SHARE * max(density.shape))))


def _glass(colours: Floats) -> Floats:
    """Give the colour of the glass, of pixels (n, 3)."""
    if not len(colours):
        return np.full(3, _PLAIN_GLASS, np.float32)
    least = colours.min(axis=1)
    glass = np.median(colours[least >= np.percentile(least, 95)], axis=0)
    if glass.max() - glass.min() > _GLASS_CHROMA * glass.max():
        # no glass in sight: tissue from edge to edge
        glass = np.full(3, max(float(glass.max()), _PLAIN_GLASS))
    return np.asarray(glass, np.float32)


def _density_limit(density: Floats, counts: Mask) -> float:
    """Give the density between glass and tissue: Otsu's, kept within what is sensible."""
    from skimage.filters import threshold_otsu

    values = density[counts]
    if not len(values):
        return 1.0
    # dark tissue must not raise the limit above pale tissue
    between = float(threshold_otsu(np.minimum(values, 0.4)))
    low = values[values <= np.median(values)]
    noise = float(np.median(low) + 6 * 1.4826 * np.median(np.abs(low - np.median(low))))
    return float(np.clip(between * 0.6, np.clip(noise, 0.03, 0.06), 0.07))


def _glowing(picture: NDArray[np.uint8]) -> Mask:
    from skimage.filters import threshold_triangle

    # wide enough to join the nuclei of one piece of tissue
    width = _JOIN_SHARE * max(picture.shape)
    signal = _smoothed(picture.max(axis=2).astype(np.float32), width)
    ground = float(np.percentile(signal, 20))
    spread = float(np.median(np.abs(signal[signal <= np.median(signal)] - ground)))
    limit = max(float(threshold_triangle(signal)), ground + 6 * spread, ground + 3)
    glowing: Mask = signal > limit
    return glowing


def _smoothed(values: Floats, sigma: float = 1.0) -> Floats:
    from scipy import ndimage

    smooth: Floats = ndimage.gaussian_filter(values, sigma)
    return smooth


def _tidied(mask: Mask, config: TissueConfig) -> Mask:
    from scipy import ndimage

    padded = np.pad(mask, 3)
    closed = ndimage.binary_closing(padded, _disk(2))[3:-3, 3:-3] | mask
    holes = ~closed
    filled = closed | (holes & ~_large(holes, config.fill_share * mask.size))
    return _large(filled, max(4, config.min_share * mask.size))


def _large(mask: Mask, least: float) -> Mask:
    """Keep the connected pieces of at least so many pixels."""
    from scipy import ndimage

    pieces, _ = ndimage.label(mask)
    sizes = np.bincount(pieces.ravel())
    keep = sizes >= least
    keep[0] = False
    kept: Mask = keep[pieces]
    return kept


def _grown(mask: Mask, radius: int) -> Mask:
    from scipy import ndimage

    grown: Mask = ndimage.binary_dilation(mask, _disk(radius))
    return grown


def _disk(radius: int) -> Any:
    axis = np.arange(-radius, radius + 1)
    return axis[:, None] ** 2 + axis**2 <= radius**2 + 1
