"""Reads checkpoints of the MHIM-MIL authors' code, version 1 and 2, tensors only.

Each model file holds ``OFFICIAL_KEYS``, its layers' names there, and ``official_config``,
which reads widths, classes and heads from the tensors. A checkpoint is recognised by its
tensors' names alone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from napari_mhim import _parts
from napari_mhim.errors import BundleError

MODELS = "napari_mhim.mil.models"
UNUSED = ("merge.", "online_encoder.mask_token")
"""Tensors no prediction needs: version 2's recycle network, a token of early runs."""


@dataclass(frozen=True)
class Official:
    """A checkpoint of the authors' code under this package's names."""

    model: str
    """Name of the model: a file in ``mil/models``."""
    options: Mapping[str, Any]
    """Arguments of its ``build``, in_dim and n_classes among them."""
    student: Mapping[str, Tensor]
    """Weights of the model that predicts, float32, on the CPU."""
    teacher: Mapping[str, Tensor] | None
    """Weights of the momentum teacher; None where the file has none."""


def read_official(path: str | Path, act: str | None = None) -> Official:
    """Read a checkpoint of the authors' code.

    Parameters
    ----------
    path : path
        ``fold_0_model_best_auc.pt`` and the like, or the same as safetensors.
    act : str, optional
        Activation after the projection, ``"relu"`` or ``"gelu"``; the files do not say.

    Returns
    -------
    Official
        Model, its options and weights.

    Raises
    ------
    BundleError
        If the file cannot be read as tensors only, is of no known model, or ``act`` is
        not given.
    """
    path = Path(path)
    parts = {name: _plain_names(part) for name, part in _containers(_load(path), path)}
    student = parts.get("model") or parts["teacher"]
    model, options, weights = _recognise(student, path)
    if act is None:
        usual = "gelu" if any(k.startswith("feature.") for k in student) else "relu"
        raise BundleError(
            f"{path.name!r} does not say which activation follows its projection; give "
            f"act='relu' or act='gelu' (files of this kind usually have {usual!r})"
        )
    teacher = None
    if "model" in parts and "teacher" in parts:
        other, _, teacher = _recognise(parts["teacher"], path)
        if other != model:
            raise BundleError(
                f"{path.name!r} holds a student of {model!r} and a teacher of {other!r}"
            )
    return Official(model, {**options, "act": act}, weights, teacher)


def recognise(
    tensors: Mapping[str, Tensor],
) -> tuple[str, dict[str, Any], dict[str, Tensor]] | None:
    """Find the model whose weights these are.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        Weights under the authors' names.

    Returns
    -------
    tuple of (str, dict, dict) or None
        Model's name, arguments of its ``build`` except activations, and the weights
        under our names, float32; None where no model has all these layers.
    """
    for name in _parts.names(MODELS):
        part = _parts.load(MODELS, name)
        weights = _translate(tensors, getattr(part, "OFFICIAL_KEYS", {}))
        if not weights:
            continue
        try:
            options: dict[str, Any] = part.official_config(weights)
            with torch.device("meta"):
                wanted = part.build(**options).state_dict()
        except KeyError:  # a layer that the model cannot be without is missing
            continue
        if {k: v.shape for k, v in wanted.items()} == {
            k: v.shape for k, v in weights.items()
        }:
            return name, options, weights
    return None


def known_models() -> tuple[str, ...]:
    """List the models that know the authors' names for their layers."""
    return tuple(
        name
        for name in _parts.names(MODELS)
        if hasattr(_parts.load(MODELS, name), "OFFICIAL_KEYS")
    )


def _load(path: Path) -> object:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # their files carry CUDA storages, and a pickle may carry anything
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as err:
        raise BundleError(
            f"{path.name!r} holds more than tensors (a resume file does) and is not "
            "opened; give the file whose name ends in model_best"
        ) from err
    except (OSError, RuntimeError, SafetensorError, EOFError) as err:
        raise BundleError(f"{path.name!r} cannot be read as weights ({err})") from err


def _containers(content: object, path: Path) -> Iterator[tuple[str, dict[str, Tensor]]]:
    named = content if isinstance(content, Mapping) else {}
    found = [(key, named[key]) for key in ("model", "teacher") if named.get(key)]
    for key, part in found or [("model", named)]:
        tensors = {k: v for k, v in part.items() if isinstance(v, Tensor)}
        if not tensors:
            raise BundleError(
                f"{path.name!r} holds no tensors by name; a checkpoint of MHIM-MIL does"
            )
        yield key, tensors


def _plain_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix("module."): tensor for key, tensor in tensors.items()}


def _recognise(
    tensors: Mapping[str, Tensor], path: Path
) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    if (found := recognise(tensors)) is not None:
        return found
    shown = ", ".join(map(repr, sorted(tensors)[:3]))
    raise BundleError(
        f"{path.name!r} is of no model known here (its tensors are {shown}, ...); there "
        f"are: {', '.join(known_models())}"
    )


def _translate(
    tensors: Mapping[str, Tensor], keys: Mapping[str, str]
) -> dict[str, Tensor]:
    """Rename layers; empty where one has no name here. A layer named "" is dropped."""
    renamed = {}
    for key, tensor in tensors.items():
        if key.startswith(UNUSED):
            continue
        layer, _, leaf = key.rpartition(".")
        if key in keys:  # a bare parameter, no layer
            layer, leaf = key, ""
        if layer not in keys:
            return {}
        if keys[layer]:
            renamed[f"{keys[layer]}.{leaf}".rstrip(".")] = tensor.float()
    return renamed
