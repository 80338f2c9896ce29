"""Small models of every kind, for tests that do not mind the width."""

from inspect import signature

from napari_mhim import _parts
from napari_mhim.mil.config import MODELS

SMALL = {"hidden": 16, "attention_dim": 8, "heads": 2, "head_dim": 4, "landmarks": 8}


def small(model: str) -> dict[str, int]:
    """Give options that make a model small, of those it has."""
    known = signature(_parts.load(MODELS, model).build).parameters
    return {name: value for name, value in SMALL.items() if name in known}
