"""A result as a folder of files: what ``napari-mhim predict --out`` writes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mhim.errors import ConfigError
from napari_mhim.export.kinds import picture
from napari_mhim.export.options import ExportOptions
from napari_mhim.export.source import open_source
from napari_mhim.export.tables import NOTICE, SUFFIXES, write_patches
from napari_mhim.mil.result import SlideResult, hard_instances
from napari_mhim.workspace import writing


def write_folder(
    result_path: str, slide: str, folder: Path, table: str = "csv"
) -> Path:
    """Write a result as ``prediction.json``, a table of patches and ``heatmap.png``.

    Parameters
    ----------
    result_path : str
        Result file.
    slide : str
        Path of the slide, for the picture under the heatmap.
    folder : Path
        Where to write; made if missing.
    table : str
        ``"csv"`` or ``"parquet"``.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ConfigError
        If ``table`` is neither.
    StoreError, SlideError
        If the result or the slide cannot be read.
    FeatureMismatchError
        If the result is of another slide.
    WorkspaceError
        If the folder cannot be written or the disk is full.
    """
    if f".{table}" not in SUFFIXES:
        raise ConfigError(f"table must be csv or parquet, got {table!r}")
    with open_source(result_path, slide, ExportOptions()) as source:
        result = source.result
        write_patches(result, folder / f"patches.{table}")
        list(picture.write(source, folder / "heatmap.png"))
    # last: a folder with a prediction in it is complete
    with writing(folder / "prediction.json") as part:
        part.write_text(json.dumps(summary(result), indent=2) + "\n", encoding="utf-8")
    return folder


def summary(result: SlideResult) -> dict[str, Any]:
    """Give a result's figures as plain values.

    Parameters
    ----------
    result : SlideResult
        What the model saw.

    Returns
    -------
    dict
        Scores by class, cut-off, counts and where they came from; JSON takes it.
    """
    cutoff = result.cutoff
    return {
        "notice": NOTICE,
        "slide": result.slide,
        "slide_fingerprint": result.fingerprint,
        "model": result.bundle,
        "model_id": result.bundle_id,
        "probabilities": _by_class(result, result.probabilities),
        "probabilities_without_excluded": _by_class(result, result.excluding),
        "class_of_interest": result.classes[result.target],
        "cutoff": cutoff and {"value": cutoff.value, "n": cutoff.n, "on": cutoff.where},
        "above_cutoff": cutoff and result.score >= cutoff.value,
        "calibrated": result.calibrated,
        "role_in_training": result.role,
        "patches": len(result),
        "excluded_patches": 0
        if result.excluded is None
        else int(result.excluded.sum()),
        "hidden_by_teacher": int(result.mask.sum()),
        "mask_ratio_high": result.mask_ratio_high,
        "hard_patches": len(hard_instances(result)),
        "evidence": result.evidence_kind,
        "provenance": dict(result.provenance),
    }


def _by_class(
    result: SlideResult, scores: NDArray[np.float32] | None
) -> dict[str, float] | None:
    if scores is None:
        return None
    pairs = zip(result.classes, scores, strict=True)
    return {name: round(float(value), 6) for name, value in pairs}
