"""One stage of a run: epochs of one recipe, each on disk before it is told."""

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_mhim import _parts
from napari_mhim.errors import TrainingError
from napari_mhim.events import Note
from napari_mhim.mil.bags import Bag
from napari_mhim.mil.building import build_model
from napari_mhim.mil.checkpoint import (
    Standing,
    load_state,
    random_state,
    save_state,
    set_random_state,
    standing_state,
)
from napari_mhim.mil.config import RECIPES, TrainConfig, recipe_config
from napari_mhim.mil.evaluate import auc
from napari_mhim.mil.finite import derailed, is_finite_throughout
from napari_mhim.mil.hint_loss import add_hints, some_of, taught
from napari_mhim.mil.memory import gpu_mib, naming, process_mib
from napari_mhim.mil.milestones import EpochDone
from napari_mhim.mil.order import class_weights, drawn_instances, epoch_order
from napari_mhim.mil.outcome import Data
from napari_mhim.mil.recipe import Losses, Recipe
from napari_mhim.mil.run import RunFolder
from napari_mhim.mil.scoring import Scores, resident, score
from napari_mhim.mil.start import Start, keep_still, take_up
from napari_mhim.mil.watching import Watched, look


@dataclass
class _Sums:
    """Losses of an epoch, added on the device: asking for a number each step would wait."""

    kept: int = 0
    instances: int = 0
    parts: dict[str, Tensor] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)

    def add(self, losses: Losses) -> None:
        self.kept += losses.kept
        self.instances += losses.total_instances
        for name, value in {"total": losses.total.detach(), **losses.parts}.items():
            self.parts[name] = self.parts.get(name, 0) + value.double()
            self.times[name] = self.times.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        # a bag without hints has no part of theirs
        return {name: float(v) / self.times[name] for name, v in self.parts.items()}

    def kept_share(self) -> float:
        return self.kept / self.instances if self.instances else 1.0


