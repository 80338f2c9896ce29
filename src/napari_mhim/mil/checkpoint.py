"""Where a training run stands, on disk: everything the next epoch depends on."""

import io
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from napari_mhim.errors import TrainingError
from napari_mhim.workspace import writing


@dataclass
class Standing:
    """How far a run is, and what was best so far."""

    epoch: int = 0
    """Epochs done."""
    step: int = 0
    """Optimiser steps done."""
    best_auc: float = -math.inf
    """Best validation AUC so far; minus infinity where undefined."""
    best_loss: float = math.inf
    """Validation loss of the best epoch."""
    best_epoch: int = 0
    """The best epoch, from 1; 0 before the first."""
    since_best: int = 0
    """Epochs since it was last reached."""
    log_size: int = 0
    """Bytes of the run's log that belong to the epochs done."""

    def take(self, auc: float, loss: float, settled: int = 1) -> bool:
        """Count an epoch's validation result; True if it is the best so far.

        From epoch ``settled`` on, what came before counts no more: with few validation
        slides an early epoch is best by luck, and MHIM's student has by then seen little
        of what its teacher leaves it.

        AUC decides, and the loss between epochs of equal AUC: on few slides the AUC is
        soon 1.0 for good, while the loss still tells epochs apart. An epoch as good as
        the best is not a new best, but restarts the count, as in the authors' code.
        """
        if self.epoch == settled:
            self.best_auc, self.best_loss, self.best_epoch = -math.inf, math.inf, 0
        auc = -math.inf if math.isnan(auc) else auc
        loss = math.inf if math.isnan(loss) else loss
        ours, best = (auc, -loss), (self.best_auc, -self.best_loss)
        # without validation slides the last epoch is the best there is
        is_best = ours > best or not self.best_epoch or math.isinf(loss)
        self.since_best = 0 if ours >= best else self.since_best + 1
        if is_best:
            self.best_auc, self.best_loss = auc, loss
            self.best_epoch = self.epoch
        return is_best

    def is_over(self, epochs: int, patience: int, min_epochs: int) -> bool:
        """Whether training ends: all epochs done, or none better for a while."""
        is_tired = bool(patience) and self.since_best >= patience
        return self.epoch >= epochs or (is_tired and self.epoch >= min_epochs)


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values, whole or not at all.

    Parameters
    ----------
    path : Path
        File to write.
    state : dict
        What to keep.

    Raises
    ------
    WorkspaceError
        If the folder cannot be written or the disk is full; the older file is kept.
    """
    # torch turns a full disk into a RuntimeError of its zip writer: bytes do not
    memory = io.BytesIO()
    torch.save(state, memory)
    with writing(path) as part:
        part.write_bytes(memory.getbuffer())


def load_state(path: Path, device: str) -> dict[str, Any]:
    """Read what :func:`save_state` wrote; nothing but tensors and plain values.

    Parameters
    ----------
    path : Path
        The file.
    device : str
        Where tensors go.

    Returns
    -------
    dict
        The state.

    Raises
    ------
    TrainingError
        If the file is missing, damaged, or holds anything else.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    # an UnpicklingError is a pickle that wants more than tensors
    except (OSError, RuntimeError, EOFError, ValueError, UnpicklingError) as err:
        raise TrainingError(_unreadable(path, err)) from err
    return state


def standing_state(standing: Standing) -> dict[str, Any]:
    """Give a standing as plain values."""
    return asdict(standing)


def random_state(device: str) -> dict[str, torch.Tensor]:
    """Give the state of torch's random numbers on the CPU and on the device."""
    state = {"cpu": torch.get_rng_state()}
    if device == "cuda":
        state["cuda"] = torch.cuda.get_rng_state()
    elif device == "mps":
        state["mps"] = torch.mps.get_rng_state()
    return state


def set_random_state(state: dict[str, torch.Tensor], device: str) -> None:
    """Take up what :func:`random_state` gave; a run moved to another device starts afresh there."""
    torch.set_rng_state(state["cpu"].cpu())
    if device == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu())
    elif device == "mps" and "mps" in state:
        torch.mps.set_rng_state(state["mps"].cpu())


def _unreadable(path: Path, err: Exception) -> str:
    first = (str(err).splitlines() or [type(err).__name__])[0]
    return f"checkpoint {str(path)!r} cannot be read ({first}); start a new run"
