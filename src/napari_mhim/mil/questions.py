"""What a reader asks of one slide while looking at it, and the answers; torch-free.

The answers come from :mod:`napari_mhim.mil.reading`, in another process than the window's.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_mhim.errors import ConfigError
from napari_mhim.features.store import FeatureStore
from napari_mhim.mil.bags import bag_of
from napari_mhim.mil.bundle import Bundle

HIGH, LOW, RANDOM = 1, 2, 4
"""Bits of ``Hidden.parts``."""
SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Shares hidden in turn along a curve."""


@dataclass(frozen=True)
class HideBy:
    """What would these ratios hide in training? Answered by `Hidden`, then `Score`."""

    mask_ratio_high: float = 0.0
    """Share hidden as easy (β_h), in [0, 1]."""
    mask_ratio_low: float = 0.0
    """Share hidden as least salient (β_l), in [0, 1]."""
    mask_ratio_random: float = 0.0
    """Share hidden by chance (β_r), in [0, 1]."""
    high_keep_share: float = 1.0
    """Share of the high candidates that are hidden, by chance, in (0, 1]."""
    seed: int = 0
    """Of what is left to chance."""
    scores: NDArray[np.float32] | None = field(default=None, compare=False)
    """Scores to mask by, shape (N,): a teacher's of an earlier epoch; None: the model's."""

    def __post_init__(self) -> None:
        for name in ("mask_ratio_high", "mask_ratio_low", "mask_ratio_random"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(
                    f"{name} must be in [0, 1], got {getattr(self, name)}"
                )
        if not 0 < self.high_keep_share <= 1:
            raise ConfigError(
                f"high_keep_share must be in (0, 1], got {self.high_keep_share}"
            )


@dataclass(frozen=True, eq=False)
class Without:
    """What is the score without these patches? Answered by `Score`."""

    rows: NDArray[np.bool_]
    """True for the patches left out, shape (N,)."""


@dataclass(frozen=True, eq=False)
class Excluding(Without):
    """The same of what is left out for good; does not take the place of a `Without`."""


@dataclass(frozen=True)
class HideMore:
    """How does the score go when ever more is hidden from the top? Answered by `Curve`."""

    shares: tuple[float, ...] = field(default=SHARES)
    """Shares hidden, each in [0, 1]."""
    scores: NDArray[np.float32] | None = field(default=None, compare=False)
    """Scores to hide by, shape (N,), as in `HideBy`."""


@dataclass(frozen=True)
class HowUnlike:
    """How unlike the training slides is this one? Answered by `Unlike`."""


@dataclass(frozen=True, eq=False)
class Hidden:
    """Which patches are hidden, and as what."""

    parts: NDArray[np.uint8]
    """`HIGH`, `LOW`, `RANDOM` or a sum of them for each patch, 0 where it is kept, shape (N,)."""

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Give True for each hidden patch, shape (N,)."""
        return self.parts > 0


@dataclass(frozen=True, eq=False)
class Score:
    """What the student says of the patches that are left."""

    probabilities: NDArray[np.float32]
    """Shape (C,), summing to 1; calibrated where the bundle is."""
    n_patches: int
    """Patches it looked at."""


@dataclass(frozen=True, eq=False)
class Curve:
    """Scores along shares hidden."""

    shares: NDArray[np.float64]
    """Shares that were hidden, shape (S,)."""
    probabilities: NDArray[np.float32]
    """Student's score of what was left, shape (S, C)."""


@dataclass(frozen=True, eq=False)
class Unlike:
    """Distance of a slide to the training features."""

    distance: float
    """Mean over features of |slide's mean − training mean| in training standard deviations."""
    agreement: float
    """Spearman correlation of teacher's and student's scores, in [-1, 1]; NaN without a teacher."""


Question = HideBy | Without | Excluding | HideMore | HowUnlike
Answer = Hidden | Score | Curve | Unlike


def open_reading(
    bundle: str, features: str, device: str = "auto"
) -> Callable[[Question], Iterator[Answer]]:
    """Open a model and a slide's features for questions; imports torch.

    Parameters
    ----------
    bundle : str
        Folder of the bundle.
    features : str
        The slide's feature file.
    device : str
        One of ``settings.DEVICES``.

    Returns
    -------
    callable
        Gives the answers to a question, what is quick first.

    Raises
    ------
    BundleError, StoreError, FeatureMismatchError
        If a file cannot be read, or one is not for the other.
    """
    from napari_mhim.mil.reading import Reading

    model = Bundle.open(bundle)
    with FeatureStore.open(Path(features)) as store:
        model.check(store)
        bag = bag_of(store)
    return Reading(model, bag, device).answer
