"""Where a slide holds tissue: glass, black borders, lost regions and artefacts left out.

1. look at the slide at a low level, and decide whether it is stained tissue on bright
   glass or glows on a dark ground;
2. bright: optical density against the slide's own glass; what absorbs is tissue, unless
   it is black;
3. dark: what glows above the ground's noise;
4. close gaps, fill small holes, drop specks;
5. find ink, folds and air bubbles on the same picture, and what is out of focus at a
   finer level; leave out those that are not wanted.

Steps 1 (:func:`look`) and 2 to 5 (:func:`find_tissue`) are apart, so that a setting can
be tried again without reading the slide again.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mhim.errors import ConfigError
from napari_mhim.slide._light import is_dark_field, optical_density, unseen
from napari_mhim.slide._masks import (
    Floats,
    Mask,
    across,
    closed,
    large,
    smoothed,
)
from napari_mhim.slide.quality import (
    Folded,
    bubbles,
    fold_strength,
    folds,
    out_of_focus,
    pen,
)
from napari_mhim.slide.sharpness import blur_um
from napari_mhim.slide.slide import Slide

ARTEFACTS = ("pen", "blur", "bubbles", "folds")
"""What can be found and left out, by the names of :attr:`TissueMask.artefacts`."""

# how far glowing nuclei lie apart, as a share of the picture's long side
_JOIN_SHARE = 0.003
_RANGES = {
    "min_share": (0, 1),
    "fill_share": (0, 1),
    "pen_density": (0.05, 1),
    "blur_um": (0.5, 10),
    "bubble_um": (30, 5000),
    "fold_times": (1.1, 5),
}


@dataclass(frozen=True)
class TissueConfig:
    """How tissue is told from the rest, and what of it is left out."""

    max_px: int = 1536
    """Long side of the small picture of the slide that is looked at, px."""
    density: float | None = None
    """Optical density from which on a pixel is tissue; None takes it from the slide."""
    min_share: float = 1e-5
    """Share of the picture below which a piece of tissue is a speck."""
    fill_share: float = 1e-4
    """Share of the picture up to which a hole in tissue is filled."""
    leave_out_pen: bool = True
    """Whether strokes of blue, green, red and black ink are left out."""
    leave_out_blur: bool = True
    """Whether tissue out of focus is left out."""
    leave_out_bubbles: bool = True
    """Whether air bubbles are left out."""
    leave_out_folds: bool = True
    """Whether folds are left out."""
    pen_density: float = 0.15
    """Optical density from which on ink counts, 0.05 to 1; less finds fainter strokes."""
    blur_um: float = 1.2
    """Blur from which on tissue is out of focus, as the deviation of a Gaussian in µm."""
    bubble_um: float = 100.0
    """Least diameter of an air bubble, µm."""
    fold_times: float = 1.5
    """How many times denser than the tissue about it the core of a fold is, 1.1 to 5."""

    def __post_init__(self) -> None:
        if self.max_px < 16:
            raise ConfigError(f"max_px must be at least 16, got {self.max_px}")
        if self.density is not None and not 0 < self.density < 3:
            raise ConfigError(f"density must be in (0, 3), got {self.density}")
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high or (name.endswith("share") and value == high):
                end = ")" if name.endswith("share") else "]"
                raise ConfigError(f"{name} must be in [{low}, {high}{end}, got {value}")

    def leaves_out(self, artefact: str) -> bool:
        """Tell whether one of :data:`ARTEFACTS` is left out."""
        return bool(getattr(self, f"leave_out_{artefact}"))

    def in_force(self) -> dict[str, Any]:
        """Give the settings that change the outcome: none of an artefact that is kept."""
        values = asdict(self)
        for artefact, setting in SETTING_OF.items():
            if not self.leaves_out(artefact):
                del values[setting]
        return values


SETTING_OF = {
    "pen": "pen_density",
    "blur": "blur_um",
    "bubbles": "bubble_um",
    "folds": "fold_times",
}
"""The setting that says how much each artefact takes."""


@dataclass(frozen=True, eq=False)
class TissueMask:
    """Where tissue is, on a coarse raster over the whole slide."""

    mask: Mask
    """Shape (rows, cols), True on tissue that is used: what is left out is not."""
    px: tuple[float, float]
    """(y, x) level-0 pixels that one pixel of the mask covers."""
    artefacts: Mapping[str, Mask] = field(default_factory=dict)
    """By name of :data:`ARTEFACTS`, shape (rows, cols): True where it lies, whether left
    out or not; without those that were not or could not be looked for."""

    @property
    def share(self) -> float:
        """Give the share of the slide that is tissue."""
        return float(self.mask.mean())


@dataclass(frozen=True, eq=False)
class SlideLook:
    """What finding tissue needs to see of a slide."""

    picture: NDArray[np.uint8]
    """The whole slide, shape (rows, cols, 3), RGB."""
    px: tuple[float, float]
    """(y, x) level-0 pixels of one of its pixels."""
    px_um: tuple[float, float] | None
    """(y, x) µm of one of its pixels, None where the slide's scale is not known."""
    black: Mask | None = None
    """What the scanner did not see, shape (rows, cols); None on a dark ground."""
    density: Floats | None = None
    """Optical density, shape (rows, cols, 3), natural logarithm; None on a dark ground."""
    blur_um: Floats | None = None
    """Blur in µm on a raster of its own, NaN where not known; None where not measured."""


