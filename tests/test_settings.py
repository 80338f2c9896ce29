import json

import pytest

from napari_mhim import settings
from napari_mhim.errors import ConfigError
from napari_mhim.settings import Settings, load_settings, save_settings


@pytest.fixture(autouse=True)
def _own_file(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "settings_path", lambda: tmp_path / "settings.json")


def test_saved_settings_come_back() -> None:
    wanted = Settings(device="cpu", cache_mib=64, threads=3, workspace="here")
    save_settings(wanted)
    assert load_settings() == wanted


def test_environment_comes_before_the_file(monkeypatch) -> None:
    save_settings(Settings(threads=3))
    monkeypatch.setenv("NAPARI_MHIM_THREADS", "5")
    assert load_settings().threads == 5


def test_defaults_stand_where_there_is_no_file() -> None:
    assert load_settings() == Settings()


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"devise": "cpu"})])
def test_a_bad_file_is_named(text: str) -> None:
    settings.settings_path().write_text(text)
    with pytest.raises(ConfigError, match=r"settings\.json"):
        load_settings()


def test_a_bad_environment_value_is_named(monkeypatch) -> None:
    monkeypatch.setenv("NAPARI_MHIM_THREADS", "many")
    with pytest.raises(ConfigError, match="NAPARI_MHIM_THREADS must be int"):
        load_settings()


@pytest.mark.parametrize(
    ("text", "wanted"), [("0", False), ("1", True), ("True", True)]
)
def test_a_switch_in_the_environment_is_read_as_one(monkeypatch, text, wanted) -> None:
    monkeypatch.setenv("NAPARI_MHIM_SRGB", text)
    assert load_settings().srgb is wanted
    monkeypatch.setenv("NAPARI_MHIM_SRGB", "perhaps")
    with pytest.raises(ConfigError, match="NAPARI_MHIM_SRGB must be one of 0, 1"):
        load_settings()


@pytest.mark.parametrize(
    "values",
    [{"device": "gpu"}, {"cache_mib": 1}, {"threads": -1}, {"srgb": "yes"}],
)
def test_impossible_values_are_refused(values: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(values))):
        Settings(**values)


def test_auto_finds_a_device_and_an_absent_one_is_refused() -> None:
    import torch

    found = settings.resolve_device("auto")
    assert found in {"cpu", "cuda", "mps"}
    absent = "cuda" if not torch.cuda.is_available() else "mps"
    with pytest.raises(ConfigError, match="not on this computer"):
        settings.resolve_device(absent)


def test_the_device_is_named() -> None:
    (found,) = settings.describe_device("cpu")
    assert found.name == "cpu"
    assert "thread" in found.detail
