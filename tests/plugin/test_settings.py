"""Settings and the check of the computer, in the window."""

import json
from pathlib import Path

import pytest
from window_pictures import HAS_DISPLAY

from napari_mhim import settings
from napari_mhim.doctor import Check
from napari_mhim.plugin import show
from napari_mhim.plugin.state.checks import as_text, verdict

PASS = Check("PASS", "python", "Python 3.12")
WARN = Check("WARN", "display", "drawn in software", "install a driver")
FAIL = Check("FAIL", "qt", "no Qt binding", "pip install it")


def test_the_verdict_names_the_worst() -> None:
    assert verdict([PASS]) == "Everything works."
    assert "to know: display" in verdict([PASS, WARN])
    assert "Not everything works: qt" in verdict([WARN, FAIL, PASS])


def test_the_text_has_each_fix() -> None:
    assert as_text([PASS, FAIL]).splitlines() == [
        "PASS  python: Python 3.12",
        "FAIL  qt: no Qt binding",
        "      fix: pip install it",
    ]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config" / "settings.json"
    monkeypatch.setattr(settings, "settings_path", lambda: path)
    monkeypatch.setattr(
        "napari_mhim.plugin.widgets.settings.settings_path", lambda: path
    )
    for name in ("DEVICE", "CACHE_MIB", "THREADS"):
        monkeypatch.delenv(f"NAPARI_MHIM_{name}", raising=False)
    return path


def test_what_is_kept_is_without_the_environment(file: Path, monkeypatch) -> None:
    settings.save_settings(settings.Settings(threads=3))
    monkeypatch.setenv("NAPARI_MHIM_THREADS", "7")
    assert settings.load_settings().threads == 7
    assert settings.kept_settings().threads == 3


@pytest.mark.qt
@pytest.mark.skipif(not HAS_DISPLAY, reason="no display: use xvfb-run")
class TestWindow:
    @pytest.fixture
    def view(self, file: Path, viewer):
        dock = show.open_dock(viewer)
        return dock.settings.open()

    def test_what_is_set_is_kept(self, view, file: Path, viewer) -> None:
        view.device.setCurrentIndex(settings.DEVICES.index("cpu"))
        view.cache_mib.setValue(1024)
        view.threads.setValue(2)
        view.keep.click()
        kept = json.loads(file.read_text())
        assert (kept["device"], kept["cache_mib"], kept["threads"]) == ("cpu", 1024, 2)
        assert "Saved. The cache from next time on." in view.found.text()
        assert show.open_dock(viewer).runs.wanted_device == "cpu"

    def test_what_the_environment_gives_is_not_changed(self, view, file: Path) -> None:
        # the tests' own workspace is given so
        assert not view.workspace.isEnabled()
        assert "NAPARI_MHIM_WORKSPACE" in view.found.text()
        view.keep.click()
        assert (
            json.loads(file.read_text())["workspace"] == settings.Settings().workspace
        )

    def test_a_file_that_cannot_be_written_is_told(
        self, view, file: Path, viewer
    ) -> None:
        file.parent.write_text("a file where the folder should be")
        view.threads.setValue(5)
        view.keep.click()
        assert show.open_dock(viewer).state.problem
        assert view.threads.value() == 5

    def test_the_computer_is_checked_in_a_window(self, view, qtbot) -> None:
        from qtpy.QtWidgets import QApplication

        view.check.click()
        found = view.computer
        qtbot.waitUntil(lambda: found.is_done, timeout=300_000)
        names = [check.name for check in found.checks]
        assert names[:2] == ["python", "packages"]
        assert "torch" in names
        assert "PASS" in found.found.text()
        found.copy.click()
        assert QApplication.clipboard().text() == as_text(found.checks)
        assert found.again.isEnabled()
