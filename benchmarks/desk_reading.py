"""What one step of a mask slider takes: part of ``desk.py``."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

IN_DIM = 384
MODELS = ("abmil", "dsmil", "clam_mb", "mean")
"""Models whose score follows the slider live."""
RATIOS = (0.05, 0.2, 0.35, 0.5, 0.65)


def reading(sizes: tuple[int, ...]) -> Iterator[dict[str, Any]]:
    """Time one step: the mask, then the score of what is left; processor time.

    "As a bag of its own" is the same score the way a prediction works it out.
    """
    for model in MODELS:
        for n in sizes:
            yield {"model": model, "patches": n, **_read(model, n)}


def _read(model: str, n: int) -> dict[str, float]:
    from napari_mhim.mil.bags import Bag
    from napari_mhim.mil.questions import HideBy
    from napari_mhim.mil.reading import Reading

    features = np.random.default_rng(n).standard_normal((n, IN_DIM), np.float32)
    steps = []
    with tempfile.TemporaryDirectory() as folder:
        bundle = _made_bundle(model, Path(folder) / "bundle")
        reading = Reading(bundle, Bag("made", features, encoder_id="made"), "cpu")
        for ratio in RATIOS:
            start = time.process_time()
            answers = reading.answer(HideBy(mask_ratio_high=ratio))
            hidden: Any = next(answers)
            masked = time.process_time()
            next(answers)
            scored = time.process_time()
            alone = _as_a_bag(bundle, features[~hidden.mask])
            steps.append((masked - start, scored - masked, alone))
    mask, score, alone = np.median(steps, axis=0).tolist()
    return {"mask": mask, "score": score, "as a bag of its own": alone}


def _as_a_bag(bundle: Any, features: np.ndarray) -> float:
    import torch

    student = bundle.student("cpu")
    with torch.no_grad():
        h = student.embed(torch.from_numpy(features))
        start = time.process_time()
        student.probabilities(student.aggregate(h))
        return time.process_time() - start


def _made_bundle(model: str, folder: Path) -> Any:
    import torch

    from napari_mhim import _parts
    from napari_mhim.features.config import ExtractConfig
    from napari_mhim.mil.bundle import save_bundle
    from napari_mhim.mil.bundle_config import BundleConfig

    torch.manual_seed(0)
    build = _parts.load("napari_mhim.mil.models", model).build
    tensors = {
        f"{who}.{name}": tensor
        for who in ("student", "teacher")
        for name, tensor in build(IN_DIM, 2).state_dict().items()
    }
    config = BundleConfig(
        name="made",
        model=model,
        in_dim=IN_DIM,
        classes=("normal", "tumour"),
        encoder_id="made",
        extract=ExtractConfig(),
        has_teacher=True,
    )
    return save_bundle(folder, config, tensors, "made")
