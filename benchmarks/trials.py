"""Several ways of training on the same folds: each arm trained once, its answers kept.

An answer is one line of a journal: what one arm, of one seed, says of the bags of one
held-out fold. A second call skips what is there, so a benchmark may be stopped at any
moment. The fold after the held-out one validates (checkpoints); the others train.

Arms that start from a baseline share it: stage 1 of a seed and fold is trained once.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mhim.errors import ConfigError
from napari_mhim.mil.bags import Bag
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.config import TrainConfig
from napari_mhim.mil.predict import Predictor
from napari_mhim.mil.run import RunFolder
from napari_mhim.mil.train import FitDone, fit

BASELINE = "plain"
"""The arm whose run is stage 1 of the others."""


@dataclass(frozen=True)
class Arm:
    """One way of training."""

    name: str
    """What the tables call it."""
    recipe: str
    """A recipe of the program."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the recipe."""
    times: int = 1
    """Epochs of its own stage, as a multiple of the baseline's."""


@dataclass(frozen=True)
class Answer:
    """What one arm says of one held-out fold."""

    model: str
    arm: str
    seed: int
    fold: int
    bags: list[str]
    """Names of the held-out bags."""
    probabilities: list[float]
    """Of the class of interest, one for each bag."""
    mask_ratio_high: float
    """Share that was hidden as easy; 0 without masks."""
    seconds: float
    """How long the arm took, stage 1 apart."""

    @property
    def key(self) -> tuple[str, str, int, int]:
        """Give what makes the answer unique."""
        return self.model, self.arm, self.seed, self.fold


class Journal:
    """Answers in a file, one JSON line each.

    Parameters
    ----------
    path : Path
        The file; made on the first answer. A last line that was cut off is dropped.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers: dict[tuple[str, str, int, int], Answer] = {}
        if path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            for line in lines:
                if line.endswith("\n"):
                    self._take(Answer(**json.loads(line)))
            if lines and not lines[-1].endswith("\n"):
                path.write_text("".join(lines[:-1]), encoding="utf-8")

    def add(self, answer: Answer) -> None:
        """Keep an answer."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(vars(answer)) + "\n")
        self._take(answer)

    def _take(self, answer: Answer) -> None:
        self.answers[answer.key] = answer


def claim(folder: Path, settings: Mapping[str, Any]) -> None:
    """Note what a folder's answers are of: answers of other settings must not join them.

    Parameters
    ----------
    folder : Path
        Where a benchmark's answers lie; made where it is not there.
    settings : mapping
        What all of them have in common, plain values.

    Raises
    ------
    ConfigError
        If the folder was claimed for other settings.
    """
    path = folder / "settings.json"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(dict(settings)), encoding="utf-8")
    found = json.loads(path.read_text(encoding="utf-8"))
    if found != settings:
        raise ConfigError(
            f"{str(folder)!r} holds answers for {found}, asked is {dict(settings)}; take "
            "another folder, or delete this one"
        )


def parts_of(
    bags: Sequence[Bag], folds: NDArray[np.int8], held: int
) -> dict[str, list[Bag]]:
    """Give the bags that train, validate and are held out.

    Parameters
    ----------
    bags : sequence of Bag
        All bags.
    folds : ndarray, shape (len(bags),), int
        Fold of each, from 0.
    held : int
        Fold that is held out; the next one validates.

    Returns
    -------
    dict of str to list of Bag
        ``train``, ``val`` and ``test``.
    """
    n_folds = int(folds.max()) + 1
    roles = {held: "test", (held + 1) % n_folds: "val"}
    found: dict[str, list[Bag]] = {"train": [], "val": [], "test": []}
    for bag, fold in zip(bags, folds, strict=True):
        found[roles.get(int(fold), "train")].append(bag)
    return found


def stratified_folds(labels: Sequence[int], n_folds: int = 5) -> NDArray[np.int8]:
    """Deal the members of each class out over the folds, by chance but always alike.

    Parameters
    ----------
    labels : sequence of int
        Class of each bag.
    n_folds : int
        Number of folds.

    Returns
    -------
    ndarray, shape (len(labels),), int8
        Fold of each, from 0.
    """
    rng = np.random.default_rng(0)
    folds = np.zeros(len(labels), np.int8)
    for label in sorted(set(labels)):
        members = rng.permutation(np.flatnonzero(np.array(labels) == label))
        folds[members] = np.arange(len(members)) % n_folds
    return folds


def train_arm(
    arm: Arm,
    parts: Mapping[str, Sequence[Bag]],
    classes: Sequence[str],
    config: TrainConfig,
    folder: Path,
) -> Bundle:
    """Train one arm, or take up the run that is there.

    Parameters
    ----------
    arm : Arm
        How to train.
    parts : mapping
        As :func:`parts_of` gives them.
    classes : sequence of str
        Class names, the class of interest last.
    config : TrainConfig
        Model, seed and the baseline's epochs; the arm says the rest.
    folder : Path
        Where the runs of this seed and fold lie; ``BASELINE`` must be there already
        where the arm starts from one.

    Returns
    -------
    Bundle
        The trained model.
    """
    run, stage_1 = RunFolder(folder / arm.name), RunFolder(folder / BASELINE)
    if run.bundle_path.is_dir():
        return Bundle.open(run.bundle_path)
    config = replace(
        config,
        recipe=arm.recipe,
        recipe_options=dict(arm.options),
        epochs=config.epochs * arm.times,
        baseline_epochs=config.epochs,
    )
    if arm.recipe != "plain":
        if not stage_1.path.is_dir():
            raise SystemExit(
                f"{arm.name!r} starts from {BASELINE!r}: name it in --arms"
            )
        run.adopt(stage_1)
    *_, done = fit(parts["train"], parts["val"], classes, config, run.path)
    assert isinstance(done, FitDone)
    return Bundle.open(done.bundle_path)


def run_fold(
    model: str,
    arms: Sequence[Arm],
    parts: Mapping[str, Sequence[Bag]],
    classes: Sequence[str],
    config: TrainConfig,
    place: tuple[int, int],
    journal: Journal,
    runs: Path,
) -> Iterator[Answer]:
    """Train the arms that the journal lacks for one seed and fold.

    Parameters
    ----------
    model : str
        What the journal calls the model.
    arms : sequence of Arm
        The first must be the baseline where any arm starts from one.
    parts : mapping
        As :func:`parts_of` gives them.
    classes : sequence of str
        Class names, the class of interest last.
    config : TrainConfig
        Model and the baseline's epochs.
    place : tuple of int and int
        Seed and fold.
    journal : Journal
        Takes the answers.
    runs : Path
        Folder of all runs.

    Yields
    ------
    Answer
        Those that were missing, after they are kept.
    """
    seed, fold = place
    folder = runs / model / f"seed-{seed}" / f"fold-{fold}"
    for arm in arms:
        if (model, arm.name, seed, fold) in journal.answers:
            continue
        start = time.perf_counter()
        seeded = replace(config, seed=seed)
        bundle = train_arm(arm, parts, classes, seeded, folder)
        said = Predictor(bundle, "cpu")
        answer = Answer(
            model=model,
            arm=arm.name,
            seed=seed,
            fold=fold,
            bags=[bag.name for bag in parts["test"]],
            probabilities=[float(said.probabilities(b)[-1]) for b in parts["test"]],
            mask_ratio_high=float(bundle.config.mask_ratio_high),
            seconds=time.perf_counter() - start,
        )
        journal.add(answer)
        yield answer
