"""The mask explorer, on the sample slide with a real model behind it."""

import shutil
from pathlib import Path

import made
import numpy as np
import pytest
from window_pictures import HAS_DISPLAY

from napari_mhim.errors import WorkspaceError
from napari_mhim.mil.kept_epochs import keep
from napari_mhim.mil.questions import HIGH, LOW, RANDOM, Hidden, Score
from napari_mhim.plugin import sample_data, show
from napari_mhim.plugin.overlays import HIDDEN
from napari_mhim.plugin.state.method import MethodState

needs_window = [
    pytest.mark.qt,
    pytest.mark.skipif(not HAS_DISPLAY, reason="no display: use xvfb-run"),
]


def test_a_strategy_asks_for_its_parts_only() -> None:
    state = MethodState(high=0.1, low=0.2, random=0.3)
    for strategy, low, random in (
        ("HAM", 0, 0),
        ("R-HAM", 0, 0.3),
        ("L-HAM", 0.2, 0),
        ("LR-HAM", 0.2, 0.3),
    ):
        state.strategy = strategy
        asked = state.question()
        assert asked.mask_ratio_high == 0.1
        assert (asked.mask_ratio_low, asked.mask_ratio_random) == (low, random)


def test_a_new_question_makes_the_score_pending() -> None:
    state = MethodState()
    state.take(Score(np.array([0.2, 0.8], np.float32), 5))
    assert state.score is not None
    state.question()
    assert state.score is None


def test_the_summary_counts_parts_and_patches() -> None:
    state = MethodState()
    assert state.summary() == ""
    parts = np.zeros(1200, np.uint8)
    parts[:100], parts[100:150], parts[150:160] = HIGH, LOW, RANDOM | LOW
    state.take(Hidden(parts))
    assert state.summary() == (
        "Hidden: 160 of 1\u2009200 patches (13%): high 100, low 60, random 10."
    )


def kept_run(folder: Path, result, n_epochs: int = 3) -> Path:
    """Write what a run keeps of each epoch, and give where its model would lie."""
    for epoch in range(1, n_epochs + 1):
        arrays = {
            # the teacher that ranks patches in their order, turned by one each epoch
            "teacher_scores": np.roll(np.arange(len(result)), epoch).astype(np.float32),
            "probabilities": np.array([0.3, 0.7], np.float32),
        }
        path = folder / "scores" / f"epoch-{epoch:04d}.npz"
        keep(path, arrays, result.slide, has_teacher=True)
    return folder / "bundle"


def test_an_earlier_epoch_asks_with_its_teachers_scores(tmp_path: Path) -> None:
    state, result = MethodState(high=0.1), made.result()
    state.look(kept_run(tmp_path, result), result)
    assert [one.epoch for one in state.epochs] == [1, 2, 3]
    assert state.question().scores is None
    assert "finished" in state.whose(1)
    state.choose(1)
    n = len(result)
    np.testing.assert_array_equal(
        state.question().scores, np.roll(np.arange(n), 2).astype(np.float32)
    )
    assert state.curve_question().scores is state.question().scores
    assert "epoch 2 of 3" in state.whose(1)
    assert "0.70" in state.whose(1)
    state.choose(3)
    assert state.question().scores is None


def test_a_run_that_watched_another_slide_offers_no_epochs(tmp_path: Path) -> None:
    bundle = kept_run(tmp_path, made.result(slide="another"))
    state = MethodState()
    state.look(bundle, made.result(slide="case"))
    assert state.epochs == ()


def test_an_epoch_whose_file_is_damaged_is_told_and_the_choice_stays(
    tmp_path: Path,
) -> None:
    state, result = MethodState(), made.result()
    state.look(kept_run(tmp_path, result), result)
    state.choose(0)
    state.epochs[2].path.write_bytes(b"no archive")
    with pytest.raises(WorkspaceError, match=r"epoch 3 .*epoch-0003"):
        state.choose(2)
    assert state.epoch == 1


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


