"""The list of slides without a window: order, what is withheld, labels, files, agreement."""

import json
import time
from dataclasses import replace
from pathlib import Path

import made
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_mhim.errors import CohortError, SlideError, WorkspaceError
from napari_mhim.mil.cohort import CohortRow
from napari_mhim.mil.cutoff import Cutoff
from napari_mhim.mil.result_summary import ResultSummary, read_summary
from napari_mhim.plugin import slides_words, worklist_files
from napari_mhim.plugin.background import Background
from napari_mhim.plugin.state import worklist_order
from napari_mhim.plugin.state.agreements import agreements
from napari_mhim.plugin.state.desk import DeskState
from napari_mhim.plugin.state.labels import LABEL, LabelLog, Said
from napari_mhim.plugin.state.memory import Left, Memory
from napari_mhim.plugin.state.worklist import WorklistState
from napari_mhim.plugin.state.worklist_shown import (
    DISAGREE,
    FILTERS,
    NOT_LOOKED_AT,
    UNREAD,
)
from napari_mhim.slide import fingerprint

CLASSES = ("normal", "tumour")


def row(name: str, label: str = "", patient: str = "", **more) -> CohortRow:
    return CohortRow(name, f"/slides/{name}.svs", label, patient or name, **more)


def summary(score: float, cutoff: float = 0.4) -> ResultSummary:
    return ResultSummary(
        slide="",
        fingerprint="",
        bundle_id="m",
        classes=CLASSES,
        target=1,
        probabilities=(1 - score, score),
        cutoff=Cutoff(cutoff, 8, "validation"),
        role="test",
    )


@pytest.fixture
def listed(tmp_path: Path) -> WorklistState:
    """Four slides of three patients; c and d have scores 0.9 and 0.1, b has 0.5."""
    state = WorklistState()
    rows = (
        row("a", "normal", "p1"),
        row("b", "tumour", "p2"),
        row("c", "tumour", "p1"),
        row("d", "tumour", "p3"),
    )
    state.open(rows, CLASSES, "table.csv", LabelLog.read(tmp_path / "labels.jsonl"))
    for number, score in ((1, 0.5), (2, 0.9), (3, 0.1)):
        state.take_summary(number, summary(score))
    state.current = 1
    return state


def names(state: WorklistState) -> list[str]:
    return [state.name(line) if line >= 0 else f"#{-1 - line}" for line in state.lines]


