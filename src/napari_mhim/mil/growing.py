"""Weights of a model with few classes, in one of the same kind with more: old rows are kept."""

import re
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from napari_mhim.errors import ConfigError

_NUMBERED = re.compile(r"(.*?\.)(\d+)(\..*)")
"""Name of a weight in a list of parts: the list, the number, the rest."""


def grown(
    old: Mapping[str, Tensor],
    fresh: Mapping[str, Tensor],
    classes: Sequence[str],
    wanted: Sequence[str],
) -> dict[str, Tensor]:
    """Put weights into a model with more classes.

    What an old class gets from a new one is 0, so that the old classes are judged as before.

    Parameters
    ----------
    old : mapping of str to Tensor
        The trained model's weights.
    fresh : mapping of str to Tensor
        Fresh weights of the same model with more classes.
    classes, wanted : sequence of str
        Classes of both, in order; the second hold the first.

    Returns
    -------
    dict of str to Tensor
        Weights for the larger model.

    Raises
    ------
    ConfigError
        If the model does not grow with its classes in rows or in a list of parts.
    """
    place = [list(wanted).index(name) for name in classes]
    sizes = len(classes), len(wanted)
    listed = _by_class(old, fresh, sizes)
    found = {}
    for name, tensor in fresh.items():
        source = _source(name, old, place, listed)
        if source is None:  # a part of its own for a new class
            found[name] = tensor.clone()
        elif source.shape == tensor.shape:
            found[name] = source.clone()
        else:
            found[name] = _placed(name, source, tensor, place, sizes)
    return found


def _by_class(
    old: Mapping[str, Tensor], fresh: Mapping[str, Tensor], sizes: tuple[int, int]
) -> set[tuple[str, str]]:
    """Find lists with a part for each class: what stands before and after the number."""
    counts = [_numbers(old), _numbers(fresh)]
    return {
        key
        for key, numbers in counts[1].items()
        if numbers == set(range(sizes[1]))
        and counts[0].get(key) == set(range(sizes[0]))
    }


def _numbers(names: Iterable[str]) -> dict[tuple[str, str], set[int]]:
    found: dict[tuple[str, str], set[int]] = {}
    for name in names:
        if parts := _NUMBERED.fullmatch(name):
            found.setdefault((parts[1], parts[3]), set()).add(int(parts[2]))
    return found


def _source(
    name: str,
    old: Mapping[str, Tensor],
    place: list[int],
    listed: set[tuple[str, str]],
) -> Tensor | None:
    parts = _NUMBERED.fullmatch(name)
    if parts and (parts[1], parts[3]) in listed:
        number = int(parts[2])
        if number not in place:
            return None
        name = f"{parts[1]}{place.index(number)}{parts[3]}"
    if name not in old:
        raise ConfigError(f"this model cannot take another class: no weights {name!r}")
    return old[name]


def _placed(
    name: str, source: Tensor, fresh: Tensor, place: list[int], sizes: tuple[int, int]
) -> Tensor:
    differ = [d for d in range(fresh.ndim) if source.shape[d] != fresh.shape[d]]
    pairs = {(source.shape[d], fresh.shape[d]) for d in differ}
    if source.ndim != fresh.ndim or pairs != {sizes}:
        raise ConfigError(
            f"this model cannot take another class: {name} is {tuple(source.shape)} for "
            f"{sizes[0]} classes and {tuple(fresh.shape)} for {sizes[1]}; train a new one"
        )
    index = [torch.arange(n) for n in fresh.shape]
    for d in differ:
        index[d] = torch.tensor(place)
    target = fresh.clone()
    for d in differ[1:]:
        # an old class's row takes nothing from a new class's column
        rows = target.index_select(differ[0], torch.tensor(place)).transpose(0, d)
        new = [c for c in range(sizes[1]) if c not in place]
        rows[new] = 0
        target.index_copy_(differ[0], torch.tensor(place), rows.transpose(0, d))
    target[torch.meshgrid(*index, indexing="ij")] = source
    return target
