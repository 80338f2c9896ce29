"""Plain training: the whole bag, one model, its own classification loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a window lists recipes and their settings without torch
    from torch import Tensor

    from napari_mhim.mil.model import MILModel
    from napari_mhim.mil.recipe import Recipe


@dataclass(frozen=True)
class Config:
    """Plain training has nothing to set."""


def needs_baseline(config: Config) -> bool:
    """Say whether a trained baseline must be given: never."""
    return False


def build(
    model: MILModel, config: Config, baseline: Mapping[str, Tensor] | None = None
) -> Recipe:
    """Build the recipe around a model.

    Parameters
    ----------
    model : MILModel
        What to train.
    config : Config
        Settings.
    baseline : mapping of str to Tensor, optional
        Not used.

    Returns
    -------
    Recipe
        The recipe, on the model's device.
    """
    from napari_mhim.mil.recipes.plain.training import Plain

    return Plain(model)