class TestOrder:
    def test_the_table_s_order_comes_first(self, listed) -> None:
        assert names(listed) == ["a", "b", "c", "d"]

    def test_without_a_score_comes_last_whichever_way(self, listed) -> None:
        listed.arrange(sort="score")
        assert names(listed) == ["d", "b", "c", "a"]
        listed.arrange(is_reversed=True)
        assert names(listed) == ["c", "b", "d", "a"]

    def test_cases_stand_above_their_slides_and_go_by_the_largest(self, listed) -> None:
        listed.arrange(by_case=True, sort="score", is_reversed=True)
        assert names(listed) == ["#0", "c", "a", "#1", "b", "#2", "d"]
        assert listed.case_score(0) == pytest.approx(0.9)
        assert np.isnan(WorklistState().score(0))

    def test_a_case_has_the_class_of_interest_where_a_slide_has(self, listed) -> None:
        assert [listed.case_label(case) for case in range(3)] == ["tumour"] * 3
        listed.rows = (*listed.rows[:2], row("c", "normal", "p1"), listed.rows[3])
        assert listed.case_label(0) == "normal"

    def test_search_finds_words_in_any_column(self, listed) -> None:
        listed.arrange(text="P1 tum")
        assert names(listed) == ["c"]

    @given(
        st.lists(
            st.tuples(st.integers(0, 5), st.integers(0, 4), st.booleans()), max_size=30
        ),
        st.booleans(),
        st.booleans(),
    )
    def test_every_slide_once_below_its_case(
        self, slides, largest, is_reversed
    ) -> None:
        keys = np.array([one[0] for one in slides])
        case = np.array([one[1] for one in slides], np.int64)
        empty = np.array([one[2] for one in slides], bool)
        rows = np.arange(len(slides))
        lines = worklist_order.lines(rows, keys, empty, case, largest, is_reversed)
        assert sorted(lines[lines >= 0]) == rows.tolist()
        heads = [-1 - line for line in lines if line < 0]
        assert sorted(heads) == sorted(set(case.tolist()))
        now = None
        for line in lines:
            now = -1 - line if line < 0 else now
            assert line < 0 or case[line] == now

    @given(
        st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=30),
        st.booleans(),
    )
    def test_the_order_is_python_s_own(self, slides, is_reversed) -> None:
        keys = np.array([one[0] for one in slides])
        empty = np.array([one[1] for one in slides], bool)
        rows = np.arange(len(slides))
        got = worklist_order.lines(rows, keys, empty, None, False, is_reversed)
        sign = -1 if is_reversed else 1
        wanted = sorted(rows, key=lambda at: (slides[at][1], sign * slides[at][0], at))
        assert got.tolist() == wanted

    def test_steps_follow_the_lines_and_end(self, listed) -> None:
        listed.arrange(sort="score")
        assert [listed.step(1), listed.step(-1)] == [2, 3]
        listed.current = 0
        assert listed.step(1) == -1
        listed.current = -1
        assert (listed.step(1), listed.step(-1)) == (3, 0)

    def test_labelling_moves_no_line(self, listed) -> None:
        listed.arrange(shows=UNREAD)
        version = listed.version
        listed.say_label(1, "tumour")
        assert names(listed) == ["a", "b", "c", "d"]
        assert listed.version == version
        listed.arrange()
        assert names(listed) == ["a", "c", "d"]

    def test_ten_thousand_slides_are_sorted_at_once(self) -> None:
        state = WorklistState()
        rows = [row(f"s{n:05d}", CLASSES[n % 2], f"p{n % 900}") for n in range(10_000)]
        state.open(rows, CLASSES, "t", LabelLog())
        for sort in ("slide", "patient", "label", "score", "state"):
            state.arrange(sort=sort, by_case=True)
            assert (state.lines >= 0).sum() == 10_000
            assert (state.lines < 0).sum() == 900


class TestReadFirst:
    def test_score_label_and_call_wait_for_the_reader(self, listed) -> None:
        listed.log.add(Said("b", "second", LABEL, "normal"))
        assert listed.score(1) == pytest.approx(0.5)
        listed.reads_first = True
        assert np.isnan(listed.score(1))
        assert listed.label(1) == listed.call(1) == ""
        assert listed.other_labels(1) == {}
        assert slides_words.cell(listed, 1, "score") == slides_words.HELD
        tip = slides_words.tip(listed, 1)
        assert not {"0.50", "tumour", "normal"} & set(tip.replace(",", " ").split())

    def test_it_all_comes_with_the_label(self, listed) -> None:
        listed.log.add(Said("b", "second", LABEL, "normal"))
        listed.reads_first, listed.reader = True, "first"
        listed.say_label(1, "uncertain")
        assert listed.score(1) == pytest.approx(0.5)
        assert listed.call(1) == "tumour"
        assert listed.other_labels(1) == {"second": "normal"}
        assert listed.label(1) == "uncertain"

    def test_a_second_reader_starts_anew(self, listed) -> None:
        listed.reads_first, listed.reader = True, "first"
        listed.say_label(1, "tumour")
        listed.reader = "second"
        assert listed.is_withheld(1)
        assert listed.label(1) == ""

    def test_sorting_tells_nothing_that_is_withheld(self, listed) -> None:
        listed.reads_first = True
        listed.arrange(sort="score", is_reversed=True)
        assert names(listed) == ["a", "b", "c", "d"]
        listed.arrange(sort="label")
        assert names(listed) == ["a", "b", "c", "d"]
        listed.arrange(text="tumour")
        assert names(listed) == []

    def test_no_filter_tells_what_is_withheld(self, listed) -> None:
        listed.reads_first = True
        listed.arrange(shows=DISAGREE)
        assert names(listed) == []

    def test_a_case_waits_for_all_its_slides(self, listed) -> None:
        listed.reads_first = True
        listed.say_label(2, "tumour")
        assert np.isnan(listed.case_score(0))
        listed.say_label(0, "tumour")
        assert listed.case_score(0) == pytest.approx(0.9)

    def test_labels_say_whether_the_score_was_seen(self, listed) -> None:
        listed.reads_first = True
        listed.say_label(1, "normal")
        listed.say_label(1, "tumour")
        before, after = (one for one in listed.log.history("b") if one.kind == LABEL)
        assert (before.value, before.revealed) == ("normal", False)
        assert (after.value, after.revealed) == ("tumour", True)
        assert listed.log.blind_label("b", "") == "normal"
        assert listed.log.label("b", "") == "tumour"

    def test_what_was_seen_once_stays_seen(self, listed) -> None:
        listed.say_opened(1, with_result=True)
        listed.reads_first = True
        listed.say_label(1, "tumour")
        assert listed.log.history("b")[-1].revealed

    def test_a_label_without_any_score_is_an_independent_one(self, listed) -> None:
        listed.say_label(0, "tumour")
        assert not listed.log.history("a")[-1].revealed


