"""An evaluation as files: ``metrics.json``, tables, a report of one page and pictures."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from napari_mhim import __version__
from napari_mhim.export.curves import write_confusion, write_reliability, write_roc
from napari_mhim.export.report import report
from napari_mhim.export.tables import NOTICE
from napari_mhim.mil.calibration import calibration_as_dict
from napari_mhim.mil.evaluate import metrics_as_dict
from napari_mhim.mil.evaluation import Evaluation, Group
from napari_mhim.workspace import writing


def write_evaluation(
    found: Evaluation, folder: Path, pictures: Mapping[str, str] | None = None
) -> Path:
    """Write an evaluation into a folder.

    Parameters
    ----------
    found : Evaluation
        The figures.
    folder : Path
        Where to write; made if missing.
    pictures : mapping of str to str, optional
        Title and file name of pictures that lie there already, for the report.

    Returns
    -------
    Path
        The folder, with ``metrics.json`` (written last: a folder with it is complete),
        ``predictions.csv``, ``patients.csv`` where a patient has several slides,
        ``report.md``, ``roc.png``, ``reliability.png`` and ``confusion.png``.

    Raises
    ------
    WorkspaceError
        If the folder cannot be written or the disk is full.
    """
    classes, target = found.config.classes, found.config.target_index
    groups = [found.slides, *([found.patients] if found.patients else [])]
    write_roc(groups, classes, target, folder / "roc.png")
    write_reliability(groups[-1], folder / "reliability.png")
    write_confusion(groups[-1], classes, folder / "confusion.png")
    _write_text(folder / "predictions.csv", _table(_slide_rows(found), found))
    if found.patients:
        rows = list(_rows(found.patients, classes))
        _write_text(folder / "patients.csv", _table(rows, found))
    own = {"ROC": "roc.png", "Reliability": "reliability.png"}
    shown = {**own, "Confusion": "confusion.png", **(pictures or {})}
    _write_text(folder / "report.md", report(found, shown))
    plain = json.dumps(as_dict(found), indent=2, allow_nan=False)
    _write_text(folder / "metrics.json", plain + "\n")
    return folder


def as_dict(found: Evaluation) -> dict[str, Any]:
    """Give an evaluation as plain values for JSON, NaN as None.

    Parameters
    ----------
    found : Evaluation
        The figures.

    Returns
    -------
    dict
        Model, slides, cut-off with its origin, and figures by slide and by patient.
    """
    config = found.config
    return {
        "notice": NOTICE,
        "model": config.name,
        "model_id": found.model_id,
        "encoder": config.encoder_id,
        "classes": list(config.classes),
        "class_of_interest": config.classes[config.target_index],
        "cutoff": None if config.cutoff is None else vars(config.cutoff),
        "calibrated": config.calibrated,
        "temperature": config.temperature,
        "calibrated_on": config.calibrated_on,
        "aggregation": config.aggregation,
        "asked": found.asked,
        "roles": {role: found.roles.count(role) for role in dict.fromkeys(found.roles)},
        "by_slide": _figures(found.slides),
        "by_patient": _figures(found.patients) if found.patients else None,
        "notes": list(found.notes),
        "napari-mhim": __version__,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _figures(group: Group) -> dict[str, Any]:
    return {
        "n": len(group.labels),
        **metrics_as_dict(group.metrics),
        "calibration": calibration_as_dict(group.calibration),
    }


def _slide_rows(found: Evaluation) -> list[dict[str, object]]:
    rows = _rows(found.slides, found.config.classes)
    return [
        {"slide": row.slide, "patient": row.patient, "role": role, **values}
        for row, role, values in zip(found.rows, found.roles, rows, strict=True)
    ]


def _rows(group: Group, classes: Sequence[str]) -> Iterator[dict[str, object]]:
    for index, name in enumerate(group.names):
        label, called = int(group.labels[index]), int(group.called[index])
        yield {
            group.unit: name,
            "label": classes[label],
            "called": classes[called],
            "right": label == called,
            **{
                f"score_{name}": f"{value:.6f}"
                for name, value in zip(classes, group.probabilities[index], strict=True)
            },
        }


def _table(rows: Sequence[Mapping[str, object]], found: Evaluation) -> str:
    text = io.StringIO()
    text.write(f"# {NOTICE} model {found.config.name}\n")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _write_text(path: Path, text: str) -> None:
    with writing(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")
