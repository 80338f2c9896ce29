import shutil
from collections import namedtuple

import pytest

from napari_mhim import doctor, settings

Usage = namedtuple("Usage", "total used free")


def test_everything_the_tests_need_is_found_here() -> None:
    checks = list(doctor.run_checks())
    assert {check.name for check in checks} >= {"python", "torch", "qt", "workspace"}
    assert [check for check in checks if check.status == "FAIL"] == []


def test_a_torch_that_does_not_start_fails_with_a_fix(monkeypatch) -> None:
    real = doctor._child
    monkeypatch.setattr(doctor, "_child", lambda code: real("raise OSError('c10.dll')"))
    check = doctor._torch()
    assert check.status == "FAIL"
    assert "c10.dll" in check.message
    assert "torch" in check.fix


def test_a_child_that_hangs_is_told(monkeypatch) -> None:
    monkeypatch.setattr(doctor, "CHILD_SECONDS", 0.2)
    done = doctor._child("import time; time.sleep(60)")
    assert done.returncode != 0
    assert "no answer" in done.stderr


def test_a_nearly_full_disk_is_a_warning(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("NAPARI_MHIM_WORKSPACE", str(tmp_path / "not" / "yet"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10, 9, 1))
    check = doctor._workspace()
    assert check.status == "WARN"
    assert "not" in check.message


@pytest.mark.parametrize("text", ["{", '{"device": "abacus"}'])
def test_broken_settings_are_told_and_stop_nothing_else(monkeypatch, tmp_path, text):
    path = tmp_path / "settings.json"
    path.write_text(text)
    monkeypatch.setattr(settings, "settings_path", lambda: path)
    assert doctor._settings().status == "FAIL"
    assert doctor._workspace().status == "WARN"
