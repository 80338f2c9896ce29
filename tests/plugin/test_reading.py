"""Conversations with real child processes."""

import conversations
import pytest
from conversations import Crash, Double, Refuse, Slow

from napari_mhim.errors import JobError, NoTissueError
from napari_mhim.plugin.jobs import JobState
from napari_mhim.plugin.reading import converse


@pytest.fixture
def desk(qapp):
    failed: list[Exception] = []
    talk = converse(conversations.open_desk, 1, on_error=failed.append)
    talk.failed_with = failed
    yield talk
    talk.close()


def test_questions_are_answered_in_turn(desk, qtbot) -> None:
    found: list[int] = []
    desk.ask(Double(4), found.append)
    qtbot.waitUntil(lambda: found == [9], timeout=60_000)
    desk.ask(Double(5), found.append)
    qtbot.waitUntil(lambda: found == [9, 11], timeout=60_000)
    qtbot.waitUntil(lambda: not desk.is_waiting, timeout=60_000)


def test_only_the_newest_of_a_class_is_heard(desk, qtbot) -> None:
    found: list[tuple[str, int]] = []
    others: list[int] = []
    for n in range(50):
        desk.ask(Slow(n), found.append)
    desk.ask(Double(1), others.append)
    qtbot.waitUntil(lambda: ("second", 49) in found, timeout=60_000)
    qtbot.waitUntil(lambda: others == [3], timeout=60_000)
    assert {n for _, n in found} == {49}


def test_a_question_under_way_is_left_for_a_newer_one(desk, qtbot) -> None:
    found: list[tuple[str, int]] = []
    desk.ask(Slow(1), found.append)
    qtbot.waitUntil(lambda: found == [("first", 1)], timeout=60_000)
    desk.ask(Slow(2), found.append)
    qtbot.waitUntil(lambda: found[-1] == ("second", 2), timeout=60_000)
    assert ("second", 1) not in found


def test_a_question_that_cannot_be_answered_leaves_the_desk_open(desk, qtbot) -> None:
    refused: list[Exception] = []
    found: list[int] = []
    desk.ask(Refuse(), None, refused.append)
    desk.ask(Double(2), found.append)
    qtbot.waitUntil(lambda: found == [5], timeout=60_000)
    assert isinstance(refused[0], NoTissueError)
    assert str(refused[0]) == "there is no tissue here"
    assert not desk.failed_with


def test_a_crash_is_told_once(desk, qtbot) -> None:
    desk.ask(Crash())
    qtbot.waitUntil(lambda: desk.state is JobState.FAILED, timeout=60_000)
    assert isinstance(desk.failed_with[0], JobError)
    assert "ZeroDivisionError" in str(desk.failed_with[0])
    desk.ask(Double(1))
    assert len(desk.failed_with) == 1


def test_what_cannot_be_opened_is_told(qtbot) -> None:
    failed: list[Exception] = []
    talk = converse(conversations.cannot_open, on_error=failed.append)
    qtbot.waitUntil(lambda: talk.state is JobState.FAILED, timeout=60_000)
    assert isinstance(failed[0], NoTissueError)


def test_closing_ends_the_child_and_silences_it(desk, qtbot) -> None:
    found: list[object] = []
    opened: list[bool] = []
    desk.opened.connect(lambda: opened.append(True))
    qtbot.waitUntil(lambda: bool(opened), timeout=60_000)
    desk.ask(Slow(1), found.append)
    desk.close()
    qtbot.waitUntil(lambda: desk.state is JobState.CANCELLED, timeout=10_000)
    assert found == []
    assert desk._process.poll() is not None