class Stage:
    """Epochs of one recipe in one folder.

    Parameters
    ----------
    name : str
        What to call it in events.
    folder : RunFolder
        Where it is kept; a stage that was stopped goes on.
    config : TrainConfig
        Settings in force: device and threads are settled.
    data : Data
        Bags, with tensors.
    baseline : mapping of str to Tensor, optional
        Weights of the trained baseline, for a recipe that starts from one.
    start : Start, optional
        What fine-tuning goes on with.
    """

    def __init__(
        self,
        name: str,
        folder: RunFolder,
        config: TrainConfig,
        data: Data,
        baseline: Mapping[str, Tensor] | None = None,
        start: Start | None = None,
    ) -> None:
        self.name, self.folder, self.config, self.data = name, folder, config, data
        self._device = config.device
        self._labels = data.labels["train"]
        torch.manual_seed(config.seed)
        recipe = _build(config, data, baseline)
        if config.fine_tune and start is not None:
            take_up(recipe, start)
        keep_still(recipe.student, config.tune)
        self._recipe = recipe.to(self._device)
        self._optimiser = torch.optim.Adam(
            (p for p in self._recipe.parameters() if p.requires_grad),
            lr=config.lr,
            weight_decay=config.weight_decay,
        )
        self._weights = class_weights(self._labels, config.balance)
        self._hints = taught(data.bags["train"]) if config.hint_weight else {}
        self._steps = -(-len(self._labels) // config.accumulate)
        self._standing = Standing()
        self._stepped: list[int] = []

    def run(self, watch: Bag | None = None) -> Iterator[EpochDone | Watched | Note]:
        """Do the epochs that are left.

        Parameters
        ----------
        watch : Bag, optional
            Slide to look at after each epoch.

        Yields
        ------
        EpochDone, Watched or Note
            After the epoch's checkpoint is on disk; ``Watched`` comes first.

        Raises
        ------
        TrainingError
            If a loss is not finite; the checkpoint before that epoch is kept.
        WorkspaceError
            If the checkpoint cannot be written.
        """
        config, standing = self.config, self._standing
        if self.folder.checkpoint_path.is_file():
            self._load()
        else:
            self._recipe.prepare(self._bags("train"))
            if said := self._recipe.confirm(self._bags("val")):
                state = random_state(self._device)
                yield Note(said)
                set_random_state(state, self._device)
        watched = resident([watch], self._device)[0] if watch is not None else None
        least = max(config.settled, config.min_epochs)
        while not standing.is_over(config.epochs, config.patience, least):
            done = self._epoch()
            seen = self._look(watch, watched)
            self._keep(done)
            # whoever takes the event may draw random numbers of torch too
            state = random_state(self._device)
            if seen is not None:
                yield seen
            yield done
            set_random_state(state, self._device)

    def best(self, last: bool = False) -> tuple[Recipe, Standing]:
        """Give the recipe with its best weights, or its last, and how training went."""
        folder = self.folder
        if not folder.checkpoint_path.is_file():
            raise TrainingError(
                f"run {folder.path.name!r} has not finished an epoch of {self.name!r}, so "
                "there is nothing to keep; go on with it, or discard it"
            )
        if not self._standing.epoch:
            self._load()
        path = folder.checkpoint_path if last else folder.best_path
        state = load_state(path, self._device)
        self._recipe.load_state_dict(state["recipe"])
        return self._recipe, self._standing

    def best_student(self) -> Mapping[str, Tensor]:
        """Give the student's weights of the best epoch."""
        return self.best()[0].student.state_dict()

    def _epoch(self) -> EpochDone:
        start, standing, config = time.perf_counter(), self._standing, self.config
        sums = self._train_epoch()
        self._refuse_ruin()
        found, labels = self._validated(), self.data.labels["val"]
        if (bad := np.isnan(found.probabilities).any(axis=1)).any():
            what = "the validation score is nan"
            raise self._derailed(what, "val", [int(i) for i in np.flatnonzero(bad)])
        standing.epoch += 1
        val = {
            "auc": auc(np.array(labels, np.int64), found.probabilities),
            "loss": found.loss,
        }
        return EpochDone(
            stage=self.name,
            epoch=standing.epoch,
            epochs=config.epochs,
            losses=sums.means(),
            val=val,
            is_best=standing.take(val["auc"], val["loss"], config.settled),
            kept_share=sums.kept_share(),
            seconds=time.perf_counter() - start,
            lr=float(self._optimiser.param_groups[0]["lr"]),
            memory_mib=process_mib(),
            gpu_mib=gpu_mib(self._device),
        )

    def _validated(self) -> Scores:
        """Score the validation bags; one that does not fit into memory is named."""
        tensors, bags = self.data.tensors["val"], self.data.bags["val"]
        latest = 0

        def in_turn() -> Iterator[Tensor]:
            nonlocal latest
            for latest, x in enumerate(tensors):  # noqa: B007 - read when it fails
                yield self._put(x)

        student, labels = self._recipe.student, self.data.labels["val"]
        try:
            return score(student, in_turn(), labels, len(self.data.cohort.classes))
        except RuntimeError:
            with naming(bags[latest], TrainingError, _WHOLE):
                raise

    def _train_epoch(self) -> _Sums:
        config, standing, total = self.config, self._standing, self._steps
        total *= config.epochs
        rate = _cosine(config.lr, standing.epoch, config.epochs)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._recipe.train()
        sums = _Sums()
        order = epoch_order(self._labels, standing.epoch, config.seed, config.balance)
        for start in range(0, len(order), config.accumulate):
            members = order[start : start + config.accumulate]
            self._optimiser.zero_grad(set_to_none=True)
            for index in members:
                with naming(self.data.bags["train"][index], TrainingError, _SMALLER):
                    losses = self._losses(int(index), total)
                    weight = self._weights[self._labels[index]] / len(members)
                    (losses.total * weight).backward()
                sums.add(losses)
            self._optimiser.step()
            self._stepped = [int(index) for index in members]
            self._recipe.after_step(standing.step, total)
            standing.step += 1
        return sums

    def _losses(self, index: int, total: int) -> Losses:
        x = self._put(self._shown(index))
        is_cuda = self._device == "cuda"
        with torch.autocast(
            self._device, torch.bfloat16, enabled=self.config.amp and is_cuda
        ):
            losses = self._recipe.losses(
                x, self._labels[index], self._standing.step, total
            )
            losses = self._with_hints(losses, index)
        if not torch.isfinite(losses.total):
            # a step that ruined the weights shows in the loss of the slide after it
            self._refuse_ruin()
            what = f"the loss is {float(losses.total.detach())}"
            raise self._derailed(what, "train", [index])
        return losses

    def _with_hints(self, losses: Losses, index: int) -> Losses:
        """Add what the hinted patches of a training bag teach, all of them that fit."""
        if index not in self._hints:
            return losses
        config, x = self.config, self.data.tensors["train"][index]
        limits = config.max_instances, index, self._standing.epoch, config.seed
        hints = some_of(self._hints[index], *limits)
        rows, classes = self._put(x[hints.rows.to(x.device)]), self._put(hints.classes)
        return add_hints(
            losses, self._recipe.student, rows, classes, config.hint_weight
        )

    def _refuse_ruin(self) -> None:
        if not is_finite_throughout(self._recipe):
            what = "the weights are no numbers any more after a step"
            raise self._derailed(what, "train", self._stepped)

    def _derailed(self, what: str, role: str, indices: list[int]) -> TrainingError:
        bags = [self.data.bags[role][index] for index in indices]
        done = self._standing.epoch
        return derailed(what, bags, self.name, done, self.config.lr)

    def _shown(self, index: int) -> Tensor:
        """Give a training bag, or the instances drawn from it for this epoch."""
        x, most = self.data.tensors["train"][index], self.config.max_instances
        if most == 0 or len(x) <= most:
            return x
        drawn = drawn_instances(
            len(x), most, index, self._standing.epoch, self.config.seed
        )
        return x[torch.from_numpy(drawn).to(x.device)]

    def _put(self, x: Tensor) -> Tensor:
        return x.to(self._device, non_blocking=True)

    def _bags(self, role: str) -> Iterator[tuple[Tensor, int]]:
        for index, label in enumerate(self.data.labels[role]):
            is_shown = role == "train"
            x = self._shown(index) if is_shown else self.data.tensors[role][index]
            yield self._put(x), label

    def _look(self, watch: Bag | None, x: Tensor | None) -> Watched | None:
        if watch is None or x is None:
            return None
        epoch = self._standing.epoch
        seen = look(self._recipe, self._put(x), self.name, epoch, watch.name)
        seen.keep(self.folder.scores_path(epoch))
        return seen

    def _keep(self, done: EpochDone) -> None:
        """Write what this epoch came to: best weights, log, then the checkpoint."""
        if done.is_best:
            save_state(self.folder.best_path, {"recipe": self._recipe.state_dict()})
        self.folder.log("epoch", _plain(vars(done)))
        self._standing.log_size = self.folder.log_size()
        save_state(
            self.folder.checkpoint_path,
            {
                "recipe": self._recipe.state_dict(),
                "optimiser": self._optimiser.state_dict(),
                "standing": standing_state(self._standing),
                "random": random_state(self._device),
            },
        )

    def _load(self) -> None:
        state = load_state(self.folder.checkpoint_path, self._device)
        try:
            self._recipe.load_state_dict(state["recipe"])
            self._optimiser.load_state_dict(state["optimiser"])
            for name, value in state["standing"].items():
                setattr(self._standing, name, value)
            set_random_state(state["random"], self._device)
        except (KeyError, RuntimeError, ValueError) as err:
            raise TrainingError(
                f"checkpoint {str(self.folder.checkpoint_path)!r} is not of this run "
                f"({str(err).splitlines()[0]}); take another run folder"
            ) from err
        self.folder.rewind_log(self._standing.log_size)


_WHOLE = (
    "set device to 'cpu', or leave the slide out: validation looks at whole slides, "
    "max_instances or not"
)
"""What helps where a slide is too large to validate on."""
_SMALLER = (
    "set max_instances to fewer, so that each epoch trains on a part of it, or device "
    "to 'cpu'"
)
"""What helps where a slide is too large to train on."""


def _build(
    config: TrainConfig, data: Data, baseline: Mapping[str, Tensor] | None
) -> Recipe:
    in_dim, n_classes = data.bags["train"][0].dim, len(data.cohort.classes)
    model = build_model(config.model, config.model_options, in_dim, n_classes)
    recipe_part = _parts.load(RECIPES, config.recipe)
    recipe: Recipe = recipe_part.build(model, recipe_config(config), baseline)
    return recipe


def _cosine(start: float, epoch: int, epochs: int) -> float:
    return start * 0.5 * (1 + math.cos(math.pi * epoch / epochs))


def _plain(value: Any) -> Any:
    """Give values that JSON takes: NaN as None."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
