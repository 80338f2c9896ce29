"""The Slides tab in a real window: open, label, read first, queue, drop, resume."""

import gc
import json
import shutil
import weakref
from pathlib import Path

import pytest
from window_pictures import HAS_DISPLAY, settle

from napari_mhim import pipeline
from napari_mhim.errors import WorkspaceError
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.cohort import CohortRow
from napari_mhim.mil.result import SlideResult
from napari_mhim.plugin import sample_data, show
from napari_mhim.plugin.overlays import ATTENTION, EVIDENCE, HARD, SLIDE
from napari_mhim.plugin.slides_words import COLUMNS
from napari_mhim.plugin.state.labels import LABEL, LabelLog, Said
from napari_mhim.workspace import Workspace

pytestmark = [
    pytest.mark.qt,
    pytest.mark.skipif(not HAS_DISPLAY, reason="no display: use xvfb-run"),
]
NAMES = ("both", "hard", "negative")


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    """A workspace as the demo leaves it: a table, three slides, two results, one model.

    *both* and *hard* have features and results, *negative* has features only.
    """
    from_, to = sample_data.folder(), Workspace(tmp_path / "demo")
    (to.root / "slides").mkdir(parents=True)
    shutil.copytree(from_ / "bundle", to.run_dir("demo") / "bundle")
    bundle = Bundle.open(from_ / "bundle")
    wanted = bundle.config.extraction()
    for name in NAMES:
        shutil.copy(from_ / f"{name}.tiff", to.root / "slides" / f"{name}.tiff")
        features = pipeline.features_path(to, name, wanted)
        features.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(from_ / f"{name}.features.h5", features)
    for name in ("both", "hard"):
        result = to.result_path(bundle.name, name)
        result.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(from_ / f"{name}.h5", result)
    to.cohort_path.write_text(
        "slide,path,label,patient,role\n"
        "both,slides/both.tiff,tumour,p1,test\n"
        "hard,slides/hard.tiff,tumour,p2,test\n"
        "negative,slides/negative.tiff,normal,p1,test\n"
    )
    return to


@pytest.fixture
def dock(viewer, place: Workspace, qtbot):
    dock = show.open_dock(viewer)
    assert dock.worklist.open([str(place.cohort_path)])
    qtbot.waitUntil(lambda: not dock.slides._poll.isActive(), timeout=20_000)
    settle()
    return dock


def row(dock, name: str) -> int:
    return dock.desk.slides.row_of[name]


def texts(dock) -> list[list[str]]:
    """What stands in the table, line by line."""
    model = dock.slides.table.lines
    return [
        [
            str(model.data(model.index(line, column)) or "")
            for column in range(model.columnCount())
        ]
        for line in range(model.rowCount())
    ]


def told(line: list[str], column: str) -> str:
    return line[COLUMNS.index(column)]


def parts(dock) -> set[str]:
    dock.canvas.finish()  # some come a moment later
    return set(dock.canvas.layers())


def press(widget, key, modifier=None) -> None:
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    QTest.keyClick(widget, key, modifier or Qt.KeyboardModifier.NoModifier)
    settle(2)


