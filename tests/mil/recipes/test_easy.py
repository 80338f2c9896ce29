"""The easy share, found from a teacher whose easy kind is known."""

import pytest
import torch
from torch import Tensor, nn

from napari_mhim.mil.masking import high_mask
from napari_mhim.mil.model import MILModel
from napari_mhim.mil.models import abmil
from napari_mhim.mil.recipes.mhim.easy import (
    FALLBACK,
    MARGIN,
    MOST,
    SHARES,
    confirm,
    fall_of,
    find_easy_share,
)


def teacher() -> MILModel:
    """Build a model that calls a bag class 1 if any first feature is large, else class 0."""
    model = abmil.build(4, 2, hidden=8).eval()
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    with torch.no_grad():
        model.projection[0].weight[0, 0] = 1.0
        model.attention.hidden.weight[0, 0] = 1.0
        model.attention.score.weight[0, 0] = 4.0
        model.head.weight[1, 0] = 2.0
        model.head.bias[0] = 2.0
    return model


def slide(share: float, n: int = 200) -> Tensor:
    x = torch.rand(n, 4) * 0.1
    x[torch.randperm(n)[: round(share * n)], 0] += 5
    return x


@pytest.mark.parametrize("share", [0.01, 0.02, 0.05, 0.1, 0.15, 0.25, 0.4])
def test_is_the_smallest_share_tried_that_hides_all_easy_instances(share: float):
    wanted = min(tried for tried in SHARES if tried >= share)
    assert fall_of(teacher(), slide(share), 1).share == pytest.approx(wanted)


@pytest.mark.parametrize("n", [2, 3, 10, 19])
def test_counts_what_was_hidden_of_a_small_bag(n: int):
    assert fall_of(teacher(), slide(1 / n, n), 1).share == pytest.approx(1 / n)


def test_a_slide_whose_class_is_the_lack_of_something_says_nothing():
    assert fall_of(teacher(), slide(0.0), 0) is None


def test_a_slide_the_teacher_is_wrong_on_says_nothing():
    assert fall_of(teacher(), slide(0.0), 1) is None


def test_a_slide_full_of_easy_instances_says_nothing():
    assert fall_of(teacher(), slide(0.9), 1) is None


def test_a_bag_of_one_says_nothing():
    assert fall_of(teacher(), slide(1.0, n=1), 1) is None


def test_covers_nearly_all_slides_with_a_margin():
    bags = [(slide(share), 1) for share in (0.02, 0.04, 0.06, 0.1)]
    found = find_easy_share(teacher(), [*bags, (slide(0.0), 0)])
    assert 0.06 * MARGIN < found.ratio <= 0.1 * MARGIN
    assert "of 4 training slides" in found.reason


def test_never_hides_more_than_the_largest_ratio():
    assert find_easy_share(teacher(), [(slide(0.4), 1)]).ratio == MOST


@pytest.mark.parametrize("count", [0, 3])
def test_falls_back_where_no_slide_says_anything(count: int):
    found = find_easy_share(teacher(), [(slide(0.9), 1)] * count)
    assert found.ratio == FALLBACK
    assert f"none of {count} training slides" in found.reason


def test_slides_that_lose_little_do_not_count():
    faint = slide(0.3)
    faint[:, 0] *= 0.4  # still called by its class, by a small lead
    assert fall_of(teacher(), faint, 1) is not None
    found = find_easy_share(teacher(), [(slide(0.02), 1)] * 12 + [(faint, 1)])
    assert "of 12 training slides" in found.reason


def test_leaves_the_teacher_in_its_mode():
    model = teacher().train()
    find_easy_share(model, [(slide(0.1), 1)])
    assert model.training


def positives(shares: list[float], n: int = 200) -> list[tuple[Tensor, int]]:
    return [(slide(share, n), 1) for share in shares]


def test_slides_like_those_of_training_confirm_the_share():
    model = teacher()
    found = find_easy_share(model, positives([0.02, 0.04, 0.06] * 4))
    said = confirm(found, model, positives([0.03, 0.05, 0.06, 0.02]))
    assert said.verdict == "confirmed"
    assert said.reason.startswith("4 of 4 validation slides")
    assert "12 of 12 training slides do" in said.reason


def test_slides_with_far_more_easy_tissue_do_not_and_say_what_would():
    model = teacher()
    found = find_easy_share(model, positives([0.01, 0.02] * 6))
    said = confirm(found, model, positives([0.1, 0.1, 0.08, 0.1]))
    assert said.verdict == "not confirmed"
    assert "0 of 4 validation slides" in said.reason
    advised = float(said.reason.rpartition("=")[2])
    assert found.ratio < 0.1 <= advised <= MOST
    assert all(fall_of(model, x, y).is_covered(advised) for x, y in positives([0.1]))


def test_one_slide_cannot_tell():
    model = teacher()
    found = find_easy_share(model, positives([0.02] * 12))
    for share in (0.02, 0.3):
        said = confirm(found, model, positives([share]))
        assert said.verdict == "cannot be told"


def test_no_validation_slide_cannot_tell():
    model = teacher()
    found = find_easy_share(model, positives([0.02] * 4))
    assert confirm(found, model, []).reason == "no validation slides"


def test_many_slides_on_which_nothing_is_easy_do_not_confirm():
    """A teacher that knows its training slides by heart rests on nothing elsewhere."""
    model = teacher()
    found = find_easy_share(model, positives([0.02] * 12))
    said = confirm(found, model, positives([0.9] * 6))
    assert said.verdict == "not confirmed"
    assert "none of 6 validation slides" in said.reason
    few = find_easy_share(model, [*positives([0.02] * 2), *positives([0.9] * 18)])
    assert confirm(few, model, positives([0.9] * 6)).verdict == "cannot be told"


def test_a_share_nothing_spoke_for_cannot_be_confirmed():
    model = teacher()
    found = find_easy_share(model, positives([0.9] * 4))
    said = confirm(found, model, positives([0.05] * 4))
    assert said.verdict == "cannot be told"


def test_covers_by_the_count_the_mask_hides():
    for n in (3, 10, 57, 200):
        fall = fall_of(teacher(), slide(1 / n, n), 1)
        for ratio in (0.01, 0.05, 0.1, 0.3):
            hidden = int(high_mask(torch.rand(1, n), ratio).sum())
            assert fall.is_covered(ratio) == (hidden >= fall.hidden)


def test_confirming_leaves_the_teacher_in_its_mode():
    model = teacher().train()
    found = find_easy_share(model, positives([0.05] * 4))
    confirm(found, model, positives([0.05] * 3))
    assert model.training
