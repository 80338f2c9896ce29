"""What every training recipe promises: how one bag becomes a loss, and what follows."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from napari_mhim.mil.model import MILModel, ScoreKind


@dataclass(frozen=True)
class Losses:
    """What one bag came to."""

    total: Tensor
    """What to minimise, shape (), with a gradient."""
    parts: Mapping[str, Tensor] = field(default_factory=dict)
    """Named parts for the curves (``"classification"``, ``"consistency"``), shape (), detached."""
    kept: int = 0
    """Instances the student saw."""
    total_instances: int = 0
    """Instances in the bag."""


class Recipe(nn.Module, ABC):
    """A student, perhaps a teacher, and the rule by which a bag trains them.

    The recipe's ``state_dict`` holds everything a resumed run needs: student, teacher,
    and queues of its own.
    """

    student: MILModel
    """What is trained, and what predicts."""
    teacher: MILModel | None
    """What hides the easy instances; None where there is none."""
    score_kind: ScoreKind = "own"
    """What of a model's output says how salient an instance is."""

    def prepare(self, bags: Iterable[tuple[Tensor, int]]) -> None:
        """Look at the training bags once, before the first step; a resumed run need not.

        Parameters
        ----------
        bags : iterable of (x, label)
            Every training bag in turn: features, shape (N, in_dim), float32, on the
            recipe's device, and the index of its class. Bags are read one at a time.
        """

    def confirm(self, bags: Iterable[tuple[Tensor, int]]) -> str:
        """Hold what :meth:`prepare` found against the validation bags, after it.

        Parameters
        ----------
        bags : iterable of (x, label)
            Every validation bag in turn, as for :meth:`prepare`; there may be none.

        Returns
        -------
        str
            What the user should read, "" where there is nothing to say.
        """
        return ""

    @abstractmethod
    def losses(self, x: Tensor, label: int, step: int, total_steps: int) -> Losses:
        """Give the losses of one bag.

        Parameters
        ----------
        x : Tensor, shape (N, in_dim), float32
            Features of the bag, N ≥ 1, on the recipe's device.
        label : int
            Index of the bag's class.
        step : int
            Optimiser steps made so far, from 0.
        total_steps : int
            Steps the whole schedule has.

        Returns
        -------
        Losses
            The losses.
        """

    def after_step(self, step: int, total_steps: int) -> None:
        """Do what follows the optimiser's step, for instance move the teacher."""

    def describe(self) -> dict[str, Any]:
        """Give the settings in force as plain values, "auto" resolved, for the bundle."""
        return {}
