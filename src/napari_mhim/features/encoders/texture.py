"""Texture of H&E stains: an encoder without weights, for a first look and for the demo.

What it measures in a patch, in this order:

1. The two stains, by colour deconvolution (Ruifrok & Johnston, "Quantification of
   histochemical staining by color deconvolution", Anal. Quant. Cytol. Histol. 23, 2001).
2. Of haematoxylin, eosin and what is left over: mean, deviation, skewness, and the
   shares of the patch above rising densities.
3. On each scale of a Haar pyramid of the stains: energy of edges, of corners, and
   how unevenly they are spread.
4. On two scales: how much of the haematoxylin survives openings of growing size, which
   tells how large, and band-passes, which tell how pale inside, the nuclei are.

Every number is then shifted and scaled by fixed constants, so that typical tissue
comes to about mean 0 and deviation 1, and a patch's numbers do not depend on others.
Quarter turns and flips change nothing, for patches whose sides are multiples of 32.
"""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_mhim.errors import ConfigError
from napari_mhim.features.encoders import _texture_scaling as scaling

LICENCE = "BSD-3-Clause, as this program; it has no trained weights"
"""Of what the vectors come from."""

VERSION = 1
"""Goes up with every change of what the numbers mean."""

STAINS = ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (0.27, 0.57, 0.78))
"""Optical density of haematoxylin, eosin and the rest in R, G, B (Ruifrok)."""
LEVELS = (0.05, 0.12, 0.22, 0.35, 0.5, 0.7, 0.95)
"""Densities of a stain above which the share of the patch is measured."""
SOFTNESS = 0.04
"""Width of the steps at those densities: a hard step would be noisy."""
SCALES = 5
"""Scales of the pyramid, each twice as coarse."""
OPENINGS = {3: (1,), 5: (1, 1), 7: (1, 2), 9: (1, 2, 1), 13: (1, 2, 3)}
"""Sides of the openings, in pixels of half resolution, and the steps they grow by."""
RUN = 8
"""Patches that one thread of the CPU takes at a time."""
LEAST_PX = 1 << SCALES
"""Least width and height of a patch, px."""


class TextureEncoder:
    """Patches in, stain and texture statistics out; nothing is learned."""

    def __init__(self, device: str, mpp: float, patch_model_px: int) -> None:
        self._device = torch.device(device)
        self.mpp = mpp
        self.patch_model_px = patch_model_px
        stains = F.normalize(torch.tensor(STAINS, dtype=torch.float64), dim=1)
        self._unmix: list[list[float]] = torch.linalg.inv(stains).T.tolist()
        self._mean = torch.tensor(scaling.MEAN, device=self._device)
        self._scale = torch.tensor(scaling.DEVIATION, device=self._device)
        self.dim = len(scaling.MEAN)
        self.name = "texture"
        self.device = device
        self.id = f"{self.name}#{_fingerprint()}"
        self._measure = self._on_cpu() if self._device.type == "cpu" else self._by_torch

    def __call__(self, patches: Tensor) -> Tensor:
        """Encode a batch of patches.

        Parameters
        ----------
        patches : Tensor, shape (B, H, W, 3), uint8
            RGB patches on the encoder's device; H and W at least 32.

        Returns
        -------
        Tensor, shape (B, dim), float32
            One row a patch, independent of the other patches of the batch.

        Raises
        ------
        ConfigError
            If the patches are not RGB bytes, or are too small.
        """
        if patches.ndim != 4 or patches.shape[3] != 3 or patches.dtype != torch.uint8:
            raise ConfigError(
                "texture needs patches of shape (B, H, W, 3), uint8, got"
                f" {tuple(patches.shape)}, {patches.dtype}"
            )
        if min(patches.shape[1:3]) < LEAST_PX:
            raise ConfigError(
                f"texture needs patches of {LEAST_PX} px or more a side, got"
                f" {tuple(patches.shape[1:3])}; choose a larger patch or a finer mpp"
            )
        raw = self._measure(patches)
        # beyond 6 deviations is glass, pen or a fold: no reason to count for more
        return ((raw - self._mean) / self._scale).clamp(-6, 6)

    @torch.inference_mode()
    def _by_torch(self, patches: Tensor) -> Tensor:
        return measure(self._stains(patches))

    def _on_cpu(self) -> Callable[[Tensor], Tensor]:
        """Give what measures patches on the CPU: a run of them a thread, without the GIL."""
        # numba takes a while to import, and a GPU needs none
        from napari_mhim.features.encoders._texture_kernel import Tables, measured

        tables = Tables(self._unmix, LEVELS, SOFTNESS, tuple(OPENINGS.values()))
        threads = ThreadPoolExecutor(torch.get_num_threads(), "texture")

        def run(patches: Tensor) -> Tensor:
            return torch.from_numpy(measured(patches.numpy(), tables, self.dim))

        return lambda patches: torch.cat(list(threads.map(run, patches.split(RUN))))

    def _stains(self, patches: Tensor) -> Tensor:
        """Give the density of each stain, shape (B, 3, H, W)."""
        # one channel after the other: no row depends on how many there are
        light = patches.movedim(3, 1).float()  # (B, 3, H, W)
        density = light.add_(1).div_(256).log10_().neg_().unbind(1)
        stains = [
            density[0] * red + density[1] * green + density[2] * blue
            for red, green, blue in self._unmix
        ]
        return torch.stack(stains, dim=1)  # (B, 3, H, W)


