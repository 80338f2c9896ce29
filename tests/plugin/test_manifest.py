"""What napari is told of the plugin."""

from fnmatch import fnmatch
from pathlib import Path

import pytest
from npe2 import PluginManifest

import napari_mhim
from napari_mhim.plugin.reader import SUFFIXES

PATH = Path(napari_mhim.__file__).parent / "napari.yaml"


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    return PluginManifest.from_file(PATH)


def test_every_command_can_be_imported(manifest: PluginManifest) -> None:
    manifest.validate_imports()


def test_the_dock_is_found_under_the_names_that_show_uses(
    manifest: PluginManifest,
) -> None:
    from napari_mhim.plugin.show import PLUGIN, WIDGET

    assert manifest.name == PLUGIN
    names = [one.display_name for one in manifest.contributions.widgets]
    assert names[0] == WIDGET
    assert "MHIM: Gallery (wide)" in names
    assert "MHIM: Check my computer" in names


def test_the_reader_claims_slides_and_nothing_else(manifest: PluginManifest) -> None:
    (reader,) = manifest.contributions.readers
    assert {f"*{suffix}" for suffix in SUFFIXES} == set(reader.filename_patterns)
    assert not reader.accepts_directories
    for name in ("a.tif", "a.tiff", "a.png", "a.ome.tif", "a.zarr", "folder"):
        assert not any(fnmatch(name, one) for one in reader.filename_patterns)


def test_there_are_three_samples(manifest: PluginManifest) -> None:
    keys = [one.key for one in manifest.contributions.sample_data]
    assert keys == ["both", "hard", "negative"]
