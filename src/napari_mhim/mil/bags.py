"""A slide's features as one bag, with what is needed to know where they came from."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_mhim.errors import FeatureMismatchError, StoreError
from napari_mhim.mil.cohort import CohortRow
from napari_mhim.slide.tiling import PatchGrid

if TYPE_CHECKING:
    from napari_mhim.features.store import FeatureStore


@dataclass(frozen=True, eq=False)
class Bag:
    """Features of one slide, N ≥ 1 instances of D numbers."""

    name: str
    """Slide's name."""
    features: NDArray[np.float32]
    """Features, shape (N, D)."""
    label: int | None = None
    """Index of the class, None when not labelled."""
    patient: str = ""
    """Patient it is of; the slide's name where unknown."""
    grid: PatchGrid | None = None
    """Where the instances lie; None for features that came without positions."""
    encoder_id: str = ""
    """Encoder that made the features, "" when unknown."""
    path: str = ""
    """Slide file, "" when unknown."""
    fingerprint: str = ""
    """Slide's fingerprint, "" when unknown."""
    slide_shape: tuple[int, int] = (0, 0)
    """Level-0 pixels of the slide, (y, x); (0, 0) when unknown."""
    slide_mpp: tuple[float, float] | None = None
    """Micrometres per level-0 pixel, (y, x); None when unknown."""
    hints: NDArray[np.int16] | None = None
    """Class that a region says is there, shape (N,), index of the class, -1 where none
    says so; None without regions."""

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or not len(self.features):
            raise FeatureMismatchError(
                f"features of slide {self.name!r} must be (patches, numbers) with at "
                f"least one patch, got {self.features.shape}"
            )
        if self.grid is not None and len(self.grid) != len(self.features):
            raise FeatureMismatchError(
                f"slide {self.name!r} has {len(self.features)} feature rows and "
                f"{len(self.grid)} patch positions; extract it again"
            )
        if self.hints is not None and self.hints.shape != (len(self.features),):
            raise FeatureMismatchError(
                f"slide {self.name!r} has {len(self.features)} feature rows and hints of "
                f"shape {self.hints.shape}; give one class, or -1, for each row"
            )

    def __len__(self) -> int:
        """Count the instances."""
        return len(self.features)

    @property
    def dim(self) -> int:
        """Give D, the numbers of one instance."""
        return int(self.features.shape[1])


def read_bag(
    store_path: str | Path, row: CohortRow | None = None, classes: tuple[str, ...] = ()
) -> Bag:
    """Read one slide's features from disk.

    Parameters
    ----------
    store_path : str or Path
        A feature store.
    row : CohortRow, optional
        The slide's row: its name must be the store's; patient and label come from it.
    classes : tuple of str, optional
        Class names in the model's order; without them the bag has no label.

    Returns
    -------
    Bag
        The bag.

    Raises
    ------
    StoreError
        If the file cannot be read, or holds NaN or infinite features.
    FeatureMismatchError
        If the features are of another slide than the row's.
    """
    from napari_mhim.features.store import FeatureStore

    with FeatureStore.open(store_path) as store:
        bag = bag_of(store, row, classes)
    return bag


def bag_of(
    store: "FeatureStore",
    row: CohortRow | None = None,
    classes: tuple[str, ...] = (),
) -> Bag:
    """Make a bag of an open feature store; parameters and errors as :func:`read_bag`."""
    name = store.slide_name
    if row is not None and row.slide != name:
        raise FeatureMismatchError(
            f"these are features of slide {name!r}, wanted were those of "
            f"{row.slide!r}; extract {row.slide!r} again"
        )
    features = np.asarray(store.features(), np.float32)
    if not is_finite(features):
        raise StoreError(
            f"features of slide {name!r} hold NaN or infinite numbers; delete its "
            "feature file and extract it again"
        )
    label = row.label if row is not None else ""
    return Bag(
        name=name,
        features=features,
        label=classes.index(label) if label in classes else None,
        patient=row.patient if row is not None else name,
        grid=store.grid,
        encoder_id=store.encoder_id,
        path=row.path if row is not None else "",
        fingerprint=store.fingerprint,
        slide_shape=store.slide_shape,
        slide_mpp=store.slide_mpp,
    )


def is_finite(features: NDArray[np.float32]) -> bool:
    """Whether no feature is NaN or infinite."""
    # the sum alone would overflow to inf on honest large numbers; min and max do not
    return bool(np.isfinite(features.min()) and np.isfinite(features.max()))
