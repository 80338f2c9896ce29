"""MHIM-v2 (IJCV 2025): what the teacher leaves is in part recycled into a few global tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from napari_mhim.mil.recipes.mhim.config import needs_baseline
from napari_mhim.mil.recipes.mhim_v2.config import Config

if TYPE_CHECKING:  # a window lists recipes and their settings without torch
    from torch import Tensor

    from napari_mhim.mil.model import MILModel
    from napari_mhim.mil.recipe import Recipe

__all__ = ["Config", "build", "needs_baseline"]


def build(
    model: MILModel, config: Config, baseline: Mapping[str, Tensor] | None = None
) -> Recipe:
    """Build the recipe around a model.

    Parameters
    ----------
    model : MILModel
        The student, with fresh weights.
    config : Config
        Settings.
    baseline : mapping of str to Tensor, optional
        Weights of a trained model of the same structure; must be given where
        :func:`needs_baseline` says so.

    Returns
    -------
    Recipe
        Student, teacher and recycle network, on the model's device.

    Raises
    ------
    ConfigError
        If the baseline is wanted and missing, or its tensors are not the model's, or the
        model does not say how wide its embedded instances are.
    """
    from napari_mhim.mil.recipes.mhim.training import initialise
    from napari_mhim.mil.recipes.mhim_v2.training import MhimV2

    return MhimV2(model, initialise(model, config, baseline), config)
