import re
from dataclasses import replace
from html import unescape

import pytest

from napari_mhim.export import words
from napari_mhim.mil.cutoff import Cutoff
from napari_mhim.plugin import words as screen


def _plain(rich: str) -> str:
    return unescape(re.sub(r"<[^>]+>", "", rich))


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"cutoff": None},
        {"cutoff": Cutoff(0.9, 1, "validation")},
        {"cutoff": Cutoff(0.5, 0, "hand"), "role": "train", "calibrated": True},
        {"classes": ("a", "<b> & c")},
        {"score_source": "own scores", "evidence_kind": "approximate"},
        {"provenance": {"easy share": "5 % < 6 %"}},
    ],
)
def test_sentences_of_a_result_are_those_on_screen(made_result, change) -> None:
    result = replace(made_result, **change)
    name = result.classes[result.target]
    for ours, theirs in (
        (words.score_line(result), screen.score_line(result)),
        (words.hidden(result), screen.hidden(result)),
        (words.sum_kind(result), screen.sum_kind(result)),
        (words.evidence(name), screen.evidence(name)),
        (words.no_rings(name), screen.no_rings(name)),
    ):
        assert ours == _plain(theirs)


def test_a_class_name_from_a_file_is_escaped_on_screen_only(made_result) -> None:
    result = replace(made_result, classes=("a", "<b> & c"))
    assert words.score_line(result).startswith("<b> & c: score")
    assert screen.score_line(result).startswith("<b>&lt;b&gt; &amp; c</b>: score")
    assert "<i>&lt;b&gt; &amp; c</i>" in screen.evidence("<b> & c")


def test_nothing_calls_a_slide_negative(made_result) -> None:
    low = replace(made_result, cutoff=Cutoff(0.9, 8, "validation"))
    said = words.score_line(low).lower()
    assert "does not exclude tumour" in said
    assert not any(word in said for word in ("negative", "benign", "clear", "normal"))
