import errno
import os
from pathlib import Path

import pytest

from napari_mhim.errors import SlideError, WorkspaceError
from napari_mhim.workspace import Workspace, safe, writing


def _write_half(path: Path, err: Exception) -> None:
    with writing(path) as part:
        part.write_text("half")
        raise err


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    with pytest.raises(KeyError):
        _write_half(path, KeyError())
    assert list(path.parent.iterdir()) == []
    with writing(path) as part:
        part.write_text("whole")
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


def test_an_older_file_stays_when_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(WorkspaceError, match=r"disk.*is full"):
        _write_half(path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_closed_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="choose another folder"):
        _write_half(tmp_path / "file.txt", PermissionError(errno.EACCES, "denied"))


@pytest.mark.parametrize("name", ["../up", "a/b", "..", "", "C:\\x", "tab\there"])
def test_no_name_leaves_its_folder(name: str, tmp_path: Path) -> None:
    path = tmp_path / safe(name)
    assert path.parent == tmp_path
    assert path.resolve().parent == tmp_path.resolve()


def test_things_of_one_kind_lie_together(tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    assert place.result_path("model", "case").parent == tmp_path / "results" / "model"
    features = place.features_dir("timm_hub:a/b", 0.5, 224)
    assert features == tmp_path / "features" / "timm_hub-a-b_0.5um_224px"


def test_a_parent_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(WorkspaceError, match="cannot be written"):
        _write_half(tmp_path / "taken" / "file.txt", AssertionError())


def test_a_reading_error_is_not_called_a_writing_error(tmp_path: Path) -> None:
    with pytest.raises(SlideError, match="gone"):
        _write_half(tmp_path / "file.txt", SlideError("the slide is gone"))
