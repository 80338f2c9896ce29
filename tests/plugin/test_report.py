"""What leaves the desk: files of the sample result, written by a job of the window."""

import shlex
from dataclasses import replace
from pathlib import Path

import made
import pytest
from window_pictures import HAS_DISPLAY

from napari_mhim.cli.app import app
from napari_mhim.errors import StoreError
from napari_mhim.export import kind_names
from napari_mhim.plugin import sample_data, show
from napari_mhim.plugin.state.report import (
    ABOUT,
    KINDS,
    Files,
    ReportState,
    result_file,
)
from napari_mhim.slide.regions import SlideIdentity, region, write_regions
from napari_mhim.workspace import Workspace


def test_every_kind_has_its_name_and_what_it_is_for() -> None:
    assert set(KINDS) == set(kind_names())
    assert set(ABOUT) == set(KINDS)


def test_it_says_what_is_missing() -> None:
    state = ReportState(kinds=(), folder=" ")
    assert "at least one kind" in state.why_not()
    state.kinds = ("csv",)
    assert "folder" in state.why_not()
    state.folder = "/somewhere"
    assert state.why_not() is None
    assert "running" in state.why_not(is_busy=True)


def test_options_that_do_not_apply_do_not_go_along() -> None:
    state = ReportState(
        kinds=("picture",), patches="hard", overlay="none", folder="out", case="Case 7"
    )
    asked = state.asked(Files("r.h5", "s.svs", features="f.h5"))
    assert asked.options.patches == "all"
    assert asked.options.overlay == "none"
    assert asked.options.case == "", "names show: no other name is needed"
    assert asked.options.features == "", "of no use without the model"
    state.kinds, state.blinded = ("csv",), True
    asked = state.asked(Files("r.h5", "s.svs"))
    assert (asked.options.patches, asked.options.overlay) == ("hard", "evidence")
    assert (asked.options.blinded, asked.options.case) == (True, "Case 7")


class TestResultFile:
    def test_the_noted_file_comes_first(self, tmp_path: Path) -> None:
        result, place = made.result(), Workspace(tmp_path / "ws")
        result.save(tmp_path / "a.h5")
        found = result_file(result, str(tmp_path / "a.h5"), place)
        assert found == tmp_path / "a.h5"

    @pytest.mark.parametrize("content", [None, b"", b"no result"])
    def test_what_is_gone_or_damaged_is_written_anew(
        self, tmp_path: Path, content: bytes | None
    ) -> None:
        result, place = made.result(), Workspace(tmp_path)
        kept = place.result_path(result.bundle, result.slide)
        if content is not None:
            kept.parent.mkdir(parents=True)
            kept.write_bytes(content)
        found = result_file(result, str(tmp_path / "gone.h5"), place)
        assert found == kept
        assert type(result).load(found).bundle_id == result.bundle_id

    def test_another_result_is_not_written_over(self, tmp_path: Path) -> None:
        result, place = made.result(), Workspace(tmp_path)
        kept = place.result_path(result.bundle, result.slide)
        replace(result, bundle_id="another").save(kept)
        with pytest.raises(StoreError, match="run the model on the slide again"):
            result_file(result, "", place)
        assert type(result).load(kept).bundle_id == "another"


@pytest.fixture
def dock(viewer):
    dock = show.open_dock(viewer)
    place = sample_data.folder()
    dock.show_layers(
        show.layers(
            place / "both.tiff",
            place / "both.h5",
            bundle_path=place / "bundle",
            features_path=place / "both.features.h5",
        )
    )
    return dock


@pytest.mark.qt
@pytest.mark.skipif(not HAS_DISPLAY, reason="no display: use xvfb-run")
class TestWindow:
    def test_files_are_written_and_shown(self, dock, qtbot, tmp_path: Path) -> None:
        slide = dock.canvas.slide()
        regions = Workspace(dock.runs.workspace).regions_path("both")
        area = [[200, 200], [200, 2600], [2600, 2600], [2600, 200]]
        marked = replace(region(area), kind="exclude", reason="pen")
        write_regions(regions, [marked], SlideIdentity.of(slide))
        view = dock.review.sections["Report"].open()
        view.kinds["csv"].setChecked(True)
        view.folder.setText(str(tmp_path / "out"))
        view.write.click()
        assert not view.write.isEnabled(), "one job at a time"
        qtbot.waitUntil(lambda: not dock.state.job.is_busy, timeout=120_000)
        assert not dock.state.problem
        names = sorted(path.name for path in (tmp_path / "out").iterdir())
        assert names == ["both.csv", "both.html"]
        assert [Path(path).name for path in view.state.written] == names[::-1]
        assert view.open_folder.isVisibleTo(view)
        page = (tmp_path / "out" / "both.html").read_text(encoding="utf-8")
        assert "pen" in page, "what was left out is listed with its reason"

    def test_the_copied_line_does_the_same(self, dock, qtbot, tmp_path: Path) -> None:
        from qtpy.QtWidgets import QApplication
        from typer.testing import CliRunner

        view = dock.review.sections["Report"].open()
        view.kinds["report"].setChecked(False)
        view.kinds["geojson"].setChecked(True)
        view.patches.setCurrentIndex(1)
        view.folder.setText(str(tmp_path / "by line"))
        view.copy.click()
        line = shlex.split(QApplication.clipboard().text())
        assert line[:2] == ["napari-mhim", "export"]
        done = CliRunner().invoke(app, line[1:])
        assert done.exit_code == 0, done.output
        assert (tmp_path / "by line" / "both.geojson").is_file()

    def test_hidden_names_stay_hidden(self, dock, qtbot, tmp_path: Path) -> None:
        view = dock.review.sections["Report"].open()
        dock.state.aliases = {"both": "Case 07"}
        assert view.blinded.isChecked()
        assert not view.blinded.isEnabled()
        view.folder.setText(str(tmp_path / "out"))
        view.write.click()
        qtbot.waitUntil(lambda: not dock.state.job.is_busy, timeout=120_000)
        (page,) = (tmp_path / "out").iterdir()
        assert page.name == "Case 07.html"
        text = page.read_text(encoding="utf-8")
        assert "both.tiff" not in text
        assert str(sample_data.folder()) not in text

    def test_a_folder_that_cannot_be_written_is_told(
        self, dock, qtbot, tmp_path: Path
    ) -> None:
        blocked = tmp_path / "a file"
        blocked.write_text("")
        view = dock.review.sections["Report"].open()
        view.folder.setText(str(blocked))
        view.write.click()
        qtbot.waitUntil(lambda: bool(dock.state.problem), timeout=120_000)
        qtbot.waitUntil(lambda: not dock.state.job.is_busy)
        assert "a file" in dock.state.problem
        assert dock.state.problem.count(".") <= 2
        assert view.state.kinds == ("report",)
        assert view.folder.text() == str(blocked)
        assert dock.state.result is not None
        assert view.write.isEnabled()