class TestFilters:
    def test_disagreement_with_the_model_and_between_readers(self, listed) -> None:
        listed.arrange(shows=DISAGREE)
        assert names(listed) == ["d"]  # the table says tumour, the model does not
        listed.say_label(1, "tumour")
        listed.log.add(Said("b", "second", LABEL, "normal"))
        listed.arrange()
        assert names(listed) == ["b", "d"]

    def test_uncertain_disagrees_with_nothing(self, listed) -> None:
        listed.say_label(3, "uncertain")
        assert not listed.disagrees(3)

    def test_not_looked_at_is_by_reader(self, listed) -> None:
        listed.reader = "first"
        listed.say_opened(0, with_result=False)
        listed.arrange(shows=NOT_LOOKED_AT)
        assert names(listed) == ["b", "c", "d"]
        listed.reader = "second"
        listed.arrange()
        assert len(names(listed)) == 4

    @pytest.mark.parametrize("shows", FILTERS)
    def test_a_low_score_takes_no_slide_out(self, listed, shows: str) -> None:
        listed.arrange(shows=shows)
        before = 3 in listed.lines
        listed.take_summary(3, summary(0.0))
        listed.arrange()
        assert (3 in listed.lines) == before


class TestNames:
    def test_hidden_names_stand_nowhere(self, listed) -> None:
        listed.hides_names = True
        listed.problems[0] = "'/secret/a.svs' cannot be opened"
        told = [slides_words.tip(listed, number) for number in range(4)]
        told += [
            slides_words.cell(listed, number, column)
            for number in range(4)
            for column in slides_words.COLUMNS
        ]
        told += [slides_words.case_cell(listed, 0, "slide"), slides_words.yours(listed)]
        text = " ".join(told)
        assert "svs" not in text
        assert not {"a", "b", "c", "d", "p1", "p2", "p3"} & set(
            text.replace("<b>", " ").replace("</b>", " ").replace(",", " ").split()
        )

    def test_numbers_are_different_and_stay(self, listed) -> None:
        listed.hides_names = True
        numbers = [listed.name(number) for number in range(4)]
        assert sorted(numbers) == ["Case 01", "Case 02", "Case 03", "Case 04"]
        listed.arrange(sort="slide")
        assert names(listed) == sorted(numbers)

    def test_messages_say_the_number(self, listed) -> None:
        listed.hides_names = True
        state = DeskState(aliases=listed.aliases())
        told = state.without_names("features of b.svs in '/data/p2/b.svs'")
        assert told == f"features of {listed.name(1)}.svs in '{listed.name(1)}.svs'"
        state.tell(SlideError("'/data/p2/b.svs' cannot be read"))
        assert "p2" not in state.problem
        assert DeskState().without_names("'/a/b.svs'") == "'/a/b.svs'"

    def test_a_slide_outside_the_list_has_no_name_either(self, listed) -> None:
        listed.hides_names = True
        state = DeskState(aliases=listed.aliases())
        assert state.headline() == "No slide open"
        assert "b" not in state.aliases.values()


