"""Reads checkpoints of other programs, tensors only: a file here is a layout of theirs.

A layout is recognised by its tensors' names alone. Each part has ``NAME``, ``EXAMPLE``
(names to know it by) and ``read(tensors, file) -> Recognised | None``. The names of the
authors' layers are with each model: ``OFFICIAL_KEYS`` and ``official_config``, which
reads widths, classes and heads from the tensors.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_mhim import _parts
from napari_mhim.errors import BundleError
from napari_mhim.mil.official._file import open_file
from napari_mhim.mil.official._layout import Recognised, Unstated, official_models

__all__ = ["Official", "Unstated", "known_models", "look", "read_official"]

LAYOUTS = "napari_mhim.mil.official"
"""Folder whose files are the layouts."""


@dataclass(frozen=True)
class Official:
    """A checkpoint of another program under this package's names."""

    layout: str
    """Whose program, for people."""
    model: str
    """Name of the model: a file in ``mil/models``."""
    options: Mapping[str, Any]
    """Arguments of its ``build``, in_dim and n_classes among them."""
    student: Mapping[str, Tensor]
    """Weights of the model that predicts, float32, on the CPU."""
    teacher: Mapping[str, Tensor] | None
    """Weights of the momentum teacher; None where the file has none."""
    unstated: tuple[Unstated, ...] = ()
    """What the file does not say and nobody has said yet; empty once it can be used."""
    notes: tuple[str, ...] = ()
    """What a person should know, a sentence each."""

    @property
    def in_dim(self) -> int:
        """Give the length of a feature vector."""
        return int(self.options["in_dim"])

    @property
    def n_classes(self) -> int:
        """Give the number of classes."""
        return int(self.options["n_classes"])


def look(path: str | Path, **given: Any) -> Official:
    """Read a checkpoint as far as it and what is given can tell.

    Parameters
    ----------
    path : path
        ``fold_0_model_best_auc.pt`` and the like, or the same as safetensors.
    **given
        Settings of the model that the files do not hold, such as ``act="relu"``.

    Returns
    -------
    Official
        Model, its options and weights, and in ``unstated`` what is left to say.

    Raises
    ------
    BundleError
        If the file cannot be read as tensors only, is of no known layout, or of one that
        cannot be imported exactly; or if something is given that the file settles.
    """
    path = Path(path)
    content = open_file(path)
    student = _recognise(content.student, path)
    teacher = None
    if content.teacher is not None:
        other = _recognise(content.teacher, path)
        if (other.model, other.options) != (student.model, student.options):
            raise BundleError(
                f"{path.name!r} holds a student of {student.model!r} and a teacher of "
                f"{other.model!r} with other widths or settings"
            )
        teacher = other.weights
    return _with_given(student, teacher, content.is_teacher_alone, given, path)


def read_official(path: str | Path, **given: Any) -> Official:
    """Read a checkpoint of another program.

    Parameters
    ----------
    path : path
        ``fold_0_model_best_auc.pt`` and the like, or the same as safetensors.
    **given
        Settings of the model that the files do not hold, such as ``act="relu"``.

    Returns
    -------
    Official
        Model, its options and weights; nothing is left unstated.

    Raises
    ------
    BundleError
        As :func:`look`, or if the file does not say all and it is not given.
    """
    found = look(path, **given)
    if found.unstated:
        raise BundleError(
            f"{Path(path).name!r} ({found.layout}) does not say everything its numbers "
            f"depend on; give {' and '.join(map(_wanted, found.unstated))}"
        )
    return found


def known_models() -> tuple[str, ...]:
    """List the models that know the authors' names for their layers."""
    return tuple(name for name, _ in official_models())


def _recognise(tensors: Mapping[str, Tensor], path: Path) -> Recognised:
    layouts = [_parts.load(LAYOUTS, name) for name in _parts.names(LAYOUTS)]
    for layout in layouts:
        found: Recognised | None = layout.read(tensors, path.name)
        if found is not None:
            _refuse_unsound(found.weights, path)
            return found
    shown = ", ".join(map(repr, sorted(tensors)[:3]))
    rest = f" and {len(tensors) - 3} more" if len(tensors) > 3 else ""
    known = "; ".join(f"{layout.NAME} ({layout.EXAMPLE})" for layout in layouts)
    raise BundleError(
        f"{path.name!r} is of no layout known here, or in part: its tensors are {shown}"
        f"{rest}; known are {known}"
    )


def _refuse_unsound(weights: Mapping[str, Tensor], path: Path) -> None:
    for name, tensor in weights.items():
        # a file may name a tensor without its numbers
        if tensor.is_meta or tensor.layout is not torch.strided:
            raise BundleError(f"{path.name!r} does not hold the numbers of {name!r}")
        if not tensor.isfinite().all():
            raise BundleError(
                f"{path.name!r} holds NaN or infinite numbers in {name!r}; its training "
                "went wrong, take a checkpoint from before"
            )


def _with_given(
    student: Recognised,
    teacher: Mapping[str, Tensor] | None,
    is_teacher_alone: bool,
    given: Mapping[str, Any],
    path: Path,
) -> Official:
    free = [*(unstated.option for unstated in student.unstated), *student.assumed]
    for name, value in given.items():
        if name not in free:
            listed = ", ".join(free) or "nothing"
            settled = (
                f" (it is {student.options[name]!r})" if name in student.options else ""
            )
            raise BundleError(
                f"{path.name!r} ({student.layout}) leaves no {name} to choose{settled}; "
                f"it leaves: {listed}"
            )
        for unstated in student.unstated:
            if unstated.option == name and unstated.choices:
                _check_choice(name, value, unstated.choices)
    notes = list(student.notes)
    if is_teacher_alone:
        notes.append("The file holds a teacher alone: it is what predicts here.")
    notes += [
        f"The file does not say {name}; taken is {value!r}, as its program does unless "
        "told otherwise."
        for name, value in student.assumed.items()
        if name not in given
    ]
    return Official(
        layout=student.layout,
        model=student.model,
        options={**student.options, **student.assumed, **given},
        student=student.weights,
        teacher=teacher,
        unstated=tuple(u for u in student.unstated if u.option not in given),
        notes=tuple(notes),
    )


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise BundleError(f"{name} must be one of {', '.join(choices)}; got {value!r}")


def _wanted(unstated: Unstated) -> str:
    choices = f", one of {', '.join(unstated.choices)}" if unstated.choices else ""
    return f"{unstated.option} (usually {unstated.usual}{choices})"
