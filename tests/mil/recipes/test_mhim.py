"""Masked hard instance mining: what the student sees, what the teacher does."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from napari_mhim.errors import ConfigError, TrainingError
from napari_mhim.mil.masking import high_mask, low_mask
from napari_mhim.mil.model import MILModel, MILOutput
from napari_mhim.mil.models import abmil, dsmil, transmil
from napari_mhim.mil.recipes import mhim
from napari_mhim.mil.recipes.mhim import Config

GIVEN = {"mask_ratio_high": 0.25, "teacher_init": "student", "student_init": "none"}


class TwoHeads(MILModel):
    """A model no file of the package knows: two attention heads, and it keeps what it saw."""

    branches = ("first", "second")

    def __init__(self) -> None:
        super().__init__()
        self.projection = nn.Sequential(nn.Linear(4, 6), nn.Tanh())
        self.heads = nn.Linear(6, 2)
        self.classes = nn.Linear(12, 3)
        self.seen: list[Tensor] = []

    def embed(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        return super().embed(x)

    def aggregate(self, h: Tensor) -> MILOutput:
        attention = self.heads(h).softmax(dim=0).T  # (2, N)
        pooled = attention @ h  # (2, D)
        return MILOutput(
            logits=self.classes(pooled.flatten()),
            embedding=pooled,
            scores=attention.detach(),
            attention=attention.detach(),
            weigh=lambda: torch.zeros(len(h), 3),
        )


def around_two_heads(**options: Any) -> Any:
    torch.manual_seed(0)
    return mhim.build(TwoHeads(), Config(**{**GIVEN, **options}))


def around_abmil(baseline: MILModel | None = None, **options: Any) -> Any:
    torch.manual_seed(0)
    weights = None if baseline is None else baseline.state_dict()
    return mhim.build(abmil.build(4, 2, hidden=8), Config(**options), weights)


def easy_abmil() -> MILModel:
    """Build a model that attends to, and decides by, the first feature alone."""
    model = abmil.build(4, 2, hidden=8)
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    with torch.no_grad():
        model.projection[0].weight[0, 0] = 1.0
        model.attention.hidden.weight[0, 0] = 1.0
        model.attention.score.weight[0, 0] = 4.0
        model.head.weight[1, 0] = 2.0
        model.head.bias[0] = 2.0
    return model


def slide(share: float, n: int = 100) -> Tensor:
    """Make a bag of which a share is easy: a large first feature."""
    x = torch.rand(n, 4) * 0.1
    x[: round(share * n), 0] += 5
    return x


def test_works_around_a_model_it_has_never_heard_of():
    recipe = around_two_heads()
    optimiser = torch.optim.Adam(recipe.student.parameters(), lr=1e-2)
    totals = []
    for step in range(40):
        x = torch.rand(20, 4, generator=torch.Generator().manual_seed(step % 2))
        losses = recipe.losses(x, step % 2, step, 40)
        optimiser.zero_grad()
        losses.total.backward()
        optimiser.step()
        recipe.after_step(step, 40)
        totals.append(losses.parts["classification"].item())
    assert sum(totals[-4:]) < sum(totals[:4])


def test_student_embeds_only_what_the_teacher_leaves_in_the_bags_order():
    recipe, x = around_abmil(easy_abmil(), mask_ratio_high=0.1), slide(0.1)
    seen = []
    embed = recipe.student.embed
    recipe.student.embed = lambda rows: (seen.append(rows), embed(rows))[1]
    losses = recipe.losses(x, 1, 0, 10)
    assert seen[0].equal(x[10:])
    assert (losses.kept, losses.total_instances) == (90, 100)


def test_loss_is_classification_and_weighted_consistency():
    recipe, x = around_abmil(easy_abmil(), mask_ratio_high=0.1), slide(0.1)
    recipe.student.eval()
    losses = recipe.losses(x, 1, 0, 10)
    student, teacher = recipe.student(x[10:]), recipe.teacher(x)
    wanted = -student.logits.log_softmax(0)[1]
    target = (teacher.embedding / 0.1).softmax(1)
    consistency = -(target * student.embedding.log_softmax(1)).sum()
    torch.testing.assert_close(losses.total, wanted + 0.1 * consistency)
    torch.testing.assert_close(losses.parts["consistency"], consistency.detach())


@pytest.mark.parametrize(("n", "kept"), [(19, 19), (20, 15), (1, 1)])
def test_a_bag_of_few_is_shown_whole(n: int, kept: int):
    losses = around_two_heads().losses(torch.rand(n, 4), 0, 0, 10)
    assert losses.kept == kept


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_a_bag_of_few_is_masked_where_asked_but_never_empty(n: int):
    recipe = around_two_heads(smallest_masked=1, mask_ratio_high=0.9)
    assert recipe.losses(torch.rand(n, 4), 0, 0, 10).kept == 1


def test_hidden_share_falls_along_a_cosine_where_asked():
    recipe = around_two_heads(high_schedule="cosine", mask_ratio_high=0.5)
    kept = [recipe.losses(torch.rand(100, 4), 0, step, 10).kept for step in range(10)]
    assert kept[0] == 50
    assert kept[5] == 75
    assert kept == sorted(kept)
    assert kept[-1] < 100  # at least one is hidden until the end, as in the paper


def test_hidden_share_stays_where_asked():
    recipe = around_two_heads(high_schedule="constant")
    kept = [recipe.losses(torch.rand(100, 4), 0, step, 10).kept for step in (0, 5, 9)]
    assert kept == [75, 75, 75]


@pytest.mark.parametrize(
    ("options", "share"),
    [({"momentum": 1.0}, 1.0), ({"momentum": 0.0}, 0.0), ({"momentum": 0.7}, 0.7)],
)
def test_teacher_follows_the_student(options: dict[str, float], share: float):
    recipe = around_two_heads(**options)
    nn.init.ones_(recipe.student.heads.bias)
    before = recipe.teacher.heads.bias.clone()
    recipe.after_step(0, 10)
    wanted = share * before + (1 - share) * torch.ones(2)
    torch.testing.assert_close(recipe.teacher.heads.bias, wanted)


def test_momentum_rises_to_one_where_asked():
    recipe = around_two_heads(momentum=0.0, momentum_schedule="cosine")
    nn.init.ones_(recipe.student.heads.bias)
    before = recipe.teacher.heads.bias.clone()
    recipe.after_step(5, 10)
    wanted = 0.5 * before + 0.5
    torch.testing.assert_close(recipe.teacher.heads.bias, wanted)


def test_teacher_gets_no_gradient():
    recipe = around_two_heads()
    recipe.losses(torch.rand(9, 4), 0, 0, 10).total.backward()
    assert all(p.grad is None for p in recipe.teacher.parameters())


@pytest.mark.parametrize("drops", [False, True])
def test_teacher_drops_values_only_where_asked(drops: bool):
    recipe = around_two_heads(teacher_dropout=drops)
    assert recipe.train().teacher.training == drops
    assert not recipe.eval().teacher.training
    assert recipe.train().student.training


@pytest.mark.parametrize("fusion", ["vote", "mean"])
def test_heads_agree_as_asked(fusion: str):
    recipe = around_two_heads(head_fusion=fusion, mask_ratio_high=0.3)
    x = torch.rand(40, 4)
    recipe.losses(x, 0, 0, 10)
    scores = recipe.teacher(x).scores
    wanted = {f: x[~high_mask(scores, 0.3, fusion=f)] for f in ("vote", "mean")}
    assert recipe.student.seen[-1].equal(wanted[fusion])
    assert not wanted["vote"].equal(wanted["mean"])


@pytest.mark.parametrize("layer", ["first", "last"])
def test_hides_by_the_attention_layer_the_model_is_built_with(layer: str):
    torch.manual_seed(0)
    sizes = {"hidden": 16, "heads": 2, "head_dim": 8, "landmarks": 4}
    model = transmil.build(4, 2, **sizes, attention_layer=layer)
    recipe, x = mhim.build(model, Config(**GIVEN)).eval(), torch.rand(40, 4)
    rows = {}
    for choice in ("first", "last"):
        other = transmil.build(4, 2, **sizes, attention_layer=choice).eval()
        other.load_state_dict(recipe.teacher.state_dict())
        rows[choice] = other(x).attention
    assert not torch.allclose(rows["first"], rows["last"], rtol=1e-2)
    # a teacher needs no gradient, and may take other kernels: the last bits differ
    torch.testing.assert_close(recipe.teacher(x).scores, rows[layer])
    kept = recipe._keep(x, recipe.teacher(x).scores, 0, 10)
    assert kept.equal(x[~high_mask(rows[layer], 0.25)])


@pytest.mark.parametrize(
    ("part", "options"),
    [
        ("high", {"high_keep_share": 0.5}),
        ("low", {"mask_ratio_high": 0.0, "mask_ratio_low": 0.25}),
        ("random", {"mask_ratio_high": 0.0, "mask_ratio_random": 0.25}),
    ],
)
def test_every_part_of_the_mask_is_there(part: str, options: dict[str, float]):
    recipe, x = around_two_heads(**options), torch.rand(40, 4)
    recipe.losses(x, 0, 0, 10)
    recipe.losses(x, 0, 0, 10)
    first, second = recipe.student.seen[-2:]
    assert len(first) == len(second) == 30
    assert first.equal(second) == (part == "low")  # chance has no part in that one
    # votes and mean ranks of two heads, as the mask has them
    low = low_mask(recipe.teacher(x).scores, 0.25)
    assert first.equal(x[~low]) == (part == "low")


def test_teacher_starts_as_the_student_where_asked():
    recipe = around_two_heads(momentum=1.0)
    student, teacher = recipe.student.state_dict(), recipe.teacher.state_dict()
    assert all(teacher[key].equal(student[key]) for key in student)


@pytest.mark.parametrize("whose", ["teacher", "student"])
def test_each_temperature_counts(whose: str):
    torch.manual_seed(1)
    x, total = torch.rand(40, 4), {}
    for value in (0.5, 2.0):
        recipe = around_two_heads(**{f"temperature_{whose}": value})
        total[value] = recipe.losses(x, 0, 0, 10).parts["consistency"].item()
        recipe = around_two_heads(
            **{f"temperature_{whose}": value, "consistency_weight": 0.0}
        )
        assert "consistency" not in recipe.losses(x, 0, 0, 10).parts
    assert total[0.5] != total[2.0]


def test_dropout_of_the_teacher_moves_its_scores():
    torch.manual_seed(0)
    x = torch.rand(40, 4)
    for drops in (False, True):
        model = abmil.build(4, 2, hidden=8)
        recipe = mhim.build(model, Config(**GIVEN, teacher_dropout=drops)).train()
        scores = [recipe._guide(x).scores for _ in range(2)]
        assert scores[0].equal(scores[1]) == (not drops)


def test_without_teacher_the_student_scores_for_itself_undisturbed():
    recipe = around_two_heads(scores_from="student")
    losses = recipe.train().losses(torch.rand(40, 4), 1, 0, 10)
    assert recipe.teacher is None
    assert recipe.student.training
    assert losses.kept == 30
    assert losses.parts.keys() == {"classification"}
    assert losses.total.item() == losses.parts["classification"].item()
    recipe.after_step(0, 10)


def test_without_consistency_the_loss_is_classification():
    losses = around_two_heads(consistency_weight=0.0).losses(torch.rand(9, 4), 1, 0, 10)
    assert losses.total.item() == losses.parts["classification"].item()


@pytest.mark.parametrize(
    ("student_init", "from_baseline"),
    [("none", set()), ("projection", {"projection"}), ("all", {"projection", "head"})],
)
def test_student_starts_from_as_much_of_the_baseline_as_asked(
    student_init: str, from_baseline: set[str]
):
    torch.manual_seed(1)
    baseline = abmil.build(4, 2, hidden=8)
    recipe = around_abmil(baseline, student_init=student_init)
    teacher, student = recipe.teacher.state_dict(), recipe.student.state_dict()
    weights = baseline.state_dict()
    assert all(teacher[key].equal(weights[key]) for key in weights)
    taken = {
        key.split(".")[0]
        for key in ("projection.0.weight", "head.weight")
        if student[key].equal(weights[key])
    }
    assert taken == from_baseline


@pytest.mark.parametrize(
    ("options", "needed"),
    [
        ({}, True),
        ({"student_init": "none"}, True),
        (GIVEN, False),
        ({**GIVEN, "student_init": "all"}, True),
        ({**GIVEN, "scores_from": "student", "teacher_init": "baseline"}, False),
    ],
)
def test_says_whether_it_needs_a_baseline(options: dict[str, Any], needed: bool):
    assert mhim.needs_baseline(Config(**options)) is needed


def test_refuses_to_start_without_the_baseline_it_needs():
    with pytest.raises(ConfigError, match="got none; train one with recipe 'plain'"):
        around_abmil(None)


@pytest.mark.parametrize(
    ("in_dim", "n_classes", "words"),
    [
        (5, 2, r"projection.0.weight is \(8, 5\) there and \(8, 4\) here"),
        (4, 3, r"head.bias is \(3,\) there and \(2,\) here"),
    ],
)
def test_refuses_a_baseline_of_another_width_or_class_count(
    in_dim: int, n_classes: int, words: str
):
    with pytest.raises(ConfigError, match=words):
        around_abmil(abmil.build(in_dim, n_classes, hidden=8))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mask_ratio_high": 1.0}, r"mask_ratio_high must be in \[0, 1\), got 1.0"),
        ({"mask_ratio_high": "most"}, r"mask_ratio_high must be in .* got 'most'"),
        ({"mask_ratio_low": -0.1}, r"mask_ratio_low must be in \[0, 1\), got -0.1"),
        ({"mask_ratio_random": float("nan")}, "mask_ratio_random must be in"),
        ({"high_keep_share": 0}, r"high_keep_share must be in \(0, 1\], got 0"),
        ({"momentum": 1.1}, r"momentum must be in \[0, 1\], got 1.1"),
        ({"consistency_weight": -1}, "consistency_weight must be 0 or more, got -1"),
        ({"temperature_teacher": 0}, "temperature_teacher must be above 0, got 0"),
        ({"smallest_masked": 0}, "smallest_masked must be 1 or more, got 0"),
        ({"instance_scores": "logits"}, "must be one of 'own', 'class', 'attention'"),
        ({"head_fusion": "sum"}, "must be one of 'vote', 'mean'; got 'sum'"),
        ({"scores_from": "student"}, "'auto' asks a trained teacher what is easy"),
    ],
)
def test_refuses_settings_that_cannot_be(options: dict[str, Any], words: str):
    with pytest.raises(ConfigError, match=words):
        Config(**options)


def test_refuses_to_guess_the_easy_share():
    recipe = around_abmil(easy_abmil())
    with pytest.raises(TrainingError, match="was not found yet"):
        recipe.losses(slide(0.1), 1, 0, 10)


def test_auto_lands_above_the_easy_share_and_says_how():
    recipe = around_abmil(easy_abmil())
    recipe.prepare([(slide(0.05), 1), (slide(0.1), 1), (slide(0.0), 0)])
    described = recipe.describe()
    assert 0.1 < described["mask_ratio_high"] < 0.3
    assert "2 training slides" in described["mask_ratio_high_found"]
    kept = recipe.losses(slide(0.1), 1, 0, 10).kept
    assert kept == 100 - -(-100 * described["mask_ratio_high"] // 1)


def test_auto_is_found_once():
    recipe = around_abmil(easy_abmil())
    recipe.prepare([(slide(0.05), 1)])
    found = recipe.describe()
    recipe.prepare([(slide(0.2), 1)])
    assert recipe.describe() == found


def test_a_given_ratio_is_not_looked_for():
    recipe = around_two_heads()
    recipe.prepare(iter(()))
    assert recipe.describe()["mask_ratio_high"] == 0.25
    assert recipe.describe()["mask_ratio_high_found"] == "given"


@pytest.mark.parametrize("kind", ["own", "attention"])
def test_hides_what_its_setting_calls_salient(kind: str):
    torch.manual_seed(0)
    config = Config(**{**GIVEN, "instance_scores": kind}, smallest_masked=1)
    recipe = mhim.build(dsmil.build(4, 2, hidden=8), config)
    x, seen = torch.randn(40, 4), []
    recipe.student.projection.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    recipe.losses(x, 1, 0, 10)
    output = recipe.teacher(x)
    salient = {
        "own": high_mask(output.scores, 0.25),
        "attention": high_mask(output.attention.amax(dim=0, keepdim=True), 0.25),
    }
    assert not torch.equal(salient["own"], salient["attention"])
    (kept,) = seen
    assert torch.equal(kept, x[~salient[kind]])