class TestWindow:
    pytestmark = needs_window

    def test_mask_and_score_follow_the_slider(self, dock, qtbot) -> None:
        result = dock.state.result
        view = dock.review.sections["Method view"].open()
        assert not view.refused.isVisibleTo(view)
        qtbot.waitUntil(lambda: view.state.score is not None, timeout=120_000)
        # as trained: the same mask, and the score of the patches it leaves
        assert (view.state.hidden.mask == result.mask).all()
        left = view.state.score.probabilities[result.target]
        assert left == pytest.approx(result.remaining[result.target], abs=1e-4)

        view.sliders["high"].setValue(0.5)
        assert "pending" in view.found.text()
        n = len(result)
        wanted = np.ceil(0.5 * n)
        qtbot.waitUntil(lambda: view.state.hidden.mask.sum() == wanted, timeout=60_000)
        qtbot.waitUntil(lambda: view.state.score is not None, timeout=60_000)
        assert f"{view.state.score.probabilities[result.target]:.2f}" in (
            view.found.text()
        )
        layer = dock.canvas.layers()[HIDDEN]
        assert np.isfinite(layer.data).sum() == wanted

    def test_closing_gives_the_layer_its_mask_back(self, dock, qtbot) -> None:
        result = dock.state.result
        section = dock.review.sections["Method view"]
        view = section.open()
        view.strategy.setCurrentText("LR-HAM")
        view.sliders["low"].setValue(0.4)
        qtbot.waitUntil(
            lambda: (
                view.state.hidden is not None
                and (view.state.hidden.parts & LOW).any()
                and (view.state.hidden.parts & RANDOM).any()
            ),
            timeout=120_000,
        )
        layer = dock.canvas.layers()[HIDDEN]
        assert np.isfinite(layer.data).sum() > result.mask.sum()
        section.head.setChecked(False)
        assert np.isfinite(layer.data).sum() == result.mask.sum()

    def test_the_curve_starts_at_the_score(self, dock, qtbot) -> None:
        view = dock.review.sections["Method view"].open()
        qtbot.waitUntil(lambda: view.state.curve is not None, timeout=120_000)
        curve, result = view.state.curve, dock.state.result
        assert curve.shares[0] == 0
        assert curve.probabilities[0] == pytest.approx(result.probabilities, abs=1e-4)

    def test_the_mask_follows_the_epoch(self, dock, qtbot, tmp_path: Path) -> None:
        result, place = dock.state.result, sample_data.folder()
        shutil.copytree(place / "bundle", kept_run(tmp_path, result))
        dock.runs.choose_bundle(str(tmp_path / "bundle"))
        view = dock.review.sections["Method view"].open()
        assert view.epoch.isVisibleTo(view)
        view.sliders["high"].setValue(0.1)
        view.epoch.setValue(0)
        k = int(np.ceil(0.1 * len(result)))
        # the highest of the ranks turned by one: the last in order, turned to the front
        wanted = {0, *range(len(result) - k + 1, len(result))}
        qtbot.waitUntil(
            lambda: (
                view.state.hidden is not None
                and set(np.flatnonzero(view.state.hidden.mask).tolist()) == wanted
            ),
            timeout=120_000,
        )
        assert "epoch 1 of 3" in view.whose.text()
        view.reset.click()
        assert view.epoch.value() == 3
        qtbot.waitUntil(
            lambda: (view.state.hidden.mask == result.mask).all(), timeout=60_000
        )

    def test_without_features_it_says_what_to_do(self, viewer) -> None:
        dock = show.open_dock(viewer)
        place = sample_data.folder()
        dock.show_layers(
            show.layers(
                place / "both.tiff", place / "both.h5", bundle_path=place / "bundle"
            )
        )
        view = dock.review.sections["Method view"].open()
        assert "features are not in the workspace" in view.refused.text()
        assert not view.sliders["high"].isEnabled()

    def test_a_jump_opens_the_section_and_brings_it_to_the_top(
        self, dock, qtbot
    ) -> None:
        area = dock.tabs.currentWidget()
        bar = area.verticalScrollBar()
        bar.setValue(0)
        dock.review.jumps.buttons["What if"].click()
        section = dock.review.sections["What if"]
        assert section.content is not None
        qtbot.waitUntil(lambda: bar.value() > 0, timeout=10_000)
        top = section.mapTo(area.viewport(), section.rect().topLeft()).y()
        assert 0 <= top < area.viewport().height() - section.head.height()
