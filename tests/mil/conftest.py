"""A trained run that several tests look at, made once."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_bags import CLASSES, make_bags, make_grid, small_config

from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.result import SlideResult
from napari_mhim.mil.train import FitDone, fit


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "made"
    bags = make_bags(12)
    events = list(fit(bags[:8], bags[8:], CLASSES, small_config(), run))
    assert isinstance(events[-1], FitDone)
    return run


@pytest.fixture
def bundle(trained_run: Path) -> Bundle:
    return Bundle.open(trained_run / "bundle")


@pytest.fixture
def make_result() -> Callable[..., SlideResult]:
    def build(n: int = 9, **changes: object) -> SlideResult:
        generator = np.random.default_rng(n)
        attention = generator.random((1, n), np.float32)
        evidence = generator.normal(size=(n, 1)).astype(np.float32)
        values: dict[str, object] = {
            "slide": "case-07",
            "path": "/slides/case-07.svs",
            "fingerprint": "ab" * 32,
            "slide_shape": (900, 700),
            "slide_mpp": (0.25, 0.26),
            "grid": make_grid(n, columns=4),
            "bundle": "made",
            "bundle_id": "0123456789abcdef",
            "classes": CLASSES,
            "target": 1,
            "probabilities": np.array([0.3, 0.7], np.float32),
            "remaining": np.array([0.4, 0.6], np.float32),
            "attention": attention / attention.sum(),
            "branches": ("attention",),
            "evidence": np.concatenate([-evidence, evidence], axis=1),
            "evidence_kind": "exact",
            "evidence_limits": np.array([1.5, 1.5], np.float32),
            "student_scores": generator.permutation(n).astype(np.float32),
            "teacher_scores": generator.permutation(n).astype(np.float32),
            "score_source": "teacher",
            "mask": np.arange(n) % 3 == 0,
            "mask_ratio_high": 0.3,
        }
        return SlideResult(**{**values, **changes})

    return build
