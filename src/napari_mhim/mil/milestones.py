"""What training says on its way: events a window can read without torch."""

import math
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class EpochDone:
    """What one epoch came to; its checkpoint is on disk."""

    stage: str
    """``"baseline"``, or the recipe's name."""
    epoch: int
    """Epochs done, from 1."""
    epochs: int
    """Most epochs of this stage."""
    losses: dict[str, float]
    """Mean training losses: ``total`` and the recipe's parts."""
    val: dict[str, float]
    """Validation ``auc`` and ``loss``; NaN where undefined."""
    is_best: bool
    """Whether this is the best epoch so far."""
    kept_share: float
    """Share of instances the student saw, in (0, 1]."""
    seconds: float
    """How long the epoch took."""
    lr: float = 0.0
    """Learning rate of the epoch; 0 where an older version kept none."""
    memory_mib: float = 0.0
    """Memory of the process at its end, in MiB; 0 where an older version kept none."""
    gpu_mib: float = 0.0
    """Memory of the GPU that the process holds, in MiB; 0 without a GPU."""

    @property
    def words(self) -> str:
        """Give stage, loss and validation AUC in a few words, for a progress bar."""
        said = f"{self.stage}: loss {self.losses['total']:.3f}"
        auc = self.val.get("auc", math.nan)
        return said if math.isnan(auc) else f"{said}, validation AUC {auc:.3f}"


@dataclass(frozen=True)
class FitDone:
    """Training is over and the bundle is on disk."""

    bundle_path: str
    """Folder of the model."""
    metrics: dict[str, Any] = field(default_factory=dict)
    """Figures on the validation slides, as in the bundle."""
    baseline_path: str = ""
    """Folder of the baseline's model, "" where the recipe needs none."""
