"""A study's folder: what is compared, on which folds, and what came out.

::

    settings.json      StudyConfig, every setting, classes, how features were made
    splits.csv         repeat, fold, slide, patient, label, role
    environment.json   versions of what computed
    repeat-1/fold-2/<setting>/   a run's folder, as of a single run, and predictions.csv
    predictions.csv    what every setting says of the slides it never saw
    study.csv, study.json, study.md   the table
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_mhim.errors import ConfigError, TrainingError
from napari_mhim.features.config import ExtractConfig
from napari_mhim.mil.run import RunFolder, environment, write_json
from napari_mhim.mil.study.config import Setting, StudyConfig
from napari_mhim.mil.study.folds import Fold
from napari_mhim.workspace import safe, writing

# where and how fast, and nothing of what comes out
_FREE = ("device", "threads", "batch_size")


class StudyFolder:
    """One study on disk.

    Parameters
    ----------
    path : Path
        Its folder; made on the first write.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    @property
    def predictions_path(self) -> Path:
        """Give the file of all predictions on slides that were not seen."""
        return self.path / "predictions.csv"

    def member(self, fold: Fold, setting: str) -> RunFolder:
        """Give the run of one setting on one fold."""
        place = self.path / f"repeat-{fold.repeat}" / f"fold-{fold.number}"
        return RunFolder(place / safe(setting))

    def begin(
        self,
        study: StudyConfig,
        settings: Sequence[Setting],
        folds: Sequence[Fold],
        extract: ExtractConfig | None,
    ) -> None:
        """Write what a new study compares, or check that a stopped one compares the same.

        Parameters
        ----------
        study : StudyConfig
            Folds and repeats.
        settings : sequence of Setting
            What is trained on each fold.
        folds : sequence of Fold
            On which slides.
        extract : ExtractConfig, optional
            How features were made.

        Raises
        ------
        ConfigError
            If the folder holds a study of other settings, or a single run.
        TrainingError
            If it holds a study of other slides or folds, or its files are damaged.
        WorkspaceError
            If it cannot be written.
        """
        values = {
            "study": asdict(study),
            "settings": [asdict(setting) for setting in settings],
            "classes": list(folds[0].cohort.classes),
            "extract": asdict(extract) if extract is not None else {},
        }
        table = _splits(folds)
        if (self.path / "settings.json").is_file():
            self._resume(values, table)
            return
        # settings.json last: it is what says that a study has begun
        self._write("splits.csv", table)
        write_json(self.path / "environment.json", environment())
        write_json(self.path / "settings.json", values)

    def _resume(self, values: Mapping[str, Any], table: str) -> None:
        stored = RunFolder(self.path).read_settings()
        if "settings" not in stored:
            raise ConfigError(
                f"{str(self.path)!r} holds a single run, asked is a study; give the "
                "study another name"
            )
        before, asked = _flat(stored), _flat(json.loads(json.dumps(values)))
        for label in [*asked, *before]:
            if before.get(label) != asked.get(label):
                raise ConfigError(
                    f"study {str(self.path)!r} was begun with {label} = "
                    f"{before.get(label)!r}, asked is {asked.get(label)!r}; take the "
                    "same settings to go on, or give the study another name"
                )
        try:
            split = (self.path / "splits.csv").read_text(encoding="utf-8")
        except OSError as err:
            raise TrainingError(
                f"study {str(self.path)!r} has no splits that can be read ({err}); give "
                "the study another name"
            ) from err
        if sorted(split.splitlines()) != sorted(table.splitlines()):
            raise TrainingError(
                f"study {str(self.path)!r} was begun on other slides, labels or folds; "
                "take the same table to go on, or give the study another name"
            )
        for draft in self.path.glob(".*.part"):
            draft.unlink(missing_ok=True)

    def write_table(self, name: str, text: str) -> Path:
        """Write one of the study's tables, whole or not at all, and give its path."""
        return self._write(name, text)

    def _write(self, name: str, text: str) -> Path:
        with writing(self.path / name) as part:
            part.write_text(text, encoding="utf-8")
        return self.path / name


def _splits(folds: Sequence[Fold]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["repeat", "fold", "slide", "patient", "label", "role"])
    for fold in folds:
        for row in fold.cohort.rows:
            writer.writerow(
                [
                    *(fold.repeat, fold.number),
                    *(row.slide, row.patient, row.label, row.role),
                ]
            )
    return text.getvalue()


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Name every value as a person would, so that two studies can be told apart."""
    flat: dict[str, Any] = {
        name: value
        for name, value in values["study"].items()
        if name not in ("ablate", "ablate_masks", "grid")
    }
    flat["settings"] = [setting["name"] for setting in values["settings"]]
    flat["classes"] = values.get("classes")
    for setting in values["settings"]:
        for name, value in setting["config"].items():
            if name not in _FREE:
                flat[f"{name} of {setting['name']!r}"] = value
    for name, value in values.get("extract", {}).items():
        if name not in _FREE:
            flat[f"{name} of the features"] = value
    return flat
