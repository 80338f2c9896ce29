"""How unlike training: the words and their limits, and the line on the score card."""

from dataclasses import replace
from pathlib import Path

import pytest
from window_pictures import HAS_DISPLAY

from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.questions import HowUnlike, Unlike, open_reading
from napari_mhim.mil.result import SlideResult
from napari_mhim.mil.unlike import FAR
from napari_mhim.plugin import sample_data, show
from napari_mhim.plugin.unlike_words import UNLIKE, answer, caution

CONFIG = Bundle.open(sample_data.folder() / "bundle").config
FAR_KEPT = {"validation": {"n": 40, "median": 0.3, "q95": 0.5, "max": 0.9}}
FEW = {"validation": {"n": 6, "median": 0.3, "q95": 0.5, "max": 0.9}}
ERRORS = {"auroc": 0.8, "low": 0.6, "n": 40, "errors": 6, "usual_error": 0.4}


def test_unlike_is_said_only_beyond_the_limit() -> None:
    many, few = replace(CONFIG, distances=FAR_KEPT), replace(CONFIG, distances=FEW)
    assert UNLIKE in caution(Unlike(0.6, 0.9), many)
    assert caution(Unlike(0.4, 0.9), many) == ""
    # of few slides no percentile can be told: the farthest one counts
    assert caution(Unlike(0.6, 0.9), few) == ""
    assert UNLIKE in caution(Unlike(1.0, 0.9), few)
    assert caution(Unlike(9.0, 0.9), replace(CONFIG, distances={})) == ""


def test_agreement_is_a_caution_only_where_it_predicted_errors() -> None:
    plain = replace(CONFIG, distances={}, agreement_errors={})
    found = Unlike(0.1, 0.3)
    assert caution(found, plain) == ""
    assert caution(found, replace(plain, agreement_errors=ERRORS))
    chance = {**ERRORS, "low": 0.45}
    assert caution(found, replace(plain, agreement_errors=chance)) == ""


def test_the_answer_says_what_it_is_held_against() -> None:
    text = answer(Unlike(0.42, 0.9), replace(CONFIG, distances=FAR_KEPT))
    assert "half of its 40 validation slides are below 0.30, 95 % below 0.50" in text
    text = answer(Unlike(0.42, 0.9), replace(CONFIG, distances=FEW))
    assert "the farthest at 0.90" in text
    assert "Both can be wrong together" in text
    nothing = replace(CONFIG, distances={}, agreement_errors={})
    assert "does not say how far" in answer(Unlike(0.42, 0.9), nothing)
    text = answer(Unlike(float("nan"), float("nan")), nothing)
    assert "keeps no training features" in text
    assert "no teacher" in text


@pytest.mark.qt
@pytest.mark.skipif(not HAS_DISPLAY, reason="no display: use xvfb-run")
class TestWindow:
    @pytest.fixture
    def dock(self, viewer):
        place = sample_data.folder()
        dock = show.open_dock(viewer)
        dock.show_layers(
            show.layers(
                place / "both.tiff",
                place / "both.h5",
                bundle_path=place / "bundle",
                features_path=place / "both.features.h5",
            )
        )
        return dock

    def test_no_process_is_started_before_somebody_asks(self, dock, qtbot) -> None:
        line = dock.review.unlike
        assert not line.question.isHidden()
        assert not dock.talk.is_waiting
        line.question.click()
        qtbot.waitUntil(lambda: line.found is not None, timeout=120_000)
        place = sample_data.folder()
        ask = open_reading(
            str(place / "bundle"), str(place / "both.features.h5"), "cpu"
        )
        (wanted,) = ask(HowUnlike())
        assert line.found.distance == pytest.approx(wanted.distance, abs=1e-4)
        assert f"{wanted.distance:.2f}" in line.answer.text()
        assert line.question.isHidden()
        dock.make_room()
        assert line.found is None

    def test_it_is_asked_along_with_another_question(self, dock, qtbot) -> None:
        dock.review.sections["Method view"].open()
        line = dock.review.unlike
        qtbot.waitUntil(lambda: line.found is not None, timeout=120_000)

    def test_a_new_result_says_it_at_once(self, viewer, tmp_path: Path) -> None:
        place = sample_data.folder()
        result = SlideResult.load(place / "both.h5")
        far = replace(result, provenance={**result.provenance, FAR: "32.5"})
        far.save(tmp_path / "both.h5")
        dock = show.open_dock(viewer)
        dock.show_layers(
            show.layers(
                place / "both.tiff", tmp_path / "both.h5", bundle_path=place / "bundle"
            )
        )
        line = dock.review.unlike
        assert UNLIKE in line.caution.text()
        assert not line.caution.isHidden()
        assert "32.50" in line.answer.text()
        assert line.question.isHidden()
        assert not dock.talk.is_waiting
        # what one slide is says nothing of the next
        dock.show_layers(show.layers(place / "hard.tiff", place / "hard.h5"))
        assert line.caution.isHidden()

    def test_without_features_nothing_is_offered(self, viewer) -> None:
        place = sample_data.folder()
        dock = show.open_dock(viewer)
        dock.show_layers(show.layers(place / "both.tiff", place / "both.h5"))
        assert dock.review.unlike.question.isHidden()
