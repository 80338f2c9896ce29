import json
from dataclasses import replace

import numpy as np
import pytest
from judged import Seen, draws, read_seen, sensitivity, slide_auc, table


def made(arm: str, part: str, shift: float) -> list[Seen]:
    """Eight slides of a part: four normal, two hard only, two with easy lesions."""
    groups = [0, 0, 0, 0, 1, 1, 2, 2]
    scores = [0.1, 0.2, 0.3, 0.4, 0.35 + shift, 0.5 + shift, 0.8, 0.9]
    return [
        Seen(
            "abmil",
            arm,
            1,
            part,
            f"{part}-{i}",
            g,
            s,
            {"attention, all": 0.5 + shift},
            0.0,
        )
        for i, (g, s) in enumerate(zip(groups, scores, strict=True))
    ]


def test_only_hard_slides_count_where_asked():
    slides = made("plain", "a", 0.0)
    assert slide_auc(slides, hard_only=True) == pytest.approx(7 / 8)
    assert slide_auc(slides) == pytest.approx(15 / 16)


def test_sensitivity_counts_slides_above_the_highest_normal_one():
    assert sensitivity(made("plain", "a", 0.0)) == 0.5
    assert sensitivity(made("plain", "a", 0.1)) == 1.0


def test_sensitivity_lets_one_of_forty_normal_slides_pass():
    normal = [Seen("m", "a", 1, "p", str(i), 0, i / 40, {}, 0.0) for i in range(40)]
    hard = Seen("m", "a", 1, "p", "hard", 1, 38.5 / 40, {}, 0.0)
    assert sensitivity([*normal, hard]) == 1.0
    assert sensitivity([*normal, replace(hard, score=37.5 / 40)]) == 0.0


def test_sensitivity_is_not_defined_without_hard_slides():
    assert np.isnan(sensitivity([s for s in made("m", "a", 0.0) if s.group != 1]))


def test_every_sample_has_as_many_slides_of_each_kind():
    parts = [made("plain", "a", 0.0), made("plain", "b", 0.0)]
    for sample in draws(parts, draw_parts=False, resamples=20):
        for part, at in sample:
            groups = [parts[part][i].group for i in at]
            assert sorted(groups) == [0, 0, 0, 0, 1, 1, 2, 2]


def test_two_trainings_on_the_same_slides_are_drawn_alike():
    parts = [made("plain", "a", 0.0), made("plain", "a", 0.2)]
    for sample in draws(parts, draw_parts=False, resamples=20):
        assert (sample[0][1] == sample[1][1]).all()


def test_cohorts_are_drawn_with_replacement():
    parts = [made("plain", name, 0.0) for name in "abc"]
    chosen = [[i for i, _ in s] for s in draws(parts, draw_parts=True, resamples=30)]
    assert chosen[0] == [0, 1, 2]
    assert any(len(set(some)) < 3 for some in chosen)


def test_the_tables_show_each_arm_and_its_gain():
    seen = [*made("plain", "a", 0.0), *made("mhim", "a", 0.1)]
    lines = table(seen, "plain", draw_parts=False, resamples=50)
    value, gain = (line for line in lines if line.startswith("| patches, attention"))
    assert "0.50 (0.50 to 0.50) | 0.60 (0.60 to 0.60)" in value
    assert gain == "| patches, attention | +0.10 (+0.10 to +0.10) |"


def test_each_part_is_listed_with_its_hard_slides():
    seen = [*made("plain", "a", 0.0), *made("plain", "b", 0.1)]
    lines = table(seen, "other", draw_parts=True, resamples=5)
    assert lines[-2:] == ["| a | 0.94, 0.88 |", "| b | 1.00, 1.00 |"]


def test_parts_that_an_arm_lacks_are_left_out():
    seen = [*made("plain", "a", 0.0), *made("plain", "b", 0.0), *made("mhim", "a", 0.1)]
    assert table(seen, "plain", draw_parts=False, resamples=5)[0].startswith("1 parts")


def test_an_unfinished_line_is_not_read(tmp_path):
    path = tmp_path / "seen.jsonl"
    first = made("plain", "a", 0.0)[0]
    path.write_text(json.dumps(vars(first)) + "\n" + '{"model": ')
    assert read_seen(path) == [first]
