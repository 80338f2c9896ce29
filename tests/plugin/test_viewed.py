"""How much of the tissue was seen: the raster, its file, and the view that fills it."""

from pathlib import Path

import made
import numpy as np
import pytest
from napari.components import ViewerModel

from napari_mhim.errors import StoreError, WorkspaceError
from napari_mhim.mil.cohort import CohortRow
from napari_mhim.plugin import slides_words
from napari_mhim.plugin.canvas import Canvas
from napari_mhim.plugin.desk import Desk
from napari_mhim.plugin.runs import Runs
from napari_mhim.plugin.seen import Seen
from napari_mhim.plugin.state.desk import DeskState
from napari_mhim.plugin.state.labels import VIEWED, LabelLog
from napari_mhim.plugin.state.viewed import ViewedArea, magnification
from napari_mhim.plugin.state.worklist_shown import NOT_LOOKED_AT
from napari_mhim.plugin.talk import Talk
from napari_mhim.plugin.worklist import Worklist
from napari_mhim.plugin.worklist_files import Index
from napari_mhim.slide.tissue import TissueMask
from napari_mhim.workspace import Workspace


def tissue() -> TissueMask:
    """20 x 30 cells of 10 x 8 px, tissue in a rectangle of 10 x 12 of them."""
    mask = np.zeros((20, 30), bool)
    mask[5:15, 6:18] = True
    return TissueMask(mask, (10.0, 8.0))


def corners(y0: float, x0: float, y1: float, x1: float) -> np.ndarray:
    return np.array([[y0, x0], [y1, x1]])


class TestRaster:
    def test_a_place_is_seen_when_its_middle_is_in_view(self) -> None:
        draw = np.random.default_rng(0)
        area, middles = ViewedArea(tissue()), np.argwhere(np.ones((20, 30))) + 0.5
        seen = np.zeros(600, bool)
        for _ in range(20):
            low = draw.uniform(-40, 180, 2)
            view = np.array([low, low + draw.uniform(5, 80, 2)])
            area.look(view, 0.5)
            at = middles * (10.0, 8.0)
            seen |= ((at >= view[0]) & (at < view[1])).all(axis=1)
            wanted = (seen.reshape(20, 30) & tissue().mask).sum() / 120
            assert area.share == pytest.approx(wanted)
        assert 0 < area.share < 1

    def test_from_afar_nothing_is_seen(self) -> None:
        area = ViewedArea(tissue())
        assert not area.look(corners(0, 0, 200, 240), 1.1)
        assert area.share == 0
        assert area.look(corners(0, 0, 200, 240), 1.0)  # 10x exactly
        assert area.share == 1

    def test_glass_counts_for_nothing_and_nothing_counts_twice(self) -> None:
        area = ViewedArea(tissue())
        area.look(corners(0, 0, 50, 240), 0.25)
        assert area.share == 0
        assert area.look(corners(50, 48, 100, 144), 0.25)
        assert not area.look(corners(50, 48, 100, 144), 0.25)
        assert area.share == pytest.approx(0.5)

    def test_a_view_past_the_slide_wraps_nowhere(self) -> None:
        area = ViewedArea(tissue())
        area.look(corners(-90, -90, -10, -10), 0.5)
        area.look(corners(500, 500, 600, 600), 0.5)
        assert area.share == 0

    def test_without_tissue_there_is_no_share(self) -> None:
        assert np.isnan(ViewedArea(TissueMask(np.zeros((4, 4), bool), (1, 1))).share)

    def test_ten_times_is_one_micrometre_a_pixel(self) -> None:
        assert magnification(1.0) == 10
        assert magnification(0.25) == 40


class TestFile:
    def test_it_goes_on_where_it_was(self, tmp_path: Path) -> None:
        path, area = tmp_path / "a" / "r.npz", ViewedArea(tissue())
        area.look(corners(50, 48, 80, 144), 0.5)
        area.save(path, "f")
        again = ViewedArea.load(path, "f", tissue())
        assert again.share == area.share > 0
        assert ViewedArea.load(tmp_path / "none.npz", "f", tissue()).share == 0

    def test_another_slide_s_and_a_damaged_file_are_refused(self, tmp_path) -> None:
        path = tmp_path / "r.npz"
        ViewedArea(tissue()).save(path, "f")
        with pytest.raises(StoreError, match="another file of that name"):
            ViewedArea.load(path, "g", tissue())
        path.write_bytes(path.read_bytes()[:40])
        with pytest.raises(StoreError, match="cannot be read; it is counted anew"):
            ViewedArea.load(path, "f", tissue())

    def test_a_folder_that_cannot_be_written_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "viewed").write_text("in the way")
        with pytest.raises(WorkspaceError):
            ViewedArea(tissue()).save(tmp_path / "viewed" / "s" / "r.npz", "f")


