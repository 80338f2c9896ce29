"""The label that settles what readers differ on: when, by whom, and what takes it."""

from pathlib import Path

import pytest
from test_worklist import CLASSES, listed, names, summary  # noqa: F401

from napari_mhim.errors import WorkspaceError
from napari_mhim.mil.cohort import Cohort
from napari_mhim.plugin import slides_words, worklist_files
from napari_mhim.plugin.state import adjudication
from napari_mhim.plugin.state.agreements import agreements
from napari_mhim.plugin.state.labels import ADJUDICATED, LABEL, LabelLog, Said
from napari_mhim.plugin.state.worklist import WorklistState
from napari_mhim.plugin.state.worklist_shown import DISAGREE, TO_SETTLE


@pytest.fixture
def differing(listed) -> WorklistState:  # noqa: F811
    """Slide b is tumour for the first reader and normal for the second; c is in doubt."""
    listed.log.add(Said("b", "first", LABEL, "tumour"))
    listed.log.add(Said("b", "second", LABEL, "normal"))
    listed.log.add(Said("c", "first", LABEL, "tumour"))
    listed.log.add(Said("c", "second", LABEL, "uncertain"))
    listed.reader = "chair"
    return listed


def test_it_is_for_slides_on_which_readers_differ(differing) -> None:
    assert adjudication.why_not(differing, 1) is None
    assert "do not differ" in str(adjudication.why_not(differing, 0))
    with pytest.raises(WorkspaceError, match="do not differ"):
        differing.say_adjudicated(0, "tumour")
    differing.reader = ""
    with pytest.raises(WorkspaceError, match="your name"):
        differing.say_adjudicated(1, "normal")
    assert differing.log.adjudication("b") is None


def test_the_list_of_open_cases_empties(differing) -> None:
    differing.arrange(shows=TO_SETTLE)
    assert names(differing) == ["b", "c"]
    differing.say_adjudicated(1, "normal")
    differing.arrange()
    assert names(differing) == ["c"]


def test_it_goes_before_every_reader_s_and_the_table_s(differing) -> None:
    differing.reader = "first"
    assert differing.label(1) == "tumour"
    differing.log.add(Said("b", "chair", ADJUDICATED, "normal"))
    assert differing.label(1) == "normal"
    assert slides_words.cell(differing, 1, "label") == "normal ⚖ ≠"
    assert slides_words.cell(differing, 1, "adjudicated") == "normal"
    assert slides_words.cell(differing, 1, "readers") == "second: normal"


def test_training_and_tables_take_it(differing, tmp_path: Path) -> None:
    differing.say_adjudicated(1, "normal")
    differing.say_adjudicated(2, "not assessable")
    differing.log.add(Said("d", "chair", LABEL, "tumour"))
    assert [one.label for one in differing.labelled()] == [
        *("normal", "normal", "not assessable", "tumour")
    ]
    path = tmp_path / "cohort.csv"
    worklist_files.save_table(str(path), differing.labelled(), differing.classes)
    sources = {row.slide: row.label_source for row in Cohort.read(path).rows}
    settled = {"b": "adjudicated", "c": "adjudicated"}
    assert sources == {"a": "", **settled, "d": "reader"}
    trained = {row.slide: row.label for row in Cohort.read(path).trainable().rows}
    assert trained == {"a": "normal", "b": "normal", "d": "tumour"}


def test_what_is_settled_differs_from_the_model_alone(differing) -> None:
    differing.reader = "second"
    differing.arrange(shows=DISAGREE)
    assert "b" in names(differing)
    differing.log.add(Said("b", "chair", ADJUDICATED, "tumour"))  # as the model says
    differing.arrange()
    assert "b" not in names(differing)
    differing.take_summary(1, summary(0.1))
    differing.arrange()
    assert "b" in names(differing)


def test_it_can_be_changed_and_taken_back_and_the_history_stays(differing) -> None:
    for label in ("normal", "tumour", ""):
        differing.say_adjudicated(1, label)
        assert differing.adjudicated(1) == label
    said = [one for one in differing.log.history("b") if one.kind == ADJUDICATED]
    assert [one.value for one in said] == ["normal", "tumour", ""]
    assert {one.reader for one in said} == {"chair"}
    assert all(one.time for one in said)
    again = LabelLog.read(differing.log.path)
    assert again.adjudication("b") is None
    assert len(again.history("b")) == len(differing.log.history("b"))


def test_read_first_keeps_it_back(differing) -> None:
    differing.say_adjudicated(1, "normal")
    differing.reader, differing.reads_first = "third", True
    assert differing.adjudicated(1) == differing.label(1) == ""
    assert "withheld" in str(adjudication.why_not(differing, 1))
    differing.current = 1
    assert slides_words.to_settle(differing) == ""
    assert "chair" not in slides_words.tip(differing, 1)
    differing.arrange(shows=TO_SETTLE)
    assert names(differing) == []


def test_the_window_says_who_differs_and_who_settled(differing) -> None:
    told = slides_words.to_settle(differing)
    assert "first tumour, second normal" in told
    differing.say_adjudicated(1, "normal")
    assert "by chair" in slides_words.to_settle(differing)
    differing.current = 0
    assert slides_words.to_settle(differing) == ""


def test_kappa_with_the_model_counts_what_was_settled(differing) -> None:
    differing.say_adjudicated(1, "tumour")
    found = {(first, second): one for first, second, one, _ in agreements(differing)}
    assert found["adjudicated", "model"].n_same == 1
    assert differing.classes == CLASSES
