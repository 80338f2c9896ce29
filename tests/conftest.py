"""Fixtures that every room uses."""

import csv
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from napari_mhim.features.config import ExtractConfig
from napari_mhim.mil.result import Cutoff, SlideResult
from napari_mhim.slide.tiling import PatchGrid

# no test is timed: a busy machine is no fault of the code
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


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


@pytest.fixture
def made_result() -> SlideResult:
    """A slide of 40 by 60 patches, not square, of which 300 hold tissue."""
    rng = np.random.default_rng(3)
    cells = np.argwhere(rng.random((40, 60)) < 0.15)[:300].astype(np.int32)
    n = len(cells)
    attention = rng.random((1, n)).astype(np.float32)
    attention /= attention.sum()
    towards = rng.normal(size=n).astype(np.float32)
    return SlideResult(
        slide="case-01",
        path="case-01.tif",
        fingerprint="f" * 64,
        slide_shape=(5200, 9000),
        slide_mpp=(0.5, 0.25),
        grid=PatchGrid(
            origin=np.array([10.0, 20.0]),
            stride_px=np.array([128.0, 148.5]),
            patch_px=np.array([128.0, 148.5]),
            shape=(40, 60),
            cells=cells,
            mpp=0.5,
            patch_model_px=128,
        ),
        bundle="mhim",
        bundle_id="abc",
        classes=("normal", "tumour"),
        target=1,
        probabilities=np.array([0.25, 0.75], np.float32),
        remaining=np.array([0.4, 0.6], np.float32),
        attention=attention,
        branches=("attention",),
        evidence=np.stack([-towards, towards], axis=1),
        evidence_kind="exact",
        evidence_limits=np.array([2.0, 2.0], np.float32),
        student_scores=attention[0],
        teacher_scores=rng.random(n).astype(np.float32),
        score_source="teacher",
        mask=rng.random(n) < 0.1,
        mask_ratio_high=0.1,
        cutoff=Cutoff(0.44, 8, "validation"),
        role="test",
    )


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


@dataclass(frozen=True)
class AddedSlides:
    """Twelve small slides that no model has seen, and their features, made once."""

    folder: Path
    rows: tuple[dict[str, str], ...]

    def write(self, path: Path, rows: Iterable[dict[str, str]] = ()) -> Path:
        """Write a label table of some rows, all where none are given."""
        chosen = list(rows) or list(self.rows)
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(chosen[0]))
            writer.writeheader()
            writer.writerows(chosen)
        return path

    def give_features(self, place: Path, config: ExtractConfig) -> None:
        """Put their features into a workspace, as if they had been extracted there."""
        from napari_mhim import pipeline

        slides = [row["path"] for row in self.rows]
        list(pipeline.extract_slides(slides, str(self.folder), config))
        shutil.copytree(
            self.folder / "features", place / "features", dirs_exist_ok=True
        )


@pytest.fixture(scope="session")
def added_slides(tmp_path_factory) -> AddedSlides:
    """The first eight are four of each class; roles are as the phantom gives them."""
    from napari_mhim.phantom import CohortConfig, PhantomConfig, write_cohort

    folder = tmp_path_factory.mktemp("added")
    small = CohortConfig(slide=PhantomConfig(shape=(1024, 1536)))
    list(write_cohort(folder, n_slides=12, seed=9, config=small))
    with (folder / "cohort.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    of_class = {
        name: [r for r in found if r["label"] == name] for name in ("normal", "tumour")
    }
    some = [row for rows in of_class.values() for row in rows[:4]]
    rows = some + [row for row in found if row not in some]
    for number, row in enumerate(rows):
        slide = folder / row["path"]
        row["path"] = str(slide.rename(slide.with_name(f"new-{number}.tif")))
        row["slide"] = row["patient"] = f"new-{number}"
    return AddedSlides(folder, tuple(rows))
