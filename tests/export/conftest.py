from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_mhim.mil.result import SlideResult
from napari_mhim.slide import fingerprint, open_slide, patch_grid
from napari_mhim.slide.tiling import GridConfig
from napari_mhim.slide.write import write_pyramid


@pytest.fixture
def sample() -> Path:
    """The folder of slides, results and model that come with the program."""
    return Path(__file__).parents[2] / "src" / "napari_mhim" / "sample"


@pytest.fixture
def slide_path(tmp_path: Path) -> Path:
    """A slide that is not square: bright, with a darker stripe."""
    pixels = np.full((1040, 1800, 3), 230, np.uint8)
    pixels[300:420, 200:1500] = (150, 90, 140)
    path = tmp_path / "slides" / "case-01.tif"
    write_pyramid(path, pixels, mpp=(0.5, 0.25))
    return path


@pytest.fixture
def result(made_result: SlideResult, slide_path: Path) -> SlideResult:
    """What a model saw on that slide: patches of unequal sides, off the corner."""
    grid = replace(
        made_result.grid,
        origin=np.array([2.0, 4.0]),
        stride_px=np.array([25.6, 29.7]),
        patch_px=np.array([25.6, 29.7]),
    )
    return replace(
        made_result,
        grid=grid,
        path=str(slide_path),
        slide_shape=(1040, 1800),
        slide_mpp=(0.5, 0.25),
        fingerprint=fingerprint(slide_path),
    )


@pytest.fixture
def result_path(result: SlideResult, tmp_path: Path) -> Path:
    path = tmp_path / "results" / "case-01.h5"
    result.save(path)
    return path


@pytest.fixture
def real(test_data: Path, made_result: SlideResult) -> tuple[SlideResult, Path]:
    """A scanner's file, and made figures on its patches."""
    path = test_data / "data" / "slides" / "aperio" / "CMU-1-Small-Region.svs"
    with open_slide(path) as slide:
        grid = patch_grid(slide.shape, slide.mpp, None, GridConfig(patch_model_px=128))
        n, rng = len(grid), np.random.default_rng(4)
        weights = rng.dirichlet(np.full(n, 0.3)).astype(np.float32)
        towards = rng.normal(size=n).astype(np.float32)
        found = replace(
            made_result,
            slide=slide.name,
            path=str(path),
            fingerprint=slide.fingerprint,
            slide_shape=slide.shape,
            slide_mpp=slide.mpp,
            grid=grid,
            attention=weights[None],
            evidence=np.stack([-towards, towards], axis=1),
            student_scores=weights,
            teacher_scores=rng.random(n).astype(np.float32),
            mask=rng.random(n) < 0.1,
        )
    return found, path