class TestLabelLog:
    def test_lines_come_back(self, tmp_path: Path) -> None:
        path = tmp_path / "labels.jsonl"
        log = LabelLog.read(path)
        log.add(Said("é", "r", LABEL, "tumour", True, "m"))
        log.add(Said("é", "r", "note", "a\nb"))
        again = LabelLog.read(path)
        assert again.history("é") == log.history("é")
        assert again.label("é", "r") == "tumour"
        assert again.note("é", "r") == "a\nb"
        assert again.last("é", "r", LABEL).time

    def test_the_file_only_grows(self, tmp_path: Path) -> None:
        path = tmp_path / "labels.jsonl"
        log, before = LabelLog.read(path), b""
        for value in ("tumour", "normal", ""):
            log.add(Said("a", "r", LABEL, value))
            now = path.read_bytes()
            assert now.startswith(before)
            assert len(now) > len(before)
            before = now
        assert log.label("a", "r") == ""
        assert [one.value for one in log.history("a")] == ["tumour", "normal", ""]

    def test_a_torn_line_costs_only_itself(self, tmp_path: Path) -> None:
        path = tmp_path / "labels.jsonl"
        LabelLog.read(path).add(Said("a", "r", LABEL, "tumour"))
        with path.open("ab") as file:
            file.write(b'{"slide": "a", "rea')
        log = LabelLog.read(path)
        assert (log.damaged, log.label("a", "r")) == (1, "tumour")
        log.add(Said("a", "r", LABEL, "normal"))
        again = LabelLog.read(path)
        assert (again.damaged, again.label("a", "r")) == (1, "normal")

    @pytest.mark.parametrize(
        "line", ["[]", "3", '{"slide": 3, "reader": "", "kind": "label"}', "{}"]
    )
    def test_lines_of_another_kind_are_counted(self, tmp_path: Path, line: str) -> None:
        path = tmp_path / "labels.jsonl"
        path.write_text(line + "\n")
        assert LabelLog.read(path).damaged == 1

    def test_what_a_later_version_adds_is_read_over(self, tmp_path: Path) -> None:
        path = tmp_path / "labels.jsonl"
        said = {"slide": "a", "reader": "r", "kind": LABEL, "value": "x", "mood": 3}
        path.write_text(json.dumps(said) + "\n")
        assert LabelLog.read(path).label("a", "r") == "x"

    def test_labels_that_cannot_be_kept_are_not_taken(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        log = LabelLog(tmp_path / "file" / "labels.jsonl")
        with pytest.raises(WorkspaceError):
            log.add(Said("a", "r", LABEL, "tumour"))
        assert log.label("a", "r") == ""

    def test_labels_that_cannot_be_read_are_not_gone(self, tmp_path: Path) -> None:
        (tmp_path / "labels.jsonl").mkdir()
        with pytest.raises(WorkspaceError, match="cannot be read"):
            LabelLog.read(tmp_path / "labels.jsonl")


class TestAgreement:
    def test_readers_and_model_with_n(self, listed) -> None:
        for reader, labels in (
            ("first", ("normal", "tumour", "tumour", "normal")),
            ("second", ("normal", "tumour", "normal", "uncertain")),
        ):
            for name, label in zip("abcd", labels, strict=True):
                listed.log.add(Said(name, reader, LABEL, label))
        found = {(one, two): (a, blind) for one, two, a, blind in agreements(listed)}
        between, is_blind = found["first", "second"]
        assert is_blind
        assert between.kappa.n == 3
        assert between.left_out == 1
        # seen 2/3, chance (1/3 · 2/3 + 2/3 · 1/3) = 4/9
        assert between.kappa.value == pytest.approx((2 / 3 - 4 / 9) / (1 - 4 / 9))
        assert found["first", "model"][0].kappa.n == 3
        assert found["first", "model"][0].kappa.value == pytest.approx(1)
        text = slides_words.agreements(agreements(listed))
        assert "n = 3" in text
        assert "in view" not in text

    def test_labels_given_with_the_score_in_view_are_told(self, listed) -> None:
        for number in (1, 2, 3):
            listed.say_label(number, "tumour")
        text = slides_words.agreements(agreements(listed))
        assert "with the score in view" in text

    def test_the_label_before_the_score_counts(self, listed) -> None:
        listed.reads_first = True
        for number, first, then in ((1, "normal", "tumour"), (2, "tumour", "tumour")):
            listed.say_label(number, first)
            listed.say_label(number, then)
        ((_, _, one, is_blind),) = agreements(listed)
        assert is_blind
        assert one.n_same == 1


class TestFiles:
    def test_a_folder_lists_its_slides_and_those_below(self, tmp_path: Path) -> None:
        for name in ("b.svs", "A.TIFF", "x/c.ndpi", "notes.txt", "features/f.tif"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(b"")
        found = worklist_files.find([str(tmp_path)])
        assert [one.slide for one in found.rows] == ["A", "b", "c"]
        assert found.rows[2].path == str(tmp_path / "x" / "c.ndpi")

    def test_a_zarr_is_one_slide_dropped_by_itself_or_in_a_folder(self, tmp_path):
        zarr = tmp_path / "a.zarr"
        (zarr / "0").mkdir(parents=True)
        (zarr / "0" / "0.0.tif").touch()
        for dropped in (zarr, tmp_path):
            (one,) = worklist_files.find([str(dropped)]).rows
            assert (one.slide, one.path) == ("a", str(zarr))

    def test_a_web_address_is_not_missing(self):
        row = CohortRow("a", path="https://slides.org/a.zarr")
        assert worklist_files.missing([row]) == {}

    def test_a_folder_of_dicom_is_one_slide(self, tmp_path: Path) -> None:
        (tmp_path / "case").mkdir()
        for name in ("1.dcm", "2.dcm"):
            (tmp_path / "case" / name).write_bytes(b"")
        (one,) = worklist_files.find([str(tmp_path)]).rows
        assert (one.slide, one.path) == ("case", str(tmp_path / "case"))

    def test_twins_are_told_and_the_list_goes_on(self, tmp_path: Path) -> None:
        for name in ("x/a.svs", "y/a.svs", "y/b.svs"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(b"")
        found = worklist_files.find([str(tmp_path)])
        assert [one.slide for one in found.rows] == ["a", "b"]
        assert "rename one" in found.notes[0]

    def test_an_empty_folder_says_what_a_slide_is(self, tmp_path: Path) -> None:
        with pytest.raises(SlideError, match=r"no slide in .*\.svs"):
            worklist_files.find([str(tmp_path)])

    def test_a_folder_with_a_table_is_that_table(self, tmp_path: Path) -> None:
        (tmp_path / "cohort.csv").write_text("slide,label,path\na,,a.svs\nb,t,b.svs\n")
        (tmp_path / "a.svs").write_bytes(b"")
        (tmp_path / "results").mkdir()
        found = worklist_files.find([str(tmp_path)])
        assert [one.slide for one in found.rows] == ["a", "b"]
        assert found.workspace == str(tmp_path)
        gone = worklist_files.missing(found.rows)
        assert list(gone) == [1]
        assert gone[1].startswith(worklist_files.NO_FILE)

    def test_two_tables_at_once_are_refused(self, tmp_path: Path) -> None:
        for name in ("a.csv", "b.csv"):
            (tmp_path / name).write_text("slide,label\na,x\n")
        with pytest.raises(CohortError, match="2 label tables"):
            worklist_files.find([str(tmp_path / "a.csv"), str(tmp_path / "b.csv")])

    def test_a_bundle_is_known_by_its_files(self, tmp_path: Path) -> None:
        (tmp_path / "model.safetensors").write_bytes(b"")
        (tmp_path / "config.json").write_bytes(b"")
        assert worklist_files.is_bundle(str(tmp_path))
        assert worklist_files.is_bundle(str(tmp_path / "config.json"))
        assert not worklist_files.is_bundle(str(tmp_path.parent))
        (tmp_path / "a.svs").write_bytes(b"")
        assert not worklist_files.is_bundle(str(tmp_path / "a.svs"))

    def test_a_result_s_figures_are_those_of_the_result(self, tmp_path: Path) -> None:
        result = made.result()
        result.save(tmp_path / "r.h5")
        found = read_summary(tmp_path / "r.h5")
        assert found.score == pytest.approx(result.score)
        assert (found.classes, found.target) == (result.classes, result.target)
        assert (found.cutoff, found.role) == (result.cutoff, result.role)
        assert found.call == "tumour"
        assert replace(found, probabilities=(0.8, 0.2)).call == "normal"

    def test_the_table_written_has_the_reader_s_labels(
        self, listed, tmp_path: Path
    ) -> None:
        listed.say_label(0, "not assessable")
        path = tmp_path / "out.csv"
        worklist_files.save_table(str(path), listed.labelled(), listed.classes)
        found = worklist_files.find([str(path)])
        assert [one.label for one in found.rows] == [
            "not assessable",
            *["tumour"] * 3,
        ]
        assert found.classes == ("tumour",)


class TestMoved:
    def make(self, path: Path, content: bytes) -> str:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return fingerprint(path)

    def test_a_moved_and_renamed_slide_is_found_by_its_content(self, tmp_path) -> None:
        print_of_a = self.make(tmp_path / "new" / "renamed.svs", b"pixels of a")
        self.make(tmp_path / "new" / "other.svs", b"others")
        (moved,) = worklist_files.find_moved({"a": print_of_a}, str(tmp_path))
        assert (moved.slide, moved.is_sure) == ("a", True)
        assert moved.path == str(tmp_path / "new" / "renamed.svs")

    def test_another_slide_of_the_name_is_not_taken(self, tmp_path) -> None:
        self.make(tmp_path / "a.svs", b"something else")
        assert list(worklist_files.find_moved({"a": "f" * 64}, str(tmp_path))) == []

    def test_a_name_counts_where_no_content_is_known(self, tmp_path) -> None:
        self.make(tmp_path / "a.svs", b"pixels")
        (moved,) = worklist_files.find_moved({"a": "", "b": ""}, str(tmp_path))
        assert (moved.slide, moved.is_sure) == ("a", False)
        assert "by name only" in slides_words.moved([moved], 2)

    def test_the_index_finds_it_again_next_time(self, tmp_path) -> None:
        place = tmp_path / "new" / "a.svs"
        known = self.make(place, b"pixels")
        worklist_files.Index(tmp_path / "slides.json").note("a", str(place), known)
        index = worklist_files.Index(tmp_path / "slides.json")
        (found,) = worklist_files.relocated((row("a"),), index)
        assert found.path == str(place)
        assert worklist_files.missing((found,)) == {}
        place.unlink()
        assert worklist_files.relocated((row("a"),), index) == (row("a"),)

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 3}', '{"a": {}}'])
    def test_a_damaged_index_knows_nothing(self, tmp_path, text: str) -> None:
        (tmp_path / "slides.json").write_text(text)
        assert worklist_files.Index(tmp_path / "slides.json").known == {}


class TestBackground:
    def wait(self, background: Background) -> dict:
        found, until = {}, time.monotonic() + 10
        while background.is_busy and time.monotonic() < until:
            found.update(background.take_fresh())
            time.sleep(0.002)
        return found

    def test_all_that_is_wanted_comes(self) -> None:
        background = Background(lambda key: key * 2, "test")
        background.want(range(50))
        assert self.wait(background) == {key: key * 2 for key in range(50)}
        background.close()

    def test_what_is_forgotten_never_comes(self) -> None:
        background = Background(lambda key: time.sleep(0.01) or key, "test")
        background.want(range(100))
        background.forget()
        background.want([7])
        found = self.wait(background)
        assert found[7] == 7
        assert len(found) == 1
        background.close()


def test_the_desk_as_left_comes_back(tmp_path: Path) -> None:
    left = Left("t.csv", "a.svs", (1.5, 2.0), 0.25, "um", False, {"hard": (True, 0.5)})
    Memory(left=left).write(tmp_path)
    assert Memory.read(tmp_path).left == left


@pytest.mark.parametrize(
    "kept", [None, 3, {}, {"centre": 3}, {"centre": [1, 2], "looks": {"a": 1}}]
)
def test_a_desk_that_cannot_be_read_is_an_empty_one(kept) -> None:
    assert Left.of(kept) == Left()
