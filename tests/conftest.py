"""Fixtures that every room uses."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest


def shared_data() -> Path:
    """Where real slides, features and golden numbers lie, if they do."""
    default = Path(__file__).resolve().parents[2] / "shared"
    return Path(os.environ.get("NAPARI_MHIM_TEST_DATA", default))


@pytest.fixture(scope="session")
def test_data() -> Path:
    root = shared_data()
    if not root.is_dir():
        pytest.skip(f"no test data at {root}: set NAPARI_MHIM_TEST_DATA")
    return root


@dataclass(frozen=True)
class SmallRun:
    """A workspace with small phantoms, their features, a baseline and an MHIM model."""

    workspace: str
    slides: list[str]
    bundle: str
    baseline: str


@pytest.fixture(scope="session")
def small_run(tmp_path_factory) -> SmallRun:
    from napari_mhim import pipeline
    from napari_mhim.features.config import ExtractConfig
    from napari_mhim.mil.config import TrainConfig
    from napari_mhim.mil.train import FitDone
    from napari_mhim.phantom import CohortConfig, PhantomConfig, write_cohort

    folder = tmp_path_factory.mktemp("small-run")
    small = CohortConfig(slide=PhantomConfig(shape=(1024, 1536)))
    list(write_cohort(folder, n_slides=12, seed=1, config=small))
    events = pipeline.train(
        str(folder),
        str(folder / "cohort.csv"),
        TrainConfig(epochs=3, device="cpu", threads=1),
        ExtractConfig(mpp=1.0, patch_model_px=64, device="cpu"),
    )
    done = list(events)[-1]
    assert isinstance(done, FitDone)
    slides = sorted(str(path) for path in (folder / "slides").glob("*.tif"))
    return SmallRun(str(folder), slides, done.bundle_path, done.baseline_path)
