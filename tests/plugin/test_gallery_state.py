"""Which patches the gallery shows, in which order, and what it says of each."""

import re
from dataclasses import replace

import made
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mhim.mil.result import SlideResult, hard_instances
from napari_mhim.plugin import patch_words
from napari_mhim.plugin.state.gallery import (
    HIDDEN_OR_NOT,
    KINDS,
    SOME,
    SORTS,
    Figures,
    GalleryState,
)


def opened(result: SlideResult | None = None, **changes) -> GalleryState:
    state = GalleryState()
    state.take(made.result() if result is None else result)
    state.arrange(**changes)
    return state


def plain(text: str) -> str:
    return re.sub(r"<[^>]+>", "", text)


class TestFigures:
    def test_the_mean_of_the_attention_is_one(self, made_result) -> None:
        figures = Figures(made_result)
        assert figures.attention.mean() == pytest.approx(1, abs=1e-5)

    def test_percentile_counts_the_patches_that_weigh_no_more(
        self, made_result
    ) -> None:
        figures = Figures(made_result)
        weights = made_result.attention[0]
        for row in range(0, len(made_result), 37):
            share = sum(weight <= weights[row] for weight in weights) / len(weights)
            assert figures.percentile[row] == pytest.approx(100 * share, abs=1e-3)

    def test_patches_of_equal_weight_have_one_percentile(self, made_result) -> None:
        flat = np.full_like(made_result.attention, 1 / len(made_result))
        figures = Figures(replace(made_result, attention=flat))
        assert set(figures.percentile.tolist()) == {100.0}

    def test_branches_are_averaged(self, made_result) -> None:
        two = np.vstack([made_result.attention, made_result.attention[:, ::-1]])
        figures = Figures(replace(made_result, attention=two, branches=("one", "two")))
        wanted = two.mean(axis=0) * len(made_result)
        np.testing.assert_allclose(figures.attention, wanted, rtol=1e-5)

    def test_rings_are_those_on_the_slide(self) -> None:
        figures = Figures(made.result())
        rings = hard_instances(made.result(), k=20).index
        assert figures.rings.tolist() == rings.tolist()
        assert figures.ring(int(rings[3])) == 3
        assert figures.ring(0) == -1


class TestKinds:
    @pytest.mark.parametrize("kind", KINDS)
    def test_each_patch_once_and_of_its_kind(self, kind, made_result) -> None:
        state = opened(made_result)
        state.choose(kind)
        rows = state.rows.tolist()
        assert len(set(rows)) == len(rows)
        assert state.kind == kind

    def test_hidden_are_all_and_only_the_hidden(self) -> None:
        result = made.result()
        assert set(opened(kind="hidden").rows) == set(np.flatnonzero(result.mask))

    def test_hard_are_the_rings_in_their_order(self) -> None:
        state = opened()
        state.choose("hard")
        assert state.rows.tolist() == state.figures.rings.tolist()

    def test_top_and_lowest_are_the_two_ends_of_the_attention(
        self, made_result
    ) -> None:
        state = opened(made_result)
        weights = made_result.attention[0]
        order = np.argsort(-weights).tolist()
        state.choose("top")
        assert state.rows.tolist() == order[:SOME]
        state.choose("lowest")
        assert state.rows.tolist() == order[::-1][:SOME]

    def test_random_ones_are_the_same_for_the_same_seed(self, made_result) -> None:
        state = opened(made_result, kind="random", seed=4)
        first = set(state.rows)
        assert len(first) == SOME
        state.arrange(seed=5)
        assert set(state.rows) != first
        state.arrange(seed=4)
        assert set(state.rows) == first

    def test_a_slide_without_hard_patches_shows_none(self) -> None:
        state = opened(made.result(False))
        state.choose("hard")
        assert len(state.rows) == 0
        assert patch_words.count(state) == patch_words.NONE_SHOWN


class TestOrder:
    @settings(max_examples=40, deadline=None)
    @given(
        kind=st.sampled_from(list(KINDS)),
        sort=st.sampled_from(list(SORTS)),
        is_reversed=st.booleans(),
        hidden=st.sampled_from(list(HIDDEN_OR_NOT)),
        least=st.none() | st.floats(-2, 2),
    )
    def test_as_a_slow_reading_of_the_settings_says(
        self, kind, sort, is_reversed, hidden, least
    ) -> None:
        result = made.result(seed=2)
        state = opened(
            result,
            kind=kind,
            sort=sort,
            is_reversed=is_reversed,
            hidden=hidden,
            least_evidence=least,
        )
        push = result.evidence[:, 1]
        of_kind = opened(result, kind=kind).rows.tolist()
        wanted = [
            row
            for row in of_kind
            if hidden == "any" or result.mask[row] == (hidden == "hidden")
        ]
        wanted = [row for row in wanted if least is None or push[row] >= least]
        assert sorted(state.rows.tolist()) == sorted(wanted)
        by = {
            "attention": -result.attention[0],
            "percentile": -result.attention[0],
            "evidence": -push,
            "contribution": -result.contribution[:, 1],
            "teacher": -result.teacher_scores,
            "student": -result.student_scores,
        }[sort][state.rows]
        steps = np.diff(by)
        assert (steps <= 0).all() if is_reversed else (steps >= 0).all()

    def test_version_tells_of_every_change(self) -> None:
        state, seen = opened(), []
        state.events.version.connect(seen.append)
        state.arrange(sort="teacher")
        state.choose("hard")
        state.take(None)
        assert len(seen) == 3


