"""One bag of MHIM-v2: two-step hiding, and a student that also sees recycled tokens.

1. The teacher scores instances by how surely each speaks for any class, and the most
   salient are hidden, as in MHIM.
2. Of those left, some stay; the rest, drawn by chance, is recycled into a few tokens.
3. The student sees the ones that stay with the tokens behind them. Losses are MHIM's.

The recycle network is for training alone: it is in the recipe's state, not in the model
that predicts.

Departures from the authors' code beside those of MHIM and of
:mod:`~napari_mhim.mil.recipes.mhim_v2.recycling`, each on purpose:

- their ``merge_ratio`` is ``stay_share`` here: in their code it is the share that is *not*
  recycled, while its name and their paper's words suggest the other;
- salience is ranked by :func:`~napari_mhim.mil.masking.class_confidence`, which rises with
  their probability but does not collapse in a large bag; like theirs it leaves out the
  classifier's bias (they add that of class 0 to every class);
- the instances that stay keep the bag's order (theirs: a random one), which only a model
  that minds the order can tell;
- at least one instance stays, and where none is left to recycle there are no tokens; theirs
  fails for a bag of one, and where nothing is hidden;
- bags under ``smallest_masked`` are shown whole, nothing of them recycled;
- the recycle network has no momentum copy: theirs is never used;
- there are no tokens in prediction: theirs can add them (``merge_test``), but does not by
  default;
- DSMIL's loss on the mean logits of its streams is an option of that model
  (``combine="logits"``).

References
----------
Tang et al., "Multiple Instance Learning Framework with Masked Hard Instance Mining
for Gigapixel Histopathology Image Analysis", IJCV 2025, arXiv:2509.11526; read from the
authors' code.
"""

import torch
from torch import Tensor

from napari_mhim.mil.masking import random_keys
from napari_mhim.mil.model import MILModel, MILOutput
from napari_mhim.mil.recipes.mhim.training import Mhim
from napari_mhim.mil.recipes.mhim_v2.config import Config
from napari_mhim.mil.recipes.mhim_v2.recycling import RecycleNetwork


class MhimV2(Mhim):
    """A student that sees what a momentum teacher leaves, part of it as tokens."""

    def __init__(self, model: MILModel, teacher: MILModel | None, config: Config):
        super().__init__(model, teacher, config)
        self._stay_share = config.stay_share
        recycle = RecycleNetwork(
            model.width,
            config.recycle_tokens,
            config.recycle_momentum,
            config.recycle_dropout,
        )
        self.recycle = recycle.to(next(model.parameters()).device)

    def _study(self, kept: Tensor) -> MILOutput:
        h = self.student.embed(kept)  # (kept, D)
        stay, rest = self._split(len(h), h.device)
        if len(rest) == 0:
            return self.student.aggregate(h)
        tokens = self.recycle(h[rest])  # (k, D)
        if self.training:
            self.recycle.follow(tokens)
        return self.student.aggregate(torch.cat([h[stay], tokens]))

    def _split(self, n: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Give the places of those that stay, ascending, and of those recycled."""
        order = random_keys(n, device).argsort()
        count = max(1, int(n * self._stay_share))
        return order[:count].sort().values, order[count:]