@pytest.fixture
def work(tmp_path: Path):
    """A list of two slides at work, without a window."""
    state = DeskState()
    runs = Runs(state, tmp_path)
    canvas = Canvas(ViewerModel(), state)
    canvas.viewer.canvas.size = 400, 600
    talk = Talk(state, lambda: tmp_path, lambda: "cpu")
    work = Worklist(Desk(state, canvas, runs, talk))
    for name in ("one", "two"):
        made.write_folder(tmp_path, name)
    rows = [CohortRow(n, str(tmp_path / f"{n}.tiff"), "", n) for n in ("one", "two")]
    log = LabelLog.read(Workspace(tmp_path).labels_path)
    work.index = Index(Workspace(tmp_path).index_path)
    work.list.open(rows, ("normal", "tumour"), str(tmp_path), log)
    yield work
    canvas.make_room()
    work.release()


def look_at(seen: Seen, um_per_px: float) -> None:
    seen._worklist.desk.canvas.viewer.scene.camera.zoom = 1 / um_per_px
    seen.look()


def found_tissue(seen: Seen, qtbot) -> None:
    qtbot.waitUntil(lambda: not seen._tissue._is_reading, timeout=20_000)
    seen.look()


def test_zooming_in_fills_the_share_and_leaving_writes_it_down(work, qtbot) -> None:
    seen, slides = Seen(work), work.list
    slides.reader = "r"
    work.open_row(0)
    found_tissue(seen, qtbot)
    look_at(seen, 3.0)
    assert slides.seen(0) == 0
    assert "0 % of the tissue" in slides_words.seen(slides)
    look_at(seen, 0.5)
    share = slides.seen(0)
    assert 0.05 < share < 0.95
    work.open_row(1)
    assert slides.log.viewed("one", "r") == pytest.approx(share, abs=1e-3)
    assert slides.seen(0) == pytest.approx(share, abs=1e-3)
    work.open_row(0)
    found_tissue(seen, qtbot)
    assert slides.seen(0) == pytest.approx(share)  # it goes on, and does not start anew
    seen.release()
    lines = [one for one in slides.log.history("one") if one.kind == VIEWED]
    assert len(lines) == 1  # nothing more was seen


def test_each_reader_has_eyes_of_ones_own(work, qtbot) -> None:
    seen, slides = Seen(work), work.list
    slides.reader = "first"
    work.open_row(0)
    found_tissue(seen, qtbot)
    look_at(seen, 0.5)
    look_at(seen, 3.0)
    slides.reader = "second"
    found_tissue(seen, qtbot)
    assert slides.seen(0) == 0
    assert slides.log.viewed("one", "first") > 0
    seen.release()
    assert np.isnan(slides.log.viewed("two", "first"))


def test_opened_and_never_close_is_not_looked_at(work, qtbot) -> None:
    seen, slides = Seen(work), work.list
    work.open_row(0)
    assert slides.was_looked_at(0)  # as long as nothing was measured
    found_tissue(seen, qtbot)
    look_at(seen, 3.0)
    slides.arrange(shows=NOT_LOOKED_AT)
    assert slides.lines.tolist() == [0, 1]
    look_at(seen, 0.5)
    slides.arrange()
    assert slides.lines.tolist() == [1]
    seen.release()


def test_a_slide_without_a_scale_is_not_measured(work, tmp_path, qtbot) -> None:
    made.write_folder(tmp_path, "one", mpp=None)
    seen = Seen(work)
    work.open_row(0)
    found_tissue(seen, qtbot)
    look_at(seen, 0.5)
    assert np.isnan(work.list.seen(0))
    assert work.list.was_looked_at(0)
    work.desk.canvas.set_mpp(0.5)
    look_at(seen, 0.5)
    assert work.list.seen(0) > 0
    seen.release()
