"""Fixtures of stores made of random rows."""

from pathlib import Path

import numpy as np
import pytest
from made_stores import DIM, made_meta

from napari_mhim.features.store import StoreMeta


@pytest.fixture
def meta() -> StoreMeta:
    return made_meta()


@pytest.fixture
def vectors(meta: StoreMeta) -> np.ndarray:
    rng = np.random.default_rng(1)
    return rng.normal(size=(len(meta.grid), DIM)).astype(np.float32)


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    return tmp_path / "features" / "case-07 [2].h5"
