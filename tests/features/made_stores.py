"""Made stores: a grid with holes, and whose features they are."""

from dataclasses import replace

import numpy as np

from napari_mhim.features.store import StoreMeta
from napari_mhim.slide.tiling import PatchGrid

DIM = 7


def made_meta(n_patches: int = 50, seed: int = 0, **changes: object) -> StoreMeta:
    """A grid with holes, not square, whose axes have nothing in common."""
    rng = np.random.default_rng(seed)
    shape = (n_patches // 3 + 2, 9)
    used = rng.choice(shape[0] * shape[1], n_patches, replace=False)
    grid = PatchGrid(
        origin=np.array([12.25, 100.5]),
        stride_px=np.array([120.3, 110.7]),
        patch_px=np.array([240.6, 221.4]),
        shape=shape,
        cells=np.stack(np.unravel_index(np.sort(used), shape), 1).astype(np.int32),
        mpp=0.5,
        patch_model_px=256,
    )
    meta = StoreMeta(
        slide_name="case-07",
        fingerprint="ab" * 32,
        slide_shape=(9000, 7001),
        slide_mpp=(0.532, 0.578),
        encoder_id="texture#0123456789ab",
        dim=DIM,
        grid=grid,
        overlap=0.5,
        min_tissue=0.25,
    )
    return replace(meta, **changes)
