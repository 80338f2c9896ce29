"""A run's folder: what was asked for, on which slides, what happened, and where it stands.

::

    settings.json      TrainConfig with threads and device settled, classes, hash of start_from
    splits.csv         slide, patient, label, role
    environment.json   versions of what computed
    events.jsonl       one line for each epoch and note
    lock               which process is at work here (run_lock.py)
    checkpoint.pt      where it stands: a resumed run goes on from here, bit for bit
    best.pt            weights of the best epoch so far
    scores/            the watched slide, epoch by epoch
    bundle/            the model, once done; its presence says the run is done
    baseline/          the same for the plain stage a recipe starts from
"""

import json
import os
import platform
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from napari_mhim import __version__
from napari_mhim.errors import ConfigError, TrainingError, WorkspaceError
from napari_mhim.mil.cohort import Cohort
from napari_mhim.mil.config import TrainConfig
from napari_mhim.workspace import why_unwritable, writing

_ADOPTED = (
    *("settings.json", "splits.csv", "environment.json", "events.jsonl"),
    *("checkpoint.pt", "best.pt", "bundle"),
)
_PACKAGES = ("torch", "numpy", "napari", "timm", "safetensors", "h5py")


class RunFolder:
    """One training run on disk.

    Parameters
    ----------
    path : Path
        Its folder; made on the first write.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    @property
    def bundle_path(self) -> Path:
        """Give the folder of the trained model."""
        return self.path / "bundle"

    @property
    def checkpoint_path(self) -> Path:
        """Give the file that a resumed run goes on from."""
        return self.path / "checkpoint.pt"

    @property
    def best_path(self) -> Path:
        """Give the file of the best weights so far."""
        return self.path / "best.pt"

    @property
    def events_path(self) -> Path:
        """Give the file of what happened, a JSON line for each event."""
        return self.path / "events.jsonl"

    def scores_path(self, epoch: int) -> Path:
        """Give the file of the watched slide after one epoch."""
        return self.path / "scores" / f"epoch-{epoch:04d}.npz"

    def begin(
        self, config: TrainConfig, cohort: Cohort, starts_from: str = ""
    ) -> TrainConfig:
        """Write the settings of a new run, or take up those of a stopped one.

        Parameters
        ----------
        config : TrainConfig
            What is asked for; ``threads`` 0 means as stored or, in a new run, 1.
        cohort : Cohort
            Slides with their roles.
        starts_from : str
            Hash of the weights that ``config.start_from`` names, "" where it names none.

        Returns
        -------
        TrainConfig
            The settings in force: the stored threads, if the run is resumed.

        Raises
        ------
        ConfigError
            If the folder holds a run with other settings.
        TrainingError
            If the folder holds a run on other slides or from other weights, or its files
            are damaged.
        WorkspaceError
            If the folder cannot be written.
        """
        settings = self.path / "settings.json"
        if settings.is_file():
            return self._resume(config, cohort, starts_from)
        # splits first: settings.json is what says that a run has begun
        cohort.write(self.path / "splits.csv")
        write_json(self.path / "environment.json", environment())
        more = {"classes": list(cohort.classes), "starts_from": starts_from}
        write_json(settings, {**asdict(config), **more})
        return config

    def _resume(
        self, config: TrainConfig, cohort: Cohort, starts_from: str
    ) -> TrainConfig:
        stored = self.read_settings()
        classes = stored.pop("classes", [])
        asked = json.loads(json.dumps(asdict(config)))
        # a setting that came after the run was begun had its default then
        stored = {**json.loads(json.dumps(asdict(TrainConfig()))), **stored}
        for name, value in asked.items():
            # weights that have moved are the same weights: their hash is looked at below
            if (
                name not in ("threads", "device", "start_from")
                and stored[name] != value
            ):
                raise ConfigError(
                    f"run {str(self.path)!r} was begun with {name} = "
                    f"{stored[name]!r}, asked is {value!r}; take the same settings "
                    "to go on, or another run folder"
                )
        if stored.get("starts_from", "") != starts_from:
            raise TrainingError(
                f"run {str(self.path)!r} was begun from {stored['start_from'] or 'none'!r} "
                f"as it was then, which is not {config.start_from or 'none'!r} as it is "
                "now; start from the same weights to go on, or take another run folder"
            )
        before = Cohort.read(self.path / "splits.csv", classes)
        if _identity(before) != _identity(cohort):
            raise TrainingError(
                f"run {str(self.path)!r} was begun on other slides, labels or roles "
                f"({len(before.rows)} slides, now {len(cohort.rows)}); take another "
                "run folder"
            )
        self._sweep()
        return TrainConfig(**{**asked, "threads": stored["threads"]})

    def _sweep(self) -> None:
        """Remove drafts of files and bundles that a killed process left."""
        for draft in [*self.path.rglob(".*.part")]:
            if draft.is_dir():
                shutil.rmtree(draft, ignore_errors=True)
            else:
                draft.unlink(missing_ok=True)

    def adopt(self, finished: "RunFolder") -> None:
        """Take a finished plain run as this run's baseline, whole or not at all.

        Nothing is computed twice and little is stored twice: files that are only ever
        replaced are the same file on disk where the file system can do that.

        Parameters
        ----------
        finished : RunFolder
            The run: the same slides and roles, and :func:`~.config.baseline_config` of
            this run's settings.

        Raises
        ------
        WorkspaceError
            If the folder cannot be written.
        """
        target = self.path / "baseline"
        if target.is_dir():
            return
        for draft in self.path.glob(".baseline.*.part"):
            shutil.rmtree(draft, ignore_errors=True)
        draft = self.path / f".baseline.{os.getpid()}.part"
        try:
            for name in _ADOPTED:
                source, copy = finished.path / name, draft / name
                if source.is_dir():
                    shutil.copytree(source, copy, copy_function=_linked)
                elif source.is_file():
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    # the log grows in place: a second name of it would grow as well
                    (shutil.copyfile if name == "events.jsonl" else _linked)(
                        source, copy
                    )
            draft.replace(target)
        except OSError as err:
            raise WorkspaceError(why_unwritable(target, err)) from err

    def read_settings(self) -> dict[str, Any]:
        """Read ``settings.json`` as plain values.

        Returns
        -------
        dict
            Fields of ``TrainConfig``, ``classes`` and ``starts_from``.

        Raises
        ------
        TrainingError
            If the file is missing or damaged.
        """
        path = self.path / "settings.json"
        try:
            stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as err:
            raise TrainingError(
                f"run {str(self.path)!r} has no settings that can be read ({err}); "
                "take another run folder"
            ) from err
        return stored

    def log(self, kind: str, values: Mapping[str, Any]) -> None:
        """Add one event to ``events.jsonl``.

        Parameters
        ----------
        kind : str
            Name of the event.
        values : mapping
            Plain values.

        Raises
        ------
        WorkspaceError
            If the folder cannot be written or the disk is full; half a line may stay,
            which :meth:`epochs` passes over and a resumed run cuts off.
        """
        path, line = self.events_path, json.dumps({"event": kind, **values}) + "\n"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError as err:
            raise WorkspaceError(why_unwritable(path, err)) from err

    def epochs(self) -> list[dict[str, Any]]:
        """Read the epochs of ``events.jsonl``.

        Returns
        -------
        list of dict
            In order; empty where there is no log. A line that a killed process left
            unfinished is passed over.
        """
        if not self.events_path.is_file():
            return []
        found = []
        for line in self.events_path.read_text(encoding="utf-8").splitlines():
            with suppress(ValueError):
                event = json.loads(line)
                if event["event"] == "epoch":
                    found.append(event)
        return found

    def rewind_log(self, size: int) -> None:
        """Cut ``events.jsonl`` back to what it was at the checkpoint.

        Parameters
        ----------
        size : int
            Bytes to keep: what a killed process wrote after them will be written again.
        """
        if self.events_path.is_file() and self.events_path.stat().st_size > size:
            with self.events_path.open("r+b") as file:
                file.truncate(size)

    def log_size(self) -> int:
        """Give the size of ``events.jsonl``, in bytes."""
        return self.events_path.stat().st_size if self.events_path.is_file() else 0


def environment() -> dict[str, str]:
    """Give the versions of what computes.

    Returns
    -------
    dict of str to str
        Package or system part to version; packages that are missing are left out.
    """
    found = {"napari-mhim": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {**found, "system": platform.system(), "machine": platform.machine()}


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write plain values as JSON, whole or not at all; NaN is refused by ``ValueError``."""
    text = json.dumps(values, indent=2, allow_nan=False) + "\n"
    with writing(path) as part:
        part.write_text(text, encoding="utf-8")


def _linked(source: Any, target: Any) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or a file system without links
        shutil.copyfile(source, target)


def _identity(cohort: Cohort) -> set[tuple[str, str, str, str]]:
    return {(row.slide, row.label, row.patient, row.role) for row in cohort.rows}
