"""Bags with an easy and a hard lesion, and the small settings they train with."""

import numpy as np

from napari_mhim.mil.bags import Bag
from napari_mhim.mil.config import TrainConfig
from napari_mhim.slide.tiling import PatchGrid

CLASSES = ("normal", "tumour")
ENCODER = "texture#made"


def make_grid(n: int, columns: int = 7) -> PatchGrid:
    rows = -(-n // columns)
    cells = np.stack(np.divmod(np.arange(n), columns), axis=1).astype(np.int32)
    return PatchGrid(
        origin=np.array([3.0, 11.0]),
        stride_px=np.array([200.5, 256.0]),
        patch_px=np.array([200.5, 256.0]),
        shape=(rows, columns),
        cells=cells,
        mpp=0.5,
        patch_model_px=256,
    )


def make_bag(
    index: int, label: int, n: int = 60, dim: int = 12, encoder: str = ENCODER
) -> Bag:
    generator = np.random.default_rng([index, label])
    features = generator.normal(size=(n, dim)).astype(np.float32)
    if label:
        if index % 4 == 1:  # half the positives hold hard lesions only
            features[: n // 10, 0] += 5  # easy: many, far from the rest
        features[n // 10 : n // 10 + 2, 1] += 6  # hard: few
    return Bag(
        name=f"slide-{index:02d}",
        features=features,
        label=label,
        patient=f"patient-{index:02d}",
        grid=make_grid(n),
        encoder_id=encoder,
        fingerprint=f"{index:064x}",
        slide_shape=(2500, 2000),
        slide_mpp=(0.25, 0.2),
    )


def make_bags(n_slides: int, start: int = 0) -> list[Bag]:
    return [make_bag(start + i, i % 2) for i in range(n_slides)]


def small_config(**changes: object) -> TrainConfig:
    values: dict[str, object] = {
        "model_options": {"hidden": 16, "attention_dim": 8},
        "recipe_options": {"mask_ratio_high": 0.1},
        "epochs": 3,
        "lr": 2e-3,
        "device": "cpu",
        "threads": 1,
    }
    return TrainConfig(**{**values, **changes})
