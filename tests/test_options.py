from dataclasses import dataclass, field
from typing import Literal

import pytest

from napari_mhim import _parts
from napari_mhim._options import options
from napari_mhim.features.config import ExtractConfig
from napari_mhim.mil.config import RECIPES as FOLDER
from napari_mhim.mil.config import TrainConfig


@dataclass(frozen=True)
class Made:
    """A config."""

    size: int = 3
    """How many,
    at most."""
    name: str | None = None
    """What it is called."""
    parts: list[int] = field(default_factory=list)
    """Which parts."""
    way: Literal["up", "down"] = "up"
    """Which way."""


def test_fields_become_options_with_their_docstrings() -> None:
    size, name, parts, way = options(Made)
    assert (size.name, size.kind, size.default) == ("size", int, 3)
    assert size.help == "How many, at most."
    assert name.is_plain
    assert not parts.is_plain
    assert parts.default == []
    assert way.is_plain
    assert (way.choices, name.choices) == (("up", "down"), ())


@dataclass(frozen=True)
class Extended(Made):
    """A config that extends another."""

    size: int = 5
    """How many here."""
    depth: int = 1
    """How deep."""


def test_a_config_that_extends_another_has_its_fields_and_their_docstrings() -> None:
    found = {option.name: option for option in options(Extended)}
    assert list(found) == ["size", "name", "parts", "way", "depth"]
    assert (found["size"].default, found["size"].help) == (5, "How many here.")
    assert found["name"].help == "What it is called."


RECIPES = [_parts.load(FOLDER, name).Config for name in _parts.names(FOLDER)]


@pytest.mark.parametrize("config", [ExtractConfig, TrainConfig, *RECIPES])
def test_every_setting_explains_itself(config: type) -> None:
    for option in options(config):
        assert option.help, option.name
