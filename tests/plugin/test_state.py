"""What the dock knows, without a window."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import made
import pytest

from napari_mhim.errors import NoTissueError
from napari_mhim.events import Progress
from napari_mhim.plugin.state.desk import DeskState, OpenSlide, bundle_folder
from napari_mhim.plugin.state.memory import Memory
from napari_mhim.plugin.state.progress import JobProgress

SLIDE = OpenSlide("/a/case.svs", "case", "f00d", made.MPP, "", made.SHAPE)
BUNDLE = SimpleNamespace(
    name="MHIM made",
    config=SimpleNamespace(encoder_id="texture#1", role_of=lambda name, mark: "test"),
)


def desk(**values) -> DeskState:
    return DeskState(**{"slide": SLIDE, "bundle": BUNDLE, **values})


def test_a_ready_desk_can_run() -> None:
    assert desk().can_run() is None


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"slide": None}, "slide"),
        ({"bundle": None}, "model"),
        ({"slide": replace(SLIDE, mpp=None)}, "µm per pixel"),
    ],
)
def test_a_desk_that_lacks_something_says_what(values: dict, word: str) -> None:
    reason = desk(**values).can_run()
    assert reason is not None
    assert word in reason


def test_a_busy_desk_cannot_run() -> None:
    state = desk()
    state.job.begin("features")
    assert "cancel" in state.can_run()
    state.job.end()
    assert state.can_run() is None


def test_given_mpp_stands_in_for_the_slides() -> None:
    state = desk(slide=replace(SLIDE, mpp=None))
    assert state.mpp is None
    state.given_mpp = 0.25
    assert state.mpp == (0.25, 0.25)
    assert state.can_run() is None


def test_the_slides_own_mpp_wins() -> None:
    state = desk()
    state.given_mpp = 9.0
    assert state.mpp == made.MPP


def test_another_slide_forgets_the_result_of_the_first() -> None:
    state = desk(result=made.result(), baseline=made.result(), truth=made.truth())
    state.n_patches, state.ring, state.given_mpp = 100, 3, 0.5
    state.slide = replace(SLIDE, name="other")
    assert (state.result, state.baseline, state.truth) == (None, None, None)
    assert (state.n_patches, state.ring, state.given_mpp) == (None, -1, None)


def test_changes_are_told() -> None:
    state, told = desk(), []
    state.events.result.connect(told.append)
    result = made.result()
    state.result = result
    assert told == [result]


def test_rings_follow_what_is_shown() -> None:
    state = desk(result=made.result(), baseline=made.result(False))
    assert len(state.rings()) > 0
    state.shows_baseline = True
    assert len(state.rings()) == 0


def test_rings_are_counted_against_the_truth() -> None:
    state = desk(result=made.result(), truth=made.truth())
    labels = state.ring_labels()
    kinds = made.truth().patch_labels(made.grid())[state.rings().index]
    assert labels == {
        "hard": (kinds == 2).sum(),
        "easy": (kinds == 1).sum(),
        "none": (kinds == 0).sum(),
    }
    assert sum(labels.values()) == len(state.rings())


def test_a_real_slide_has_no_truth_to_count_against() -> None:
    assert desk(result=made.result()).ring_labels() is None


def test_cost_grows_with_the_patches() -> None:
    state = desk(device="this CPU")
    assert state.cost() == ""
    state.n_patches = 8210
    assert "8\u2009210 patches" in state.cost()
    assert "after a run" in state.cost()
    state.seconds_per_patch = 0.03
    assert state.cost() == "8\u2009210 patches, about 4 min on this CPU."


def test_the_headline_names_slide_and_role() -> None:
    assert desk().headline() == "case · held-out slide"
    result = made.result(role="train")
    assert desk(result=result).headline() == "case · training slide"
    assert DeskState().headline() == "No slide open"


def test_an_error_keeps_its_details_apart() -> None:
    error = NoTissueError("no tissue was found on 'a.svs'")
    error.add_note("Traceback: ...")
    state = desk()
    state.tell(error)
    assert state.problem == "No tissue was found on 'a.svs'"
    assert state.details == "Traceback: ..."


def test_a_file_of_a_model_stands_for_its_folder(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert bundle_folder(str(tmp_path / "config.json")) == tmp_path
    assert bundle_folder(str(tmp_path)) == tmp_path


def test_rate_and_time_left_follow_the_clock() -> None:
    job = JobProgress()
    job.begin("features of case")
    for second in range(11):
        job.take(Progress("features of case", 50 * second, 2000), float(second))
    assert job.rate == pytest.approx(50)
    assert job.detail == "500 of 2\u2009000 patches · 50/s · about 30 s left"


def test_a_new_stage_starts_a_new_rate() -> None:
    job = JobProgress()
    job.take(Progress("first", 0, 100), 0.0)
    job.take(Progress("first", 100, 100), 10.0)
    job.take(Progress("second", 0, 7), 11.0)
    assert job.rate is None
    assert job.detail == "0 of 7 patches"


def test_the_rate_forgets_a_slow_start() -> None:
    job = JobProgress()
    job.take(Progress("a", 0, 0), 0.0)
    for second in range(100, 131):
        job.take(Progress("a", 10 * (second - 100), 0), float(second))
    assert job.rate == pytest.approx(10)


def test_memory_comes_back(tmp_path: Path) -> None:
    kept = Memory({"f00d": 0.25}, {"texture on cpu": 0.02}, "/models/a")
    kept.write(tmp_path)
    assert Memory.read(tmp_path) == kept


@pytest.mark.parametrize("text", ["", "{", "[]", '{"mpp": 3}', '{"mpp": {"a": "x"}}'])
def test_a_damaged_memory_is_an_empty_one(tmp_path: Path, text: str) -> None:
    (tmp_path / "window.json").write_text(text)
    assert Memory.read(tmp_path) == Memory()