def build(
    device: str = "cpu", mpp: float = 0.5, patch_model_px: int = 256
) -> TextureEncoder:
    """Build the encoder.

    Parameters
    ----------
    device : str
        A torch device.
    mpp : float
        Micrometres per pixel at which it is to see patches.
    patch_model_px : int
        Width of a patch in those pixels, 32 or more.

    Returns
    -------
    TextureEncoder
        The encoder.

    Raises
    ------
    ConfigError
        If the patch is too small for its pyramid.
    """
    if patch_model_px < LEAST_PX:
        raise ConfigError(
            f"texture needs patches of {LEAST_PX} px or more, got {patch_model_px}"
        )
    return TextureEncoder(str(device), mpp, patch_model_px)


def measure(stains: Tensor) -> Tensor:
    """Measure patches of stains, before shift and scale: what the numbers are.

    The CPU has the same by compiled loops (``_texture_kernel``).

    Parameters
    ----------
    stains : Tensor, shape (B, 3, H, W), float32
        Densities of haematoxylin, eosin and the rest.

    Returns
    -------
    Tensor, shape (B, dim), float32
        The numbers, in the order of the module's docstring.
    """
    half = F.avg_pool2d(stains, 2)  # (B, 3, H / 2, W / 2)
    return torch.cat(
        [_colour(stains, half), _pyramid(stains), _nuclei(half[:, :1])], dim=1
    )


def _colour(stains: Tensor, half: Tensor) -> Tensor:
    flat = stains.flatten(2)  # (B, 3, H * W)
    mean = flat.mean(2)
    off = flat - mean[..., None]
    square = off * off
    deviation = square.mean(2).sqrt()
    skew = (square * off).mean(2) / (deviation**3 + 1e-4)
    smooth = half[:, :2].flatten(2)  # (B, 2, H * W / 4)
    shares = [torch.sigmoid((smooth - level) / SOFTNESS).mean(2) for level in LEVELS]
    both = (off[:, 0] * off[:, 1]).mean(1, keepdim=True)
    together = both / (deviation[:, :1] * deviation[:, 1:2] + 1e-3)
    return torch.cat([mean, deviation, skew.clamp(-8, 8), *shares, together], dim=1)


def _pyramid(stains: Tensor) -> Tensor:
    """Measure the energy of a Haar pyramid, scale by scale, of the two stains."""
    found = []
    level = stains[:, :2]
    for _ in range(SCALES):
        height, width = level.shape[2] // 2 * 2, level.shape[3] // 2 * 2
        level = level[:, :, :height, :width]
        a, b = level[:, :, ::2, ::2], level[:, :, ::2, 1::2]
        c, d = level[:, :, 1::2, ::2], level[:, :, 1::2, 1::2]
        upper, lower, left, right = a + b, c + d, a - b, c - d
        edge = (upper - lower).square() + (left + right).square()  # (B, 2, h, w)
        corner = (left - right).square().flatten(2).mean(2)
        edge = edge.flatten(2)
        strength = edge.mean(2)
        crowding = edge.sqrt().mean(2).square() / (strength + 1e-6)
        found += [torch.log(strength + 1e-4), torch.log(corner + 1e-4), crowding]
        level = (upper + lower) / 4
    return torch.cat(found, dim=1)


