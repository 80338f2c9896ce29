"""What student and teacher say of one slide after each epoch, for whoever watches."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_mhim.mil.kept_epochs import keep
from napari_mhim.mil.masking import high_mask
from napari_mhim.mil.recipe import Recipe
from napari_mhim.mil.scoring import as_array, scores_of


@dataclass(frozen=True, eq=False)
class Watched:
    """What the student says of the watched slide after an epoch; kept in ``scores/``."""

    stage: str
    """``"baseline"``, or the recipe's name."""
    epoch: int
    """Epochs done, from 1."""
    slide: str
    """Slide's name."""
    probabilities: NDArray[np.float32]
    """Shape (C,)."""
    attention: NDArray[np.float32]
    """Shape (K, N)."""
    evidence: NDArray[np.float32]
    """Shape (N, C)."""
    teacher_scores: NDArray[np.float32]
    """Teacher's scores, heads reduced, shape (N,); the student's own without a teacher."""
    student_scores: NDArray[np.float32]
    """Student's scores, heads reduced, shape (N,)."""
    mask: NDArray[np.bool_]
    """True for the patches hidden as easy at the share in force, undecayed, shape (N,)."""
    remaining: NDArray[np.float32]
    """Probabilities without those patches, shape (C,)."""
    mask_ratio_high: float
    """That share, in [0, 1); 0 where the recipe hides nothing."""
    has_teacher: bool
    """Whether a teacher scored; without one the student's own scores stand in."""

    def keep(self, path: Path) -> None:
        """Write it into a run's folder, whole or not at all; WorkspaceError where it fails."""
        arrays = {k: v for k, v in vars(self).items() if isinstance(v, np.ndarray)}
        keep(path, arrays, self.slide, self.has_teacher)


@torch.no_grad()
def look(recipe: Recipe, x: Tensor, stage: str, epoch: int, slide: str) -> Watched:
    """Look at a slide as prediction would.

    Parameters
    ----------
    recipe : Recipe
        With the weights of this epoch; left in eval mode.
    x : Tensor, shape (N, in_dim), float32
        Features of the slide, on the recipe's device.
    stage, epoch, slide : str, int, str
        As in ``Watched``.

    Returns
    -------
    Watched
        Arrays on the CPU.
    """
    recipe.eval()
    settings = recipe.describe()
    ratio = float(settings.get("mask_ratio_high") or 0.0)
    fusion = settings.get("head_fusion", "vote")
    output = recipe.student(x)
    guide = output if recipe.teacher is None else recipe.teacher(x)
    mask = high_mask(guide.scores_by(recipe.score_kind), ratio, fusion=fusion)
    probabilities = recipe.student.probabilities
    rest = probabilities(recipe.student(x[~mask])) if ratio else probabilities(output)
    return Watched(
        stage=stage,
        epoch=epoch,
        slide=slide,
        probabilities=as_array(probabilities(output)),
        attention=as_array(output.attention),
        evidence=as_array(output.evidence),
        teacher_scores=scores_of(guide, fusion, recipe.score_kind),
        student_scores=scores_of(output, fusion, recipe.score_kind),
        mask=mask.cpu().numpy(),
        remaining=as_array(rest),
        mask_ratio_high=ratio,
        has_teacher=recipe.teacher is not None,
    )
