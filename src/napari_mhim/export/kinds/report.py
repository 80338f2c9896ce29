"""One page of HTML for a reader: picture, score, hard patches, exclusions, versions.

It is no pathology report: there is no line for a diagnosis. All images are in the file, and
no label or macro image of the slide is. Names are escaped by the template.
"""

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mhim import __version__
from napari_mhim.events import Progress
from napari_mhim.export import words
from napari_mhim.export.crops import AROUND, address, hard_crops
from napari_mhim.export.drawing import figure
from napari_mhim.export.overlay import how_to_read
from napari_mhim.export.source import Source
from napari_mhim.slide.regions import Region, cells_inside
from napari_mhim.workspace import writing

SUFFIX = ".html"
ABOUT = "One page to keep or print: picture, score, hard patches, exclusions, versions."
_DPI = 110


def write(source: Source, path: Path) -> Iterator[Progress]:
    """Write the page; yields when the patches are cut out, and when it is written."""
    import jinja2

    stage = f"report of {source.result.slide}"
    yield Progress(stage, 0, 2, "steps")
    content = page(source)
    yield Progress(stage, 1, 2, "steps")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    text = (files("napari_mhim.export") / "page.html").read_text(encoding="utf-8")
    made = environment.from_string(text).render(content)
    with writing(path) as part:
        part.write_text(made, encoding="utf-8", newline="\n")
    yield Progress(stage, 2, 2, "steps")


def page(source: Source) -> dict[str, Any]:
    """Gather what the page says.

    Parameters
    ----------
    source : Source
        What is exported.

    Returns
    -------
    dict
        Texts, pictures as ``data:`` addresses, and rows of tables.
    """
    result = source.result
    return {
        "words": words,
        "notice": words.NOTICE,
        "banner": words.banner(result),
        "name": result.slide,
        "slide_line": _slide_line(source),
        "score": words.score_line(result),
        "others": _others(source),
        "without": _without(source),
        "picture": address(_picture(source)),
        "crops": hard_crops(source),
        "crops_line": _crops_line(source),
        "no_rings": words.no_rings(source.class_name),
        "no_regions": "None was drawn; nothing was left out."
        if source.excluded is None
        else "The outlines of what was left out were not given with this export.",
        "regions": [_region(source, one) for one in source.regions],
        "overlay_line": how_to_read(source) or "No overlay is shown.",
        "sum_line": f"Evidence of all patches: {words.sum_kind(result)}",
        "hidden_line": f"Hidden by teacher: {words.hidden(result)}",
        "facts": list(_facts(source)),
    }


def _picture(source: Source) -> NDArray[np.uint8]:
    from PIL import Image

    buffer = io.BytesIO()
    with figure(source) as drawn:
        drawn.savefig(buffer, format="png", dpi=_DPI, bbox_inches="tight")
    return np.array(Image.open(buffer).convert("RGB"))


def _slide_line(source: Source) -> str:
    height, width = source.result.slide_shape
    text = f"{width} × {height} px"
    if (mpp := source.result.slide_mpp) is not None:
        mm = width * mpp[1] / 1000, height * mpp[0] / 1000
        text = f"{mm[0]:.2f} × {mm[1]:.2f} mm ({text})"
    return f"{text}, {len(source.result)} patches"


def _others(source: Source) -> str:
    """Give the scores of all classes where there are more than two, else ""."""
    result = source.result
    if len(result.classes) <= 2:
        return ""
    pairs = zip(result.classes, result.probabilities, strict=True)
    return " · ".join(f"{name} {value:.2f}" for name, value in pairs)


def _without(source: Source) -> str:
    """Say the score without the excluded regions; the original one stays above it."""
    result = source.result
    if source.excluded is None:
        return ""
    n = sum(one.kind == "exclude" for one in source.regions)
    out = int(source.excluded.sum())
    # the result itself can know what was left out, without its outlines
    areas = {0: "excluded areas", 1: "excluded area"}.get(n, f"{n} excluded areas")
    areas += f" ({out} of {len(result)} patches)"
    if source.without is None:
        why = (
            "no patch is left"
            if source.excluded.all()
            else "model and features of the slide were not given"
        )
        return f"The score above is with the {areas}. Without: not worked out ({why})."
    score = float(source.without[result.target])
    side = words.side(result, score)
    return (
        f"Score without the {areas}: {result.score:.2f} → {score:.2f}"
        f"{f' ({side})' if side else ''}. {words.WHAT_IF}"
    )


def _crops_line(source: Source) -> str:
    grid = source.result.grid
    if source.result.slide_mpp is None:
        wide = f"{grid.patch_px[1]:.0f} px"
    else:
        wide = f"{grid.patch_px[1] * source.result.slide_mpp[1]:.0f} µm"
    return (
        f"The square is the patch, {wide} wide; the picture shows {AROUND:g} times as "
        "much. Numbers as in the picture above."
    )


def _region(source: Source, one: Region) -> dict[str, str]:
    inside = int(cells_inside(one, source.result.grid).sum())
    mpp = source.result.slide_mpp
    if mpp is None:
        area = f"{one.area_px:.0f} px²"
    else:
        area = f"{one.area_px * mpp[0] * mpp[1] / 1e6:.3f} mm²"
    kinds = {"exclude": "excluded", "hint": "hint", "note": "note"}
    texts = [one.class_name, one.reason, one.name]
    if one.kind == "exclude" and not one.reason:
        texts.append("no reason given")
    said = " · ".join(text for text in texts if text) or "–"
    return {
        "kind": kinds[one.kind],
        "said": said,
        "area": area,
        "patches": str(inside),
    }


def _facts(source: Source) -> Iterator[tuple[str, str]]:
    result, model = source.result, source.model
    made = dict(result.provenance)
    grid = result.grid
    yield "Model", f"{result.bundle}, {result.bundle_id}"
    if model is not None:
        teacher = "with" if model.has_teacher else "without"
        yield "Trained as", f"{model.model}, recipe {model.recipe}, {teacher} a teacher"
    encoder = made.get("encoder", "not stated")
    yield "Encoder", encoder
    licence = model.encoder_licence if model is not None else ""
    yield (
        "Licence of the encoder",
        licence or "not stated; ask before sharing the model",
    )
    yield (
        "Patches",
        f"{len(result)}, {grid.patch_model_px} px at {grid.mpp:g} µm per px",
    )
    if result.slide_mpp is not None:
        y, x = result.slide_mpp
        yield "Scale of the slide", f"{y:.4g} × {x:.4g} µm per px (y × x)"
    yield "Hidden by teacher", f"{int(result.mask.sum())} patches would be, in training"
    yield "Colour limits of evidence", made.get("evidence limits", "not stated")
    yield "Slide's fingerprint", result.fingerprint[:16] or "unknown"
    yield "Run", f"{made.get('time', 'at an unknown time')}, {made.get('device', '')}"
    yield (
        "Program",
        f"napari-mhim {made.get('napari-mhim', 'unknown')}; page written by "
        f"{__version__}, {datetime.now(UTC).isoformat(timespec='minutes')}",
    )