def _nuclei(haematoxylin: Tensor) -> Tensor:
    """Measure sizes and paleness of what is blue, shape (B, 1, h, w) at half resolution."""
    mass = haematoxylin.clamp(0, 1.2)
    left = [mass, *_openings(mass)]
    survived = torch.stack([image.flatten(1).mean(1) for image in left], dim=1)
    sizes = torch.log(survived.clamp(min=0) + 0.01)  # (B, 1 + openings)
    spectrum = (survived[:, :-1] - survived[:, 1:]) / (survived[:, :1] + 0.02)
    bands = _band_passes(mass)
    return torch.cat([sizes, spectrum, bands, _pale_inside(left)], dim=1)


def _openings(image: Tensor) -> list[Tensor]:
    """Open an image by squares of growing side: what is narrower disappears."""
    opened = []
    for steps in OPENINGS.values():
        # pooling layers are slow for one channel: the square grows by shifted maxima
        shrunk = -_widest(-image, steps)
        opened.append(_widest(shrunk, steps))
    return opened


def _widest(image: Tensor, steps: tuple[int, ...]) -> Tensor:
    """Give the largest value of the square around each pixel, cut off at the border.

    A square of radius r becomes one of radius r + s with two shifts by s, for s ≤ r + 1.
    """
    for axis in (2, 3):
        size = image.shape[axis]
        for step in steps:
            grown = image.clone()
            low, high = (
                grown.narrow(axis, 0, size - step),
                grown.narrow(axis, step, size - step),
            )
            torch.maximum(low, image.narrow(axis, step, size - step), out=low)
            torch.maximum(high, image.narrow(axis, 0, size - step), out=high)
            image = grown
    return image


def _pale_inside(opened: list[Tensor]) -> Tensor:
    """Measure how dark what is lost at each size is, shape (B, openings)."""
    found = []
    for finer, coarser in pairwise(opened):
        lost = (finer - coarser).flatten(1)
        found.append(lost.square().mean(1) / (lost.mean(1) + 0.005))
    return torch.stack(found, dim=1)


def _band_passes(image: Tensor) -> Tensor:
    """Measure spots and holes between blurs of growing width, shape (B, 4 * 3)."""
    found = []
    finer = image
    for side in (3, 5, 9):
        coarser = _blurred(finer, side)
        band = (finer - coarser).flatten(1)
        square = band * band
        strength = square.mean(1)
        lean = (square * band).mean(1) / (strength**1.5 + 1e-5)
        peak = (square * square).mean(1) / (strength**2 + 1e-6)
        hole = (-band).clamp(min=0).mean(1) / (strength.sqrt() + 0.01)
        found += [
            torch.log(strength + 1e-5),
            lean.clamp(-6, 6),
            peak.clamp(0, 20),
            hole,
        ]
        finer = coarser
    return torch.stack(found, dim=1)


def _blurred(image: Tensor, side: int) -> Tensor:
    """Average over the square around each pixel, cut off at the border."""
    half = side // 2
    along = F.avg_pool2d(
        image, (1, side), 1, padding=(0, half), count_include_pad=False
    )
    return F.avg_pool2d(along, (side, 1), 1, padding=(half, 0), count_include_pad=False)


def _fingerprint() -> str:
    """Give a short hash of every constant the numbers depend on."""
    constants = (
        VERSION,
        STAINS,
        LEVELS,
        SOFTNESS,
        SCALES,
        OPENINGS,
        scaling.MEAN,
        scaling.DEVIATION,
    )
    return hashlib.sha256(repr(constants).encode()).hexdigest()[:12]
