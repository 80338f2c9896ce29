"""The error review opens a slide where it was hardest, once the model has seen it."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from psygnal import Signal

from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.result import SlideResult
from napari_mhim.plugin import sample_data
from napari_mhim.plugin.desk import Desk
from napari_mhim.plugin.hardest import Hardest
from napari_mhim.plugin.state.desk import DeskState


class Runs:
    """Runs that only note what they are asked for."""

    finished, noted = Signal(SlideResult), Signal(str)

    def __init__(self) -> None:
        self.n_asked = 0

    def predict(self) -> None:
        self.n_asked += 1


class Canvas:
    def __init__(self) -> None:
        self.flown: list[int] = []

    def fly_to_ring(self, number: int) -> None:
        self.flown.append(number)


@pytest.fixture
def desk() -> Desk:
    state = DeskState()
    state.bundle = Bundle.open(sample_data.folder() / "bundle")
    slide = SimpleNamespace(
        name="case-01", fingerprint="f" * 64, scene=0, mpp=(0.5, 0.5)
    )
    state.slide = slide
    return Desk(state, Canvas(), Runs(), None)


@pytest.fixture
def seen(desk: Desk, made_result: SlideResult) -> SlideResult:
    return replace(made_result, bundle_id=desk.state.bundle.id)


def test_a_slide_the_model_has_seen_is_shown_closely_at_once(desk, seen) -> None:
    desk.state.result = seen
    Hardest(desk).look()
    assert (desk.canvas.flown, desk.runs.n_asked) == ([0], 0)


def test_another_models_result_is_no_answer(desk, made_result) -> None:
    desk.state.result = made_result
    Hardest(desk).look()
    assert (desk.canvas.flown, desk.runs.n_asked) == ([], 1)


def test_the_model_looks_first_where_it_has_not(desk, seen) -> None:
    hardest = Hardest(desk)
    hardest.look()
    assert (desk.canvas.flown, desk.runs.n_asked) == ([], 1)
    desk.state.result = seen
    desk.runs.finished.emit(seen)
    assert desk.canvas.flown == [0]
    # a later result is somebody else's
    desk.runs.finished.emit(seen)
    assert desk.canvas.flown == [0]


def test_a_slide_left_meanwhile_is_not_flown_over(desk, seen) -> None:
    hardest = Hardest(desk)
    hardest.look()
    desk.runs.finished.emit(replace(seen, fingerprint="0" * 64))
    assert desk.canvas.flown == []


def test_without_rings_it_is_said(desk, seen) -> None:
    heard = []
    desk.runs.noted.connect(heard.append)
    desk.state.result = replace(seen, evidence=-np.abs(seen.evidence))
    Hardest(desk).look()
    assert desk.canvas.flown == []
    assert "tumour" in heard[0]


def test_nothing_runs_while_another_job_does(desk) -> None:
    heard = []
    desk.runs.noted.connect(heard.append)
    desk.state.job.begin("another")
    Hardest(desk).look()
    assert desk.runs.n_asked == 0
    assert "A job is running" in heard[0]
