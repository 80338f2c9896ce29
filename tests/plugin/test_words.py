"""The words on screen."""

import re

import made
import numpy as np
import pytest

from napari_mhim.mil.result import Cutoff
from napari_mhim.plugin import words


def plain(text: str) -> str:
    return re.sub(r"<[^>]+>", "", text)


def test_above_the_cutoff_in_the_words_agreed() -> None:
    assert plain(words.score_line(made.result())) == (
        "Tumour: score 0.91, above the cut-off 0.44 (set on 8 validation slides). "
        "Held-out slide. Not calibrated."
    )


def test_below_the_cutoff_excludes_nothing() -> None:
    text = plain(words.score_line(made.result(False)))
    assert text == (
        "Tumour: score 0.21. Below cut-off (0.44, set on 8 validation slides). "
        "This does not exclude tumour. Held-out slide. Not calibrated."
    )


@pytest.mark.parametrize("positive", [True, False])
def test_no_word_that_clears_a_patient(positive: bool) -> None:
    text = words.score_line(made.result(positive)).lower()
    assert not {"negative", "benign", "clear", "confidence"} & set(
        re.findall(r"\w+", text)
    )


def test_a_training_slide_is_called_one() -> None:
    text = words.score_line(made.result(role="train"))
    assert "flattering" in text


def test_a_model_without_cutoff_says_so() -> None:
    assert "No cut-off" in words.score_line(made.result(cutoff=None))


def test_a_cutoff_set_by_hand_says_so() -> None:
    text = words.score_line(made.result(cutoff=Cutoff(0.5, 0, "user")))
    assert "set by hand" in text


def test_names_from_files_cannot_become_markup() -> None:
    result = made.result(classes=("normal", "<b>x</b>"))
    assert "<b>x" not in words.score_line(result)
    assert "<b>x" not in words.evidence("<b>x</b>")


def test_hidden_says_whose_scores_they_were() -> None:
    assert "no teacher" not in words.hidden(made.result())
    assert "no teacher" in words.hidden(made.result(score_source="own scores"))


def test_both_scores_are_shown_even_when_the_baseline_wins() -> None:
    better, own = made.result(), made.result(False)
    text = plain(words.comparison("MHIM", ("Baseline", better), ("MHIM", own)))
    assert "Baseline 0.91 (above its cut-off 0.44)" in text
    assert "MHIM 0.21 (below its cut-off 0.44)" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (42, "42 s"), (240, "4 min"), (9000, "2.5 h")],
)
def test_durations_are_in_one_unit(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


def test_how_the_hidden_share_was_found_is_told_where_it_is_known() -> None:
    assert "found in training" not in words.hidden(made.result())
    found = {"easy share": "90% of 5 slides; confirmed on validation: 3 < 4"}
    text = words.hidden(made.result(provenance=found))
    assert "90% of 5 slides; confirmed on validation: 3 &lt; 4." in text


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (0.5, "0.91 → 0.50</b> (−0.41)"),
        (0.9082, "0.910 → 0.908</b> (−0.002)"),
        (0.9103, "0.9100 → 0.9103</b> (+0.0003)"),
        (0.91003, "0.91 → 0.91</b> (changes by less than 0.0001)"),
    ],
)
def test_a_score_that_moves_a_little_is_seen_to_move(after: float, said: str) -> None:
    result = made.result(probabilities=np.array([0.09, 0.91]))
    assert said in words.what_if(result, after, 3, keeps_only=False)
    assert said in words.excluded(result, 1, after)
