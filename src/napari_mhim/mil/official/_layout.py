"""What every layout of checkpoints promises: its tensors become one of our models."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from napari_mhim import _parts
from napari_mhim.mil.config import MODELS


@dataclass(frozen=True)
class Unstated:
    """A setting of the model that the file does not hold and its numbers depend on."""

    option: str
    """Argument of the model's ``build``."""
    usual: str
    """What files of this layout usually have, for whoever is asked."""
    choices: tuple[str, ...] = ()
    """What can be chosen; empty for a number."""


@dataclass(frozen=True)
class Recognised:
    """Tensors of a layout as a model of ours."""

    layout: str
    """The layout, for people."""
    model: str
    """Name of the model: a file in ``mil/models``."""
    options: Mapping[str, Any]
    """Arguments of its ``build`` that the file or the layout settles."""
    weights: Mapping[str, Tensor]
    """Weights under our names, float32."""
    unstated: tuple[Unstated, ...] = ()
    """What must be asked for."""
    assumed: Mapping[str, Any] = field(default_factory=dict)
    """Arguments the file does not hold, with what its program does unless told otherwise."""
    notes: tuple[str, ...] = ()
    """What a person should know, a sentence each."""


def fit(
    tensors: Mapping[str, Tensor], keys: Mapping[str, str], model: str
) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """See whether tensors are all a model needs, and nothing else.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        Weights under the authors' names.
    keys : mapping of str to str
        Their layers' (or bare parameters') names to ours; a layer named "" is dropped.
    model : str
        Name of the model.

    Returns
    -------
    tuple of (dict, dict) or None
        Arguments of its ``build`` that the tensors tell, and the weights under our names,
        float32; None where a tensor is missing, too many, or of another shape.
    """
    part = _parts.load(MODELS, model)
    weights = _translate(tensors, keys)
    if not weights:
        return None
    try:
        options: dict[str, Any] = part.official_config(weights)
        with torch.device("meta"):
            wanted = part.build(**options).state_dict()
    # a layer that the model cannot be without is missing, or has another rank
    except (LookupError, ValueError):
        return None
    shapes = {name: tensor.shape for name, tensor in weights.items()}
    if {name: tensor.shape for name, tensor in wanted.items()} != shapes:
        return None
    return options, weights


def fit_any(
    tensors: Mapping[str, Tensor],
) -> tuple[str, dict[str, Any], dict[str, Tensor]] | None:
    """Find the model whose own names for the authors' layers these are; as :func:`fit`."""
    for name, part in official_models():
        if (found := fit(tensors, part.OFFICIAL_KEYS, name)) is not None:
            return name, *found
    return None


def official_models() -> Iterable[tuple[str, ModuleType]]:
    """List the models that know the authors' names for their layers."""
    for name in _parts.names(MODELS):
        part = _parts.load(MODELS, name)
        if hasattr(part, "OFFICIAL_KEYS"):
            yield name, part


def without(tensors: Mapping[str, Tensor], *prefixes: str) -> dict[str, Tensor]:
    """Leave out tensors whose name starts with one of ``prefixes``."""
    return {k: v for k, v in tensors.items() if not k.startswith(prefixes)}


def _translate(
    tensors: Mapping[str, Tensor], keys: Mapping[str, str]
) -> dict[str, Tensor]:
    """Rename layers; empty where one has no name here."""
    renamed = {}
    for key, tensor in tensors.items():
        layer, _, leaf = key.rpartition(".")
        if key in keys:  # a bare parameter, no layer
            layer, leaf = key, ""
        if layer not in keys:
            return {}
        if keys[layer]:
            renamed[f"{keys[layer]}.{leaf}".rstrip(".")] = tensor.float()
    return renamed