def tissue_mask(
    slide: Slide,
    config: TissueConfig | None = None,
    mpp: tuple[float, float] | None = None,
) -> TissueMask:
    """Find the tissue of a slide.

    Parameters
    ----------
    slide : Slide
        Open; its low levels are read, and one of about 1 µm per pixel for the blur.
    config : TissueConfig, optional
        The defaults where not given.
    mpp : tuple of float, optional
        (y, x) µm per level-0 pixel, where the slide does not say; without any, only ink
        is looked for.

    Returns
    -------
    TissueMask
        All False on an empty slide.
    """
    config = config or TissueConfig()
    seen = look(slide, config.max_px, mpp, with_blur=config.leave_out_blur)
    return find_tissue(seen, config)


def look(
    slide: Slide,
    max_px: int = TissueConfig.max_px,
    mpp: tuple[float, float] | None = None,
    *,
    with_blur: bool = True,
) -> SlideLook:
    """Look at a slide: all that is read of it to find its tissue.

    Parameters
    ----------
    slide : Slide
        Open.
    max_px : int
        Long side of the small picture.
    mpp : tuple of float, optional
        As :func:`tissue_mask`.
    with_blur : bool
        Whether to measure the blur, which reads a finer level.

    Returns
    -------
    SlideLook
        What was seen.
    """
    picture = slide.thumbnail(max_px)
    mpp = mpp or slide.mpp
    shape = picture.shape[:2]
    height, width = (n / m for n, m in zip(slide.shape, shape, strict=True))
    um = None if mpp is None else (height * mpp[0], width * mpp[1])
    seen = _seen(picture, (height, width), um)
    if mpp is None or not with_blur:
        return seen
    tissue = _tissue(seen, seen.black, TissueConfig())
    return replace(seen, blur_um=blur_um(slide, mpp, tissue))


def find_tissue(seen: SlideLook, config: TissueConfig) -> TissueMask:
    """Find tissue and artefacts in what was seen of a slide.

    Parameters
    ----------
    seen : SlideLook
        As :func:`look` gives it.
    config : TissueConfig
        How; its ``max_px`` is not asked for any more.

    Returns
    -------
    TissueMask
        Tissue, and each artefact that can be told.
    """
    return TissueFinder(seen).find(config)