class TestList:
    def test_a_table_fills_all_there_is(self, dock, place) -> None:
        lines = {line[0].partition("\n")[0]: line for line in texts(dock)}
        assert set(lines) == set(NAMES)
        result = SlideResult.load(place.result_path("demo", "both"))
        score = f"{result.score:.2f}"
        found = [told(lines["both"], name) for name in ("label", "role", "score")]
        assert found == ["tumour", result.role, score]
        assert told(lines["both"], "state") == "result"
        assert told(lines["negative"], "score") == ""
        assert told(lines["negative"], "state") == "features"
        assert dock.state.bundle.name == "demo"
        assert dock.runs.workspace == place.root
        assert "3 slides, 2 patients · 2 results" in dock.slides.counts.text()

    def test_thumbnails_come_and_show_the_slide(self, dock) -> None:
        from qtpy.QtCore import Qt

        model = dock.slides.table.lines
        icon = model.data(model.index(0, 0), Qt.ItemDataRole.DecorationRole)
        image = icon.pixmap(80, 80).toImage()
        assert image.width() > 30
        colours = {
            image.pixelColor(x, image.height() // 2).name()
            for x in range(image.width())
        }
        assert len(colours) > 10

    def test_headings_sort_and_a_third_click_gives_the_table_s_order(
        self, dock
    ) -> None:
        from qtpy.QtCore import Qt

        table = dock.slides.table
        table.sortByColumn(0, Qt.SortOrder.DescendingOrder)
        assert [one[0].partition("\n")[0] for one in texts(dock)] == [
            *("negative", "hard", "both")
        ]
        table.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        assert [one[0].partition("\n")[0] for one in texts(dock)] == list(NAMES)

    def test_search_and_filter_leave_lines_out(self, dock) -> None:
        dock.slides.search.setText("neg")
        assert len(texts(dock)) == 1
        dock.slides.search.setText("")
        dock.slides.shows.setCurrentIndex(dock.slides.shows.findData("disagree"))
        shown = {one[0].partition("\n")[0] for one in texts(dock)}
        slides = dock.desk.slides
        assert shown == {n for n in NAMES if slides.disagrees(row(dock, n))}

    def test_cases_stand_above_their_slides(self, dock) -> None:
        dock.slides.by_case.click()
        first = [line[0].partition("\n")[0] for line in texts(dock)]
        assert first[0].startswith("p1 · 2 slides")
        assert first[1:3] == ["both", "negative"]
        dock.slides.table.selectRow(0)
        assert dock.slides.table.rows() == []

    def test_a_file_that_is_no_slide_costs_only_itself(
        self, dock, place, qtbot
    ) -> None:
        folder = place.root / "slides"
        (folder / "broken.svs").write_bytes(b"not a slide at all")
        assert dock.worklist.open([str(folder)])
        qtbot.waitUntil(lambda: not dock.slides._poll.isActive(), timeout=20_000)
        slides = dock.desk.slides
        assert len(slides) == 4
        broken = slides.row_of["broken"]
        assert slides.state(broken) == "failed"
        assert "cannot be opened" in slides.problems[broken]
        assert not dock.worklist.open_row(broken)
        assert "cannot be opened" in dock.state.problem
        assert dock.worklist.open_row(slides.row_of["both"])
        assert dock.state.problem == ""

    def test_ten_thousand_lines_ask_only_for_what_is_seen(self, dock, tmp_path) -> None:
        rows = [
            CohortRow(f"s{n:05d}", str(tmp_path / f"s{n}.svs"), "tumour", f"p{n}")
            for n in range(10_000)
        ]
        slides, table = dock.desk.slides, dock.slides.table
        slides.open(rows, ("normal", "tumour"), "t", LabelLog())
        settle()
        assert table.lines.rowCount() == 10_000
        assert 0 < len(table.rows_in_view()) < 100
        table.verticalScrollBar().setValue(table.verticalScrollBar().maximum() // 2)
        settle()
        assert 4_000 < table.rows_in_view()[0] < 6_000
        slides.say_label(7_000, "normal")
        assert table.lines.data(table.lines.index(7_000, 2)) == "normal ✎"

    def test_a_table_that_cannot_be_used_leaves_the_list(self, dock, tmp_path) -> None:
        bad = tmp_path / "bad.csv"
        bad.write_text("slide,labl\na,x\n")
        assert not dock.worklist.open([str(bad)])
        assert "did you mean 'label'" in dock.state.problem
        assert len(dock.desk.slides) == 3


class TestOpening:
    def test_double_click_opens_slide_and_result(self, dock) -> None:
        table = dock.slides.table
        table.doubleClicked.emit(table.lines.index(0, 0))
        settle()
        assert dock.state.slide.name == "both"
        assert dock.state.result.slide == "both"
        assert {SLIDE, EVIDENCE, HARD} <= parts(dock)
        assert dock.tab == "Review"
        assert dock.talk.why_not() is None

    def test_enter_opens_the_selected_slide(self, dock) -> None:
        from qtpy.QtCore import Qt

        table = dock.slides.table
        table.select(row(dock, "negative"))
        press(table, Qt.Key.Key_Return)
        assert dock.state.slide.name == "negative"
        assert dock.state.result is None
        assert dock.tab == "Slides"

    def test_zoom_and_overlays_stay_from_slide_to_slide(self, dock, viewer) -> None:
        dock.worklist.open_row(row(dock, "both"))
        dock.canvas.finish()
        layers = dock.canvas.layers()
        layers[EVIDENCE].visible, layers[ATTENTION].visible = False, True
        layers[ATTENTION].opacity = 0.25
        camera = viewer.scene.camera
        camera.zoom, camera.center = 3.5, (0.0, 400.0, 300.0)
        dock.worklist.open_row(row(dock, "hard"))
        layers = dock.canvas.layers()
        assert camera.zoom == pytest.approx(3.5)
        assert not layers[EVIDENCE].visible
        assert layers[ATTENTION].visible
        assert layers[ATTENTION].opacity == 0.25
        camera.center = (0.0, 100.0, 100.0)
        dock.worklist.open_row(row(dock, "both"))
        assert camera.center[-2:] == pytest.approx((400.0, 300.0))

    def test_a_whole_slide_is_followed_by_a_whole_slide(self, dock, viewer) -> None:
        dock.worklist.open_row(row(dock, "both"))
        settle()
        dock.canvas.look_at_all()
        before = viewer.scene.camera.zoom
        dock.worklist.open_row(row(dock, "hard"))
        dock.canvas.look_at_all()
        fitted = viewer.scene.camera.zoom
        assert fitted == pytest.approx(before, rel=0.5)
        dock.worklist.open_row(row(dock, "both"))
        assert viewer.scene.camera.zoom == pytest.approx(before, rel=0.01)

    def test_keys_step_through_the_list_and_the_tab_stays(self, dock) -> None:
        from qtpy.QtCore import Qt

        alt = Qt.KeyboardModifier.AltModifier
        dock.worklist.open_row(row(dock, "both"))
        dock.turn_to("Slides")
        dock.canvas.viewer.window.activate()
        settle()
        dock.slides.table.setFocus()
        press(dock.slides.table, Qt.Key.Key_PageDown, alt)
        assert dock.state.slide.name == "hard"
        assert dock.tab == "Slides"
        press(dock.slides.table, Qt.Key.Key_PageUp, alt)
        assert dock.state.slide.name == "both"
        dock.worklist.step(-1)
        assert "first slide" in dock.message.text.text()
        assert dock.state.slide.name == "both"

    def test_keys_work_on_the_canvas_too(self, dock, viewer) -> None:
        from qtpy.QtCore import Qt

        alt = Qt.KeyboardModifier.AltModifier
        dock.worklist.open_row(row(dock, "both"))
        target = viewer.window._qt_viewer
        press(target, Qt.Key.Key_1, alt)
        slides = dock.desk.slides
        assert slides.own_label(row(dock, "both")) == "normal"
        press(target, Qt.Key.Key_Backspace, alt)
        assert slides.own_label(row(dock, "both")) == ""
        press(target, Qt.Key.Key_PageDown, alt)
        assert dock.state.slide.name == "hard"

    def test_a_result_of_another_file_of_that_name_is_not_drawn(
        self, dock, place
    ) -> None:
        shutil.copy(
            place.root / "slides" / "negative.tiff", place.root / "slides" / "both.tiff"
        )
        dock.worklist.open_row(row(dock, "both"))
        assert parts(dock) == {SLIDE}
        assert "of another file" in dock.message.text.text()

    def test_a_damaged_result_is_told_and_the_slide_opens(
        self, dock, place, qtbot
    ) -> None:
        place.result_path("demo", "hard").write_bytes(b"damaged")
        dock.worklist.look_up()
        dock.slides._poll.start()
        qtbot.waitUntil(lambda: not dock.slides._poll.isActive(), timeout=20_000)
        assert "damaged" in dock.desk.slides.problems[row(dock, "hard")]
        assert dock.worklist.open_row(row(dock, "hard"))
        assert parts(dock) == {SLIDE}

    def test_dropping_opens_what_it_is(self, viewer, place, qtbot) -> None:
        from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
        from qtpy.QtGui import QDropEvent

        dock = show.open_dock(viewer)
        assert dock.acceptDrops()

        def drop(*paths: Path) -> None:
            data = QMimeData()
            data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
            event = QDropEvent(
                QPointF(5, 5),
                Qt.DropAction.CopyAction,
                data,
                Qt.MouseButton.LeftButton,
                Qt.KeyboardModifier.NoModifier,
            )
            dock.dropEvent(event)
            settle(2)

        drop(place.root / "slides" / "hard.tiff")
        assert dock.state.slide.name == "hard"
        assert len(dock.desk.slides) == 0
        drop(place.run_dir("demo") / "bundle")
        assert dock.state.bundle.name == "demo"
        drop(place.root / "slides")
        assert len(dock.desk.slides) == 3
        drop(place.cohort_path)
        assert dock.desk.slides.classes == ("normal", "tumour")
        assert dock.desk.slides.current == row(dock, "hard")


class TestReading:
    def test_buttons_and_keys_label_the_slide_on_screen(self, dock, place) -> None:
        dock.slides.labelling.label("tumour")
        assert "Open a slide of the list first" in dock.message.text.text()
        dock.worklist.open_row(row(dock, "negative"))
        dock.turn_to("Slides")
        dock.slides.table.select(row(dock, "both"))
        dock.slides.card.buttons["tumour"].click()
        dock.slides.card.reviewed.click()
        dock.slides.card.note.setText("see again")
        dock.slides.card.note.editingFinished.emit()
        slides = dock.desk.slides
        assert slides.own_label(row(dock, "negative")) == "tumour"
        assert slides.own_label(row(dock, "both")) == ""
        lines = [json.loads(x) for x in place.labels_path.read_text().splitlines()]
        kinds = [(one["kind"], one["value"]) for one in lines]
        assert kinds == [
            ("opened", "yes"),
            ("label", "tumour"),
            ("reviewed", "yes"),
            ("note", "see again"),
        ]
        assert told(texts(dock)[2], "state") == "features ✓"
        dock.slides.card.buttons[""].click()
        assert slides.own_label(row(dock, "negative")) == ""

    def test_what_readers_differ_on_is_settled_in_the_card(self, dock) -> None:
        from qtpy.QtCore import Qt

        slides, card = dock.desk.slides, dock.slides.card.adjudicate
        dock.turn_to("Slides")
        for reader, label in (("first", "tumour"), ("second", "normal")):
            slides.log.add(Said("negative", reader, LABEL, label))
        slides.reader = "chair"
        dock.worklist.open_row(row(dock, "both"), stays=True)
        settle()
        assert not card.isVisible()
        dock.worklist.open_row(row(dock, "negative"), stays=True)
        settle()
        assert "first tumour, second normal" in card.told.text()
        press(dock.slides.table, Qt.Key.Key_J, Qt.KeyboardModifier.AltModifier)
        assert card.choice.view().isVisible()
        card.choice.hidePopup()
        card.choice.setFocus()
        press(card.choice, Qt.Key.Key_Down)  # the first class
        assert slides.adjudicated(row(dock, "negative")) == "normal"
        line = next(one for one in texts(dock) if one[0].startswith("negative"))
        assert told(line, "label") == "normal ⚖"

    def test_looking_closely_fills_what_was_seen(self, dock, qtbot) -> None:
        slides, at = dock.desk.slides, row(dock, "negative")
        dock.worklist.open_row(at)
        assert not slides.seen(at) > 0
        dock.canvas.viewer.scene.camera.zoom = 2.0  # 20x
        qtbot.waitUntil(lambda: slides.seen(at) > 0, timeout=20_000)
        assert "of the tissue seen at 10× or more" in dock.slides.card.seen.text()

    def test_score_and_overlays_come_with_the_label(self, dock) -> None:
        slides = dock.desk.slides
        slides.reads_first = True
        dock.worklist.open_row(row(dock, "both"))
        assert parts(dock) == {SLIDE}
        assert dock.state.result is None
        assert "Read first" in dock.review.nothing.text()
        assert told(texts(dock)[0], "score") == "•••"
        zoom = dock.canvas.viewer.scene.camera.zoom = 2.0
        dock.slides.labelling.label_number(2)
        assert dock.state.result.slide == "both"
        assert EVIDENCE in parts(dock)
        assert dock.canvas.viewer.scene.camera.zoom == zoom
        assert told(texts(dock)[0], "score") not in ("•••", "")

    def test_turning_it_on_takes_the_overlays_away(self, dock) -> None:
        dock.worklist.open_row(row(dock, "both"))
        assert EVIDENCE in parts(dock)
        dock.slides.reading.open().reads_first.click()
        assert parts(dock) == {SLIDE}
        assert dock.state.result is None

    def test_a_second_reader_sees_nothing_of_the_first(self, dock) -> None:
        slides = dock.desk.slides
        card = dock.slides.reading.open()
        card.reader.setText("first")
        card.reader.editingFinished.emit()
        card.reads_first.click()
        dock.worklist.open_row(row(dock, "both"))
        dock.slides.labelling.label_number(1)
        assert EVIDENCE in parts(dock)
        card.reader.setText("second")
        card.reader.editingFinished.emit()
        assert parts(dock) == {SLIDE}
        assert told(texts(dock)[0], "label") == ""
        assert "normal" not in dock.slides.card.heading.text()
        assert not any(one.isChecked() for one in dock.slides.card.buttons.values())
        dock.slides.labelling.label_number(2)
        assert slides.other_labels(row(dock, "both")) == {"first": "normal"}

    def test_a_finished_run_waits_for_the_label_too(self, dock, place) -> None:
        dock.desk.slides.reads_first = True
        dock.worklist.open_row(row(dock, "both"))
        dock.runs._finish(place.result_path("demo", "both"))
        assert parts(dock) == {SLIDE}
        assert "Read first" in dock.message.text.text()

    def test_labels_that_cannot_be_kept_are_told_and_not_shown(
        self, dock, monkeypatch
    ) -> None:
        dock.worklist.open_row(row(dock, "both"))

        def full(self, said):
            raise WorkspaceError("the disk of '/w' is full")

        monkeypatch.setattr(LabelLog, "add", full)
        dock.slides.labelling.label_number(1)
        assert "is full" in dock.state.problem
        assert dock.desk.slides.own_label(row(dock, "both")) == ""

    def test_hidden_names_are_nowhere_in_the_window(self, dock, viewer) -> None:
        from qtpy.QtWidgets import QLabel, QPushButton

        dock.worklist.open_row(row(dock, "negative"))
        dock.turn_to("Slides")
        dock.slides.reading.open().hides_names.click()
        settle()
        seen = [one.text() for one in dock.findChildren(QLabel)]
        seen += [one.text() for one in dock.findChildren(QPushButton)]
        seen += [cell for line in texts(dock) for cell in line]
        seen += [layer.name for layer in viewer.layers]
        seen += [viewer.window._qt_window.windowTitle()]
        text = "\n".join(seen)
        assert "negative" not in text
        assert "Case 0" in dock.header.headline.text()
        dock.state.job.begin(dock.state.without_names("features of negative"))
        assert "negative" not in dock.job_bar.stage.text()
        dock.state.job.end()
        dock.slides.reading.content.hides_names.click()
        assert "negative" in dock.header.headline.text()

    def test_the_labels_make_a_table(self, dock, tmp_path) -> None:
        dock.worklist.open_row(row(dock, "negative"))
        dock.slides.labelling.label_number(0)
        dock.slides.reading.open().save_table(str(tmp_path / "out.csv"))
        assert "uncertain" in (tmp_path / "out.csv").read_text()


class TestQueue:
    def test_rows_follow_the_job_and_a_bad_file_is_passed_over(
        self, dock, place, qtbot
    ) -> None:
        (place.root / "slides" / "bad.svs").write_bytes(b"no slide")
        place.cohort_path.write_text(
            place.cohort_path.read_text() + "bad,slides/bad.svs,normal,p9,test\n"
        )
        dock.worklist.open([str(place.cohort_path)])
        slides, tab = dock.desk.slides, dock.slides
        assert "Select slides" in tab.why_not.text()
        assert not tab.analyse.isEnabled()
        tab.table.selectAll()
        assert tab.why_not.text() == "4 slides selected."
        rows = [row(dock, "bad"), row(dock, "negative")]
        tab.worklist.queue.analyse(rows)
        assert slides.state(rows[0]) == "running"
        assert slides.state(rows[1]) == "waiting"
        assert not dock.job_bar.isHidden()
        assert "job is running" in tab.why_not.text()
        qtbot.waitUntil(lambda: not dock.state.job.is_busy, timeout=120_000)
        assert slides.state(rows[0]) == "failed"
        assert slides.state(rows[1]) == "result"
        assert slides.score(rows[1]) == slides.score(rows[1])
        assert place.result_path("demo", "negative").is_file()

    def test_a_cancelled_queue_waits_for_nothing(self, dock, qtbot) -> None:
        rows = [row(dock, "both"), row(dock, "hard")]
        dock.worklist.queue.analyse(rows)
        dock.job_bar.cancel.click()
        qtbot.waitUntil(lambda: not dock.state.job.is_busy, timeout=10_000)
        slides = dock.desk.slides
        assert [slides.state(one) for one in rows] == ["result", "result"]
        assert slides.queued == {}

    def test_it_says_why_it_cannot_run(self, viewer, place) -> None:
        dock = show.open_dock(viewer)
        queue = dock.worklist.queue
        assert queue.why_not([]) == "Open a folder or a table first."
        shutil.rmtree(place.root / "runs")
        dock.worklist.open([str(place.cohort_path)])
        assert queue.why_not([0]) == "Choose a model in Analyse first."
        shutil.rmtree(place.root / "slides")
        dock.worklist.open([str(place.cohort_path)])
        dock.runs.choose_bundle(str(sample_data.folder() / "bundle"))
        assert "find moved slides" in queue.why_not([0])


class TestAnotherDay:
    def test_the_desk_is_as_it_was_left(self, dock, viewer) -> None:
        dock.worklist.open_row(row(dock, "hard"))
        dock.canvas.layers()[EVIDENCE].visible = False
        camera = viewer.scene.camera
        camera.zoom, camera.center = 4.0, (0.0, 321.0, 123.0)
        dock.slides.as_left.keep()
        viewer.window.remove_dock_widget(dock)
        viewer.layers.clear()
        settle()
        again = show.open_dock(viewer)
        assert not again.slides.resume.isHidden()
        assert "hard.tiff" in again.slides.resume.text()
        again.slides.resume.click()
        settle()
        assert again.state.slide.name == "hard"
        assert again.desk.slides.current == row(again, "hard")
        assert not again.canvas.layers()[EVIDENCE].visible
        assert camera.zoom == pytest.approx(4.0)
        assert camera.center[-2:] == pytest.approx((321.0, 123.0))

    def test_what_is_gone_is_told(self, dock, place, viewer) -> None:
        dock.worklist.open_row(row(dock, "hard"))
        dock.slides.as_left.keep()
        viewer.window.remove_dock_widget(dock)
        viewer.layers.clear()
        shutil.rmtree(place.root)
        again = show.open_dock(viewer)
        again.slides.resume.click()
        assert "cohort.csv" in again.state.problem

    def test_moved_slides_are_found_by_their_content(self, dock, place, qtbot) -> None:
        dock.worklist.open_row(row(dock, "both"))  # from now on its content is known
        dock.canvas.make_room()
        new = place.root / "elsewhere"
        (place.root / "slides").rename(new)
        (new / "both.tiff").rename(new / "renamed.tiff")
        dock.worklist.open([str(place.cohort_path)])
        slides = dock.desk.slides
        assert [slides.state(n) for n in range(3)] == ["no file"] * 3
        assert not dock.slides.find.isHidden()
        dock.slides.moved.find(str(new))
        qtbot.waitUntil(
            lambda: "moved slides found" in dock.message.text.text(), timeout=30_000
        )
        assert slides.rows[row(dock, "both")].path == str(new / "renamed.tiff")
        assert "3 of 3" in dock.message.text.text()
        assert dock.slides.find.isHidden()
        assert dock.worklist.open_row(row(dock, "both"))
        assert dock.state.result.slide == "both"
        # another day the table still names the old place
        dock.worklist.open([str(place.cohort_path)])
        assert slides.state(row(dock, "hard")) != "no file"


class TestWide:
    @pytest.fixture
    def wide(self, dock, viewer):
        _, wide = viewer.window.add_plugin_dock_widget(
            "napari-mhim", "MHIM: Worklist (wide)"
        )
        settle()
        yield wide
        if wide in list(viewer.window.dock_widgets.values()):
            viewer.window.remove_dock_widget(wide)

    def test_it_is_the_same_list_with_all_columns(self, dock, wide) -> None:
        assert wide.table.lines.is_wide
        assert not wide.table.isColumnHidden(1)
        assert "3 slides" in wide.counts.text()
        dock.slides.search.setText("neg")
        assert wide.table.lines.rowCount() == 1
        wide.table.doubleClicked.emit(wide.table.lines.index(0, 0))
        assert dock.state.slide.name == "negative"

    def test_it_says_when_the_dock_is_gone(self, dock, wide, viewer) -> None:
        from qtpy.QtCore import QEvent
        from qtpy.QtWidgets import QApplication

        viewer.window.remove_dock_widget(dock)
        settle()
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
        assert "dock was closed" in wide.counts.text()
        assert wide.table.isHidden()


def open_and_close(viewer, place, qtbot) -> list[weakref.ref]:
    """Use a list, close the dock, and give what must be gone then."""
    dock = show.open_dock(viewer)
    dock.worklist.open([str(place.cohort_path)])
    dock.worklist.open_row(0)
    dock.slides.reading.open()
    qtbot.waitUntil(lambda: not dock.slides._poll.isActive(), timeout=20_000)
    held = (dock.worklist, dock.desk.slides, dock.slides.table, dock)
    viewer.window.remove_dock_widget(dock)
    viewer.layers.clear()
    return [weakref.ref(one) for one in held]


def test_closing_the_dock_lets_go_of_the_list(viewer, place, qtbot) -> None:
    from qtpy.QtCore import QEvent
    from qtpy.QtWidgets import QApplication

    kept = open_and_close(viewer, place, qtbot)
    for _ in range(10):
        settle(2)
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
        gc.collect()
    assert [one() for one in kept] == [None] * len(kept)
