"""Slides and results made for the window's tests: not square, unequal mpp, ragged edges."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_mhim.mil.result import Cutoff, SlideResult
from napari_mhim.phantom.truth import PhantomTruth, write_truth
from napari_mhim.slide.tiling import PatchGrid
from napari_mhim.slide.write import write_pyramid

MPP = (0.5, 0.4)
SHAPE = (1100, 1700)


def grid() -> PatchGrid:
    """Rows of 96 x 120 px patches (48 um both ways), cells in an ellipse only."""
    patch = np.array([48 / MPP[0], 48 / MPP[1]])
    rows, cols = 10, 13
    y, x = np.mgrid[:rows, :cols]
    inside = ((y - 4.5) / 5) ** 2 + ((x - 6) / 6.5) ** 2 < 1
    return PatchGrid(
        origin=np.array([40.5, 60.25]),
        stride_px=patch,
        patch_px=patch,
        shape=(rows, cols),
        cells=np.argwhere(inside).astype(np.int32),
        mpp=0.5,
        patch_model_px=96,
    )


def result(positive: bool = True, seed: int = 0, **changes) -> SlideResult:
    """A result whose first 8 patches are easy tumour, the next 12 hard tumour."""
    draw = np.random.default_rng(seed)
    where = grid()
    n = len(where)
    push = draw.normal(-0.4, 0.05, n)
    if positive:
        push[:8], push[8:20] = 3.0, 1.0
    attention = np.exp(push + draw.normal(0, 0.1, n))
    attention /= attention.sum()
    teacher = push + draw.normal(0, 0.1, n)
    mask = np.zeros(n, bool)
    mask[np.argsort(-teacher)[:8]] = True
    made = SlideResult(
        slide="case",
        path="",
        fingerprint="",
        slide_shape=SHAPE,
        slide_mpp=MPP,
        grid=where,
        bundle="MHIM made",
        bundle_id="1234",
        classes=("normal", "tumour"),
        target=1,
        probabilities=np.array([0.09, 0.91] if positive else [0.79, 0.21], np.float32),
        remaining=np.array([0.4, 0.6] if positive else [0.8, 0.2], np.float32),
        attention=attention[None].astype(np.float32),
        branches=("attention",),
        evidence=np.stack([-push, push], axis=1).astype(np.float32),
        evidence_kind="exact",
        evidence_limits=np.array([4.0, 4.0], np.float32),
        student_scores=attention.astype(np.float32),
        teacher_scores=teacher.astype(np.float32),
        score_source="teacher",
        mask=mask,
        mask_ratio_high=0.12,
        cutoff=Cutoff(0.44, 8, "validation"),
        role="test",
    )
    return replace(made, **changes)


def truth() -> PhantomTruth:
    """One easy lesion over the first patches, one hard lesion over the next row."""
    corners = grid().corners
    size = grid().patch_px

    def box(rows: slice) -> np.ndarray:
        low, high = corners[rows].min(axis=0), corners[rows].max(axis=0) + size
        return np.array([low, (low[0], high[1]), high, (high[0], low[1])])

    return PhantomTruth(
        shape=SHAPE,
        mpp=MPP,
        polygons={"easy": (box(slice(0, 7)),), "hard": (box(slice(8, 12)),)},
    )


def pixels() -> np.ndarray:
    """Pink tissue on white; each patch has its own grey level in its middle."""
    image = np.full((*SHAPE, 3), 243, np.uint8)
    where = grid()
    draw = np.random.default_rng(1)
    for corner in where.corners:
        y, x = np.round(corner).astype(int)
        h, w = np.round(where.patch_px).astype(int)
        block = image[y : y + h, x : x + w]
        block[:] = (226, 168, 200)
        speckle = draw.random(block.shape[:2]) < 0.08
        block[speckle] = (110, 70, 140)
    return image


def write_folder(
    folder: Path, name: str, positive: bool = True, mpp: tuple | None = MPP
) -> None:
    """Write what a sample folder holds for one slide."""
    slide = folder / f"{name}.tiff"
    write_pyramid(slide, pixels(), mpp)
    write_truth(slide, truth(), {})
    result(positive, slide=name, slide_mpp=mpp).save(folder / f"{name}.h5")
    baseline = result(
        positive,
        seed=3,
        slide=name,
        slide_mpp=mpp,
        bundle="baseline",
        score_source="own scores",
        probabilities=np.array([0.35, 0.65], np.float32),
    )
    baseline.save(folder / f"{name}.baseline.h5")