class TissueFinder:
    """Finds tissue in one picture again and again: what a setting does not touch is kept.

    Parameters
    ----------
    seen : SlideLook
        As :func:`look` gives it.
    """

    def __init__(self, seen: SlideLook) -> None:
        self._seen = seen
        self._kept: dict[str, tuple[Any, Any]] = {}

    def find(self, config: TissueConfig) -> TissueMask:
        """Find tissue and artefacts.

        Parameters
        ----------
        config : TissueConfig
            How; its ``max_px`` is not asked for any more.

        Returns
        -------
        TissueMask
            The same as :func:`find_tissue` gives, whatever was asked for before.
        """
        seen = self._seen
        found: dict[str, Mask] = {}
        if seen.density is None or seen.black is None:
            tissue = _tissue(seen, None, config)
        else:
            found, tissue = self._on_glass(seen.density, seen.black, config)
        if seen.blur_um is not None:
            shape = seen.picture.shape[:2]
            found["blur"] = out_of_focus(seen.blur_um, shape, config.blur_um) & tissue
        for artefact, mask in found.items():
            if config.leaves_out(artefact):
                tissue = tissue & ~mask
        return TissueMask(tissue, seen.px, found)

    def _on_glass(
        self, density: Floats, black: Mask, config: TissueConfig
    ) -> tuple[dict[str, Mask], Mask]:
        seen, um = self._seen, self._seen.px_um
        ink: Mask = self._keep(
            "pen", config.pen_density, lambda faint: pen(density, um, faint) & ~black
        )
        out = black | ink if config.leave_out_pen else black
        settings = (config.density, config.min_share, config.fill_share)
        tissue: Mask = self._keep(
            "tissue", (settings, out.tobytes()), lambda _: _tissue(seen, out, config)
        )
        found = {"pen": ink}
        if um is None:
            return found, tissue
        found["bubbles"] = self._keep(
            "bubbles",
            (config.bubble_um, ink.tobytes()),
            lambda key: bubbles(density, ink, um, key[0]),
        )
        plain = tissue & ~ink & ~found["bubbles"]
        folded: Folded | None = self._keep(
            "folds", plain.tobytes(), lambda _: fold_strength(density, plain, um)
        )
        found["folds"] = folds(folded, plain, config.fold_times)
        return found, tissue

    def _keep(self, name: str, key: Any, make: Callable[[Any], Any]) -> Any:
        """Make something of what it depends on, or give what that came to last time."""
        if name not in self._kept or self._kept[name][0] != key:
            self._kept[name] = (key, make(key))
        return self._kept[name][1]


def tissue_in(picture: NDArray[np.uint8], config: TissueConfig) -> Mask:
    """Find the tissue in a small picture of a whole slide, ink left out.

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
    return find_tissue(_seen(picture, (1.0, 1.0), None), config).mask


def _seen(
    picture: NDArray[np.uint8],
    px: tuple[float, float],
    px_um: tuple[float, float] | None,
) -> SlideLook:
    if is_dark_field(picture):
        return SlideLook(picture, px, px_um)
    black = unseen(picture)
    return SlideLook(picture, px, px_um, black, optical_density(picture, ~black))


def _tissue(seen: SlideLook, out: Mask | None, config: TissueConfig) -> Mask:
    """Find the tissue; on bright glass, but for what is out."""
    if seen.density is None or out is None:
        return _tidied(_glowing(seen.picture), config)
    smooth = smoothed(seen.density.mean(axis=2))
    limit = config.density or _density_limit(smooth, ~out)
    return _tidied((smooth > limit) & ~out, config) & ~out


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
    signal = smoothed(across(np.maximum, picture).astype(np.float32), width)
    ground = float(np.percentile(signal, 20))
    spread = float(np.median(np.abs(signal[signal <= np.median(signal)] - ground)))
    limit = max(float(threshold_triangle(signal)), ground + 6 * spread, ground + 3)
    glowing: Mask = signal > limit
    return glowing


def _tidied(mask: Mask, config: TissueConfig) -> Mask:
    shut = closed(mask, 2)
    holes = ~shut
    filled = shut | (holes & ~large(holes, config.fill_share * mask.size))
    return large(filled, max(4, config.min_share * mask.size))
