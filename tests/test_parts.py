import sys

import pytest

from napari_mhim import _parts
from napari_mhim.errors import UnknownPartError

FOLDERS = (
    "napari_mhim.slide.formats",
    "napari_mhim.features.encoders",
    "napari_mhim.mil.models",
    "napari_mhim.mil.recipes",
)


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_listed_part_loads(folder: str) -> None:
    names = _parts.names(folder)
    assert names
    for name in names:
        assert _parts.load(folder, name).__name__ == f"{folder}.{name}"


def test_unknown_part_names_the_known_ones() -> None:
    with pytest.raises(UnknownPartError, match=r"no model named 'abmill'.*abmil"):
        _parts.load("napari_mhim.mil.models", "abmill")


def test_private_files_are_no_parts(tmp_path, monkeypatch) -> None:
    room = tmp_path / "made_room"
    room.mkdir()
    for name in ("__init__", "_hidden", "first", "second"):
        (room / f"{name}.py").write_text("VALUE = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert _parts.names("made_room") == ("first", "second")
    assert "made_room.first" not in sys.modules
