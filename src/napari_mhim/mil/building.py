"""A model from its name and options, refused in a sentence where it cannot be."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

import torch

from napari_mhim import _parts
from napari_mhim.mil.config import MODELS, check_kinds, check_options
from napari_mhim.mil.model import MILModel


def build_model(
    name: str, options: Mapping[str, Any], in_dim: int, n_classes: int
) -> MILModel:
    """Build a model with fresh weights.

    Parameters
    ----------
    name : str
        Name of a file in ``mil/models``.
    options : mapping
        Options of its ``build``.
    in_dim : int
        Width of the features.
    n_classes : int
        Number of classes, at least 2.

    Returns
    -------
    MILModel
        The model, on the CPU.

    Raises
    ------
    UnknownPartError
        If there is no such model.
    ConfigError
        If an option is unknown, of the wrong kind or out of range.
    """
    build = _parts.load(MODELS, name).build
    owner = f"model {name!r}"
    check_options(owner, options, list(inspect.signature(build).parameters)[2:])
    check_kinds(owner, options, _kinds(build))
    model: MILModel = build(in_dim, n_classes, **options)
    return model


def refuse_unbuildable(
    name: str, options: Mapping[str, Any], in_dim: int, n_classes: int
) -> None:
    """Raise what :func:`build_model` raises, before anything else is begun.

    Parameters
    ----------
    name, options, in_dim, n_classes
        As there; torch's random numbers stay where they are.
    """
    with torch.random.fork_rng(devices=[]):
        build_model(name, options, in_dim, n_classes)


def _kinds(build: Callable[..., Any]) -> Mapping[str, Any]:
    try:
        return get_type_hints(build)
    except (
        NameError
    ):  # a foreign model may import names of its types for checkers alone
        return {}
