"""Patches as QuPath's tiles with measurements, and the regions drawn, in GeoJSON.

In QuPath: drag the file onto the open slide; *Measure → Show measurement maps* colours the
tiles.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mhim import __version__
from napari_mhim.events import Progress
from napari_mhim.export.palette import AGAINST, FOR
from napari_mhim.export.source import Source
from napari_mhim.export.tables import NOTICE, patch_table
from napari_mhim.mil.result import SlideResult, hard_instances
from napari_mhim.slide.geojson import collection, feature
from napari_mhim.workspace import writing

SUFFIX = ".geojson"
ABOUT = "Patches as QuPath tiles with measurements, and regions as annotations."
_STEP = 5000  # tiles between two events: some tenths of a second


def write(source: Source, path: Path) -> Iterator[Progress]:
    """Write tiles and regions; yields how many tiles are done."""
    result, total = source.result, len(source.rows)
    stage = f"GeoJSON of {result.slide}"
    ours = {
        "notice": NOTICE,
        "program": f"napari-mhim {__version__}",
        "model": result.bundle,
        "model_id": result.bundle_id,
        "scores": {
            name: round(float(value), 6)
            for name, value in zip(result.classes, result.probabilities, strict=True)
        },
        "tiles": source.options.patches,
        "tiles_of": len(result),
        "class": source.class_name,
        "evidence_kind": result.evidence_kind,
        "evidence_limits": [float(limit) for limit in result.evidence_limits],
    }
    with writing(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        pieces = collection(source.identity, _features(source), **ours)
        for done, piece in enumerate(pieces, start=1):
            file.write(piece)
            if done % _STEP == 0:
                yield Progress(stage, min(done, total), total)
    yield Progress(stage, total, total)


def measurements(source: Source) -> dict[str, NDArray[np.float64]]:
    """Give what each patch's tile measures.

    Parameters
    ----------
    source : Source
        What is exported, N patches.

    Returns
    -------
    dict of str to ndarray, shape (N,), float64
        By QuPath's name of the measurement; booleans are 0 and 1, NaN is not written.
    """
    result = source.result
    table = patch_table(result, source.class_index, source.options.top)
    teacher = "Teacher" if result.score_source == "teacher" else "Own"
    named = {
        **{name: _capital(name) for name in result.branches},
        "attention_percentile": "Attention percentile",
        **{f"evidence_{c}": f"Evidence: {c}" for c in result.classes},
        **{f"contribution_{c}": f"Contribution: {c}" for c in result.classes},
        "student_score": "Student score",
        "student_rank": "Student rank",
        "teacher_score": f"{teacher} score",
        "teacher_rank": f"{teacher} rank",
        "hidden_by_teacher": "Hidden by teacher",
    }
    found = {
        label: table[column].to_numpy(np.float64) for column, label in named.items()
    }
    rank = table["hard_rank"].to_numpy(np.float64, na_value=np.nan)
    found["Hard"] = np.isfinite(rank).astype(np.float64)
    found["Hard rank"] = rank
    if source.excluded is not None:
        found["Excluded"] = source.excluded.astype(np.float64)
    return found


def _features(source: Source) -> Iterator[str]:
    yield from (feature(one, source.identity) for one in source.regions)
    yield from _tiles(source)


def _tiles(source: Source) -> Iterator[str]:
    result, index = source.result, source.class_index
    columns = {
        json.dumps(label, ensure_ascii=False): values
        for label, values in measurements(source).items()
    }
    sides = np.sign(result.evidence[:, index]).astype(int)
    classes = {side: _classification(source.class_name, side) for side in (-1, 0, 1)}
    corners = _corners(result, source.identity.origin_px)
    hard = hard_instances(result, index, source.options.top)
    reasons = dict(zip(hard.index.tolist(), hard.reasons, strict=True))
    for row in source.rows.tolist():
        top, left, bottom, right = corners[row].tolist()
        ring = ((left, top), (right, top), (right, bottom), (left, bottom), (left, top))
        points = ",".join(f"[{x!r},{y!r}]" for x, y in ring)
        numbers = ",".join(
            f"{label}:{values[row]:.9g}"  # a float32 comes back as it was
            for label, values in columns.items()
            if np.isfinite(values[row])
        )
        yield (
            '{"type":"Feature","geometry":{"type":"Polygon","coordinates":[['
            f'{points}]]}},"properties":{{"objectType":"tile",{classes[sides[row]]}'
            f'{_said(reasons.get(row))}"measurements":{{{numbers}}}}}}}'
        )


def _corners(result: SlideResult, origin: tuple[float, float]) -> NDArray[np.float64]:
    """Give top, left, bottom, right of each patch, cut at the slide's edge, shape (N, 4)."""
    start = result.grid.corners
    end = np.minimum(start + result.grid.patch_px, result.slide_shape)
    start = np.maximum(start, 0)
    corners: NDArray[np.float64] = np.hstack([start - origin, end - origin])
    return corners.round(2)


def _classification(name: str, side: int) -> str:
    """Give the class of a tile by the sign of its evidence; none where it is 0."""
    if not side:
        return ""
    text = f"Evidence {'for' if side > 0 else 'against'} {name}"
    content = {"name": text, "color": list(FOR if side > 0 else AGAINST)}
    return f'"classification":{json.dumps(content, ensure_ascii=False)},'


def _said(reason: str | None) -> str:
    if reason is None:
        return ""
    metadata: dict[str, Any] = {"MHIM hard patch": reason}
    return f'"metadata":{json.dumps(metadata, ensure_ascii=False)},'


def _capital(name: str) -> str:
    return name[:1].upper() + name[1:]