class TestCurrent:
    def test_stepping_goes_round_in_the_order_shown(self) -> None:
        state = opened(sort="teacher")
        order = state.rows.tolist()
        state.step(1)
        assert state.current == order[0]
        state.step(-1)
        assert state.current == order[-1]
        state.step(1)
        state.step(1)
        assert state.current == order[1]

    def test_stepping_from_a_patch_not_shown_begins_at_an_end(self) -> None:
        state = opened(kind="hard")
        state.current = 0
        assert state.place_of(0) == -1
        state.step(-1)
        assert state.current == state.rows[-1]

    def test_stepping_through_nothing_does_nothing(self) -> None:
        state = GalleryState()
        state.step(1)
        assert state.current == -1

    def test_another_model_on_the_same_slide_keeps_it(self) -> None:
        state = opened()
        state.current = 7
        state.take(made.result(seed=3))
        assert state.current == 7

    def test_another_slide_forgets_it(self) -> None:
        state = opened()
        state.current = state.hovered = 7
        state.take(made.result(slide="another"))
        assert state.current == state.hovered == -1

    def test_the_patch_under_the_mouse_is_told_of_first(self) -> None:
        state = opened()
        state.current = 7
        assert state.inspected == 7
        state.hovered = 3
        assert state.inspected == 3

    def test_no_result_shows_nothing(self) -> None:
        state = opened()
        state.take(None)
        assert len(state.rows) == 0
        assert patch_words.count(state) == ""


class TestWords:
    def test_every_figure_of_the_issue_is_told(self) -> None:
        result = made.result()
        told = {
            name: plain(value)
            for name, value, _ in patch_words.lines(Figures(result), 3)
        }
        n = len(result)
        assert told["attention"].endswith("× mean")
        assert told["percentile"].endswith("in slide")
        assert told["evidence"] == "tumour +3.00 · normal −3.00"
        assert "(exact sum)" in told["contribution"]
        assert told["in training"] == "would be hidden"
        rank = 1 + int((result.teacher_scores > result.teacher_scores[3]).sum())
        assert told["teacher's rank"] == f"{rank} of {n}"
        rank = 1 + int((result.student_scores > result.student_scores[3]).sum())
        assert told["student's rank"] == f"{rank} of {n}"

    def test_large_numbers_have_thin_spaces(self) -> None:
        result = made.result()
        many = 8210 // len(result) + 1
        cells = np.tile(result.grid.cells, (many, 1))
        big = replace(
            result,
            grid=replace(result.grid, cells=cells),
            attention=np.tile(result.attention, (1, many)) / many,
            evidence=np.tile(result.evidence, (many, 1)),
            student_scores=np.tile(result.student_scores, many),
            teacher_scores=np.arange(len(cells), 0, -1, dtype=np.float32),
            mask=np.tile(result.mask, many),
        )
        lines = patch_words.lines(Figures(big), 1411)
        told = {name: value for name, value, _ in lines}
        assert told["teacher's rank"] == (
            f"1\u2009412 of {len(big) // 1000}\u2009{len(big) % 1000:03d}"
        )

    def test_a_model_without_teacher_has_no_teachers_rank(self) -> None:
        figures = Figures(made.result(score_source="own scores"))
        names = [name for name, _, _ in patch_words.lines(figures, 0)]
        assert "teacher's rank" not in names
        assert "own rank" in names
        assert patch_words.caption(figures, 0, "teacher")[1].startswith("own rank")

    @pytest.mark.parametrize("sort", SORTS)
    def test_a_caption_is_two_short_lines(self, sort) -> None:
        figures = Figures(made.result())
        for row in range(len(figures)):
            lines = patch_words.caption(figures, row, sort)
            assert len(lines) == 2
            assert max(map(len, lines)) <= 18

    def test_a_hard_patch_is_never_called_a_finding(self) -> None:
        figures = Figures(made.result())
        row = int(figures.rings[0])
        assert patch_words.badge(figures, row) == "ring 1"
        told = " ".join(value for _, value, _ in patch_words.lines(figures, row))
        assert "hard patch, ring 1" in told

    def test_class_names_cannot_become_markup(self) -> None:
        figures = Figures(made.result(classes=("normal", "<b>x</b>")))
        told = [value + tip for _, value, tip in patch_words.lines(figures, 0)]
        assert not any("<b>x" in one for one in told)

    def test_the_count_names_seed_and_direction(self) -> None:
        state = opened(kind="random", seed=3, is_reversed=True, sort="teacher")
        text = patch_words.count(state)
        assert "seed 3" in text
        assert "teacher's rank, the other way round" in text
