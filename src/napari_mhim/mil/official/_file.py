"""A checkpoint's file: opened as tensors only, and what wraps the tensors taken off."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from struct import error as StructError
from zipfile import BadZipFile, ZipFile, is_zipfile

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from napari_mhim.errors import BundleError

# what a damaged file can end in, as pickle and torch read on (torch 2.15)
_DAMAGED = (
    *(OSError, RuntimeError, EOFError, SafetensorError, BadZipFile, StructError),
    *(ValueError, LookupError, TypeError, AttributeError, AssertionError),
    *(ArithmeticError, MemoryError),
)


@dataclass(frozen=True)
class Content:
    """Tensors of a file, by the names of their layers."""

    student: Mapping[str, Tensor]
    """Of the model that predicts."""
    teacher: Mapping[str, Tensor] | None
    """Of the momentum teacher; None where there is none beside the model."""
    is_teacher_alone: bool = False
    """Whether the one model in the file is a teacher."""


def open_file(path: Path) -> Content:
    """Read a file of weights.

    Parameters
    ----------
    path : Path
        A checkpoint of torch, or safetensors.

    Returns
    -------
    Content
        Its tensors, on the CPU; wrappers of names (``module.``, ``model.``) are off.

    Raises
    ------
    BundleError
        If it is not there, damaged, holds more than tensors and plain values, or no
        tensors by name.
    """
    content = _load(path)
    named = content if isinstance(content, Mapping) else {}
    if isinstance(named.get("state_dict"), Mapping):  # PyTorch Lightning's
        named = named["state_dict"]
    model, teacher = (
        _tensors(named[key]) if isinstance(named.get(key), Mapping) else {}
        for key in ("model", "teacher")
    )
    if not (model or teacher):
        model = _tensors(named)
    if not (model or teacher):
        raise BundleError(
            f"{path.name!r} holds no tensors by name; a checkpoint of a model does"
        )
    return Content(
        student=model or teacher,
        teacher=teacher if model and teacher else None,
        is_teacher_alone=not model,
    )


def _load(path: Path) -> object:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        _refuse_changed(path)
        # their files carry CUDA storages, and a pickle may carry anything
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as err:
        raise BundleError(
            f"{path.name!r} holds more than tensors (a resume file such as ckp.pt does), "
            "or is no checkpoint, and is not opened; give the file whose name ends in "
            "model_best, or have its tensors saved alone"
        ) from err
    except _DAMAGED as err:
        reason = str(err).splitlines()[0] if str(err) else type(err).__name__
        raise BundleError(
            f"{path.name!r} cannot be read as weights ({reason})"
        ) from err


def _refuse_changed(path: Path) -> None:
    """Compare the archive's own checksums, which torch itself passes over (2.15)."""
    if not is_zipfile(path):
        return
    with ZipFile(path) as archive:
        if (member := archive.testzip()) is not None:
            raise BadZipFile(f"{member} is not as it was written; copy the file again")


def _tensors(named: Mapping[object, object]) -> dict[str, Tensor]:
    """Give tensors by name, those of modules saved one by one too."""
    found = {}
    for key, value in named.items():
        inner = value.items() if isinstance(value, Mapping) else ()
        for name, tensor in [(key, value), *((f"{key}.{k}", v) for k, v in inner)]:
            if isinstance(tensor, Tensor):
                found[_plain(str(name))] = tensor
    if found and all(name.startswith("model.") for name in found):
        found = {name.removeprefix("model."): t for name, t in found.items()}
    return found


def _plain(name: str) -> str:
    """Take off what training on several devices puts into a name."""
    return f".{name}".replace(".module.", ".")[1:]
