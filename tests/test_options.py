from dataclasses import dataclass, field

import pytest

from napari_mhim._options import options
from napari_mhim.features.config import ExtractConfig
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


def test_fields_become_options_with_their_docstrings() -> None:
    size, name, parts = options(Made)
    assert (size.name, size.kind, size.default) == ("size", int, 3)
    assert size.help == "How many, at most."
    assert name.is_plain
    assert not parts.is_plain
    assert parts.default == []


@pytest.mark.parametrize("config", [ExtractConfig, TrainConfig])
def test_every_setting_explains_itself(config: type) -> None:
    for option in options(config):
        assert option.help, option.name
