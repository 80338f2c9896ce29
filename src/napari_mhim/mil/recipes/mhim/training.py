"""One bag of MHIM: teacher's scores, mask, student on what is left, two losses.

Departures from the authors' code beside those of :mod:`napari_mhim.mil.masking` and
those of the defaults (:class:`Config`), each on purpose:

- the teacher does not drop values unless ``teacher_dropout`` says so: in their code it
  does, in their paper it does not;
- the student projects only the rows it keeps: without dropout the same numbers as
  projecting all and gathering afterwards, for less work;
- bags under ``smallest_masked`` are shown whole;
- a baseline that is not of this model is refused: theirs is passed over with a printed
  line, and training goes on from a random teacher.

References
----------
Tang et al., "Multiple Instance Learning Framework with Masked Hard Instance Mining
for Whole Slide Image Classification", ICCV 2023, arXiv:2307.15254.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, Self

import torch
from torch import Tensor

from napari_mhim.errors import ConfigError, TrainingError
from napari_mhim.mil.masking import hybrid_mask
from napari_mhim.mil.model import MILModel, MILOutput
from napari_mhim.mil.recipe import Losses, Recipe
from napari_mhim.mil.recipes.mhim.config import Config, needs_baseline
from napari_mhim.mil.recipes.mhim.easy import EasyShare, confirm, find_easy_share
from napari_mhim.mil.teacher import (
    consistency_loss,
    cosine_momentum,
    cosine_ratio,
    ema_update,
    make_teacher,
)


class Mhim(Recipe):
    """A student that sees what a momentum teacher leaves of each bag."""

    def __init__(self, model: MILModel, teacher: MILModel | None, config: Config):
        super().__init__()
        self.student = model
        self.teacher = teacher
        self.score_kind = config.instance_scores
        self._config = config
        self._high = (
            None if config.mask_ratio_high == "auto" else config.mask_ratio_high
        )
        self._found = "" if self._high is None else "given"
        self._easy: EasyShare | None = None
        self._confirmed = ""
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Switch the student's mode; the teacher follows only where it drops values."""
        super().train(mode)
        if self.teacher is not None:
            self.teacher.train(mode and self._config.teacher_dropout)
        return self

    def prepare(self, bags: Iterable[tuple[Tensor, int]]) -> None:
        """Find the easy share, where it was left to "auto" and no resumed run brought it."""
        if self._high is not None:
            return
        assert self.teacher is not None  # Config refuses "auto" without one
        self._easy = find_easy_share(self.teacher, bags, self.score_kind)
        self._high, self._found = self._easy.ratio, self._easy.reason

    def confirm(self, bags: Iterable[tuple[Tensor, int]]) -> str:
        """Hold a share that was just found against validation slides; "" where none was."""
        if self._easy is None:
            return ""
        assert self.teacher is not None  # what found it
        said = confirm(self._easy, self.teacher, bags, self.score_kind)
        self._confirmed = f"{said.verdict} on validation: {said.reason}"
        return (
            f"Hidden as easy: {self._easy.ratio:.1%} of each slide, for {self._found}. "
            f"{self._confirmed.capitalize()}."
        )

    def losses(self, x: Tensor, label: int, step: int, total_steps: int) -> Losses:
        """Give the losses of one bag, shape (N, in_dim), N ≥ 1."""
        config = self._config
        guide = self._guide(x)
        if len(x) < config.smallest_masked:
            kept, output = x, self.student(x)
        else:
            scores = guide.scores_by(self.score_kind)
            kept = self._keep(x, scores, step, total_steps)  # (kept, in_dim)
            output = self._study(kept)
        classification = self.student.loss(output, label)
        if self.teacher is None or config.consistency_weight == 0:
            total, parts = classification, {}
        else:
            consistency = consistency_loss(
                output.embedding,
                guide.embedding,
                config.temperature_student,
                config.temperature_teacher,
            )
            total = classification + config.consistency_weight * consistency
            parts = {"consistency": consistency.detach()}
        return Losses(
            total=total,
            parts={"classification": classification.detach(), **parts},
            kept=len(kept),
            total_instances=len(x),
        )

    def after_step(self, step: int, total_steps: int) -> None:
        """Move the teacher towards the student."""
        if self.teacher is None:
            return
        momentum = self._config.momentum
        if self._config.momentum_schedule == "cosine":
            momentum = cosine_momentum(momentum, step, total_steps)
        ema_update(self.teacher, self.student, momentum)

    def describe(self) -> dict[str, Any]:
        """Give the settings in force, the easy share resolved and how it was found."""
        return {
            **asdict(self._config),
            "mask_ratio_high": self._high,
            "mask_ratio_high_found": self._found,
            "mask_ratio_high_confirmed": self._confirmed,
        }

    def get_extra_state(self) -> dict[str, Any]:
        """Give what a resumed run needs beside the weights."""
        return {
            "mask_ratio_high": self._high,
            "found": self._found,
            "confirmed": self._confirmed,
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`get_extra_state` gave."""
        self._high, self._found = state["mask_ratio_high"], state["found"]
        # a run begun before there was a confirmation has none
        self._confirmed = state.get("confirmed", "")

    @torch.no_grad()
    def _guide(self, x: Tensor) -> MILOutput:
        if self.teacher is not None:
            output: MILOutput = self.teacher(x)
            return output
        was_training = self.student.training
        output = self.student.eval()(x)
        self.student.train(was_training)
        return output

    def _keep(self, x: Tensor, scores: Tensor, step: int, total_steps: int) -> Tensor:
        if self._high is None:
            raise TrainingError(
                "mask_ratio_high is 'auto' and was not found yet; call prepare first"
            )
        config, high = self._config, self._high
        if config.high_schedule == "cosine":
            high = cosine_ratio(high, step, total_steps)
        mask = hybrid_mask(
            scores,
            mask_ratio_high=high,
            mask_ratio_low=config.mask_ratio_low,
            mask_ratio_random=config.mask_ratio_random,
            high_keep_share=config.high_keep_share,
            fusion=config.head_fusion,
        )
        return x[~mask]

    def _study(self, kept: Tensor) -> MILOutput:
        """Give the student's output for what the teacher leaves, shape (kept, in_dim)."""
        output: MILOutput = self.student(kept)
        return output


def initialise(
    student: MILModel, config: Config, baseline: Mapping[str, Tensor] | None
) -> MILModel | None:
    """Start student and teacher from a baseline, the student in place.

    Parameters
    ----------
    student : MILModel
        The student, with fresh weights.
    config : Config
        Which parts of the baseline each gets.
    baseline : mapping of str to Tensor, or None
        Weights of a trained model of the same structure.

    Returns
    -------
    MILModel or None
        The teacher; None where the student scores for itself.

    Raises
    ------
    ConfigError
        If the baseline is wanted and missing, or its tensors are not the model's.
    """
    weights = _checked(student, config, baseline)
    if config.student_init == "all":
        student.load_state_dict(weights)
    elif config.student_init == "projection":
        own = student.state_dict()
        start = {k: v for k, v in weights.items() if k.startswith("projection.")}
        student.load_state_dict({**own, **start})
    if config.scores_from == "student":
        return None
    teacher = make_teacher(student)
    if config.teacher_init == "baseline":
        teacher.load_state_dict(weights)
    return teacher


def _checked(
    student: MILModel, config: Config, baseline: Mapping[str, Tensor] | None
) -> Mapping[str, Tensor]:
    if not needs_baseline(config):
        return {}
    if baseline is None:
        raise ConfigError(
            "masking starts from a trained baseline and got none; train one with recipe "
            "'plain', or set teacher_init='student' and student_init='none'"
        )
    theirs = {name: tuple(tensor.shape) for name, tensor in baseline.items()}
    ours = {name: tuple(t.shape) for name, t in student.state_dict().items()}
    for name in sorted(theirs.keys() | ours.keys()):
        if theirs.get(name) != ours.get(name):
            raise ConfigError(
                f"the baseline is not of this model: {name} is "
                f"{theirs.get(name, 'missing')} there and {ours.get(name, 'missing')} "
                "here; width, classes and settings must be the same"
            )
    return baseline
