"""MHIM-v2: who is easy, what is recycled, and what stays out of the model."""

from typing import Any

import pytest
import torch
from made_bags import make_bag, make_bags, small_config
from torch import Tensor, nn

from napari_mhim.errors import ConfigError
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.masking import high_mask
from napari_mhim.mil.model import MILModel, MILOutput
from napari_mhim.mil.models import abmil, dsmil
from napari_mhim.mil.predict import Predictor
from napari_mhim.mil.recipes import mhim, mhim_v2
from napari_mhim.mil.recipes.mhim_v2 import Config
from napari_mhim.mil.recipes.mhim_v2.recycling import RecycleNetwork
from napari_mhim.mil.train import fit

GIVEN = {"mask_ratio_high": 0.25, "teacher_init": "student", "student_init": "none"}


def around_abmil(seed: int = 0, **options: Any) -> Any:
    torch.manual_seed(seed)
    model = abmil.build(4, 3, hidden=8, attention_dim=6)
    return mhim_v2.build(model, Config(**{**GIVEN, **options}))


def seen_by_student(recipe: Any, x: Tensor) -> Tensor:
    """Give what the student pools: instances that stay, then tokens."""
    seen = []
    aggregate = recipe.student.aggregate
    recipe.student.aggregate = lambda h: (seen.append(h), aggregate(h))[1]
    recipe.losses(x, 0, 0, 10)
    recipe.student.aggregate = aggregate
    return seen[0].detach()


def is_row_of(rows: Tensor, of: Tensor) -> Tensor:
    return (rows[:, None] == of).all(dim=2).any(dim=1)


@pytest.mark.parametrize(("share", "stay"), [(0.8, 24), (0.5, 15), (0.01, 1)])
@pytest.mark.parametrize("tokens", [1, 5])
def test_student_sees_those_that_stay_and_tokens_behind_them(
    share: float, stay: int, tokens: int
):
    recipe = around_abmil(stay_share=share, recycle_tokens=tokens)
    recipe.eval()
    x = torch.rand(40, 4)  # a quarter is hidden: 30 are left
    seen, h = seen_by_student(recipe, x), recipe.student.embed(x)
    assert is_row_of(seen, h).tolist() == [True] * stay + [False] * tokens


def test_those_that_stay_keep_the_bags_order():
    recipe, x = around_abmil().eval(), torch.rand(40, 4)
    seen, h = seen_by_student(recipe, x), recipe.student.embed(x)
    places = [int((h == row).all(dim=1).int().argmax()) for row in seen[:24]]
    assert places == sorted(set(places))


def test_chance_decides_anew_who_is_recycled():
    recipe, x = around_abmil(stay_share=0.5).eval(), torch.rand(40, 4)
    assert not seen_by_student(recipe, x).equal(seen_by_student(recipe, x))


def test_with_nothing_recycled_it_is_mhim_with_class_aware_scores():
    x = torch.rand(40, 4)
    second = around_abmil(stay_share=1.0).eval()
    config = mhim.Config(**GIVEN, consistency_weight=0.5, momentum=0.9997)
    torch.manual_seed(0)
    first = mhim.build(abmil.build(4, 3, hidden=8, attention_dim=6), config).eval()
    first.score_kind = "class"
    assert first.losses(x, 1, 0, 10).total.equal(second.losses(x, 1, 0, 10).total)


def test_hides_what_speaks_surely_for_any_class_and_not_what_draws_attention():
    recipe = around_abmil(mask_ratio_high=0.09, stay_share=1.0, smallest_masked=1)
    for parameter in recipe.teacher.parameters():
        nn.init.zeros_(parameter)
    with torch.no_grad():
        recipe.teacher.projection[0].weight[:3, :3] = torch.eye(3)
        recipe.teacher.attention.hidden.weight[0, 2] = 1.0
        recipe.teacher.attention.score.weight[0, 0] = 0.5  # the third draws attention
        recipe.teacher.head.weight[0, 0] = 1.0  # the first speaks for class 0
    x = torch.zeros(11, 4)
    x[3, 0], x[7, 2] = 1.0, 1.0
    recipe.eval()
    kept = recipe._keep(x, recipe.teacher(x).scores_by(recipe.score_kind), 0, 10)
    assert kept[:, 0].sum() == 0
    assert kept[:, 2].sum() == 1


@pytest.mark.parametrize("build", [abmil.build, dsmil.build])
def test_what_every_instance_says_alike_hides_nobody(build: Any):
    """The classifier's bias: the authors add that of class 0 to every class."""
    torch.manual_seed(0)
    model, x = build(4, 3, hidden=8), torch.rand(30, 4)
    before = model.eval()(x).scores_by("class")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in ("head.bias", "bag_classifier.bias"):
                parameter += torch.tensor([5.0, -5.0, 0.0])
    assert model(x).scores_by("class").equal(before)


def test_attention_decides_where_asked():
    recipe, x = around_abmil(instance_scores="attention").eval(), torch.rand(40, 4)
    scores = recipe.teacher(x).scores_by(recipe.score_kind)
    assert scores.equal(recipe.teacher(x).attention)
    assert not scores.equal(recipe.teacher(x).scores_by("class"))


@pytest.mark.parametrize("momentum", [0.0, 0.9, 1.0])
def test_queries_follow_the_tokens_of_a_bag_by_momentum(momentum: float):
    recipe = around_abmil(recycle_momentum=momentum, recycle_dropout=0.0)
    recipe.student.projection[2].p = 0.0
    before = recipe.recycle.queries.clone()
    tokens = seen_by_student(recipe, torch.rand(40, 4))[-5:]
    wanted = momentum * before + (1 - momentum) * tokens
    torch.testing.assert_close(recipe.recycle.queries, wanted)


def test_queries_stay_when_nothing_is_learned():
    recipe = around_abmil(recycle_momentum=0.0).eval()
    before = recipe.recycle.queries.clone()
    recipe.losses(torch.rand(40, 4), 0, 0, 10)
    assert recipe.recycle.queries.equal(before)


def test_recycle_network_learns_and_its_queries_do_not():
    recipe = around_abmil()
    recipe.losses(torch.rand(40, 4), 0, 0, 10).total.backward()
    assert all(p.grad.any() for p in recipe.recycle.parameters())
    assert not recipe.recycle.queries.requires_grad


def test_recycle_network_drops_values_in_training_alone():
    torch.manual_seed(0)
    network, rows = RecycleNetwork(8, 2, 0.9, dropout=0.5), torch.rand(9, 8)
    assert not network(rows).equal(network(rows))
    assert network.eval()(rows).equal(network(rows))


def test_order_of_what_is_recycled_does_not_matter():
    network, rows = RecycleNetwork(8, 3, 0.9, 0.0), torch.rand(20, 8)
    torch.testing.assert_close(network(rows), network(rows.flip(0)))


@pytest.mark.parametrize("width", [1, 7, 8, 512])
def test_recycle_network_fits_any_width(width: int):
    network = RecycleNetwork(width, 3, 0.9, 0.0)
    assert network(torch.rand(4, width)).shape == (3, width)


def test_queries_start_as_the_authors_do():
    torch.manual_seed(0)
    queries = RecycleNetwork(512, 10, 0.9, 0.0).queries
    assert 0.068 < queries.abs().max() < 0.0685


@pytest.mark.parametrize("n", [1, 2, 19])
def test_a_bag_of_few_is_shown_whole(n: int):
    recipe, x = around_abmil().eval(), torch.rand(n, 4)
    assert seen_by_student(recipe, x).equal(recipe.student.embed(x))


@pytest.mark.parametrize("n", [1, 2, 3, 7])
@pytest.mark.parametrize("ratio", [0.0, 0.9])
@pytest.mark.parametrize("momentum", [0.5, 1.0])
def test_what_crashes_the_authors_code_works(n: int, ratio: float, momentum: float):
    """A bag of one, recycling without a mask, queries that never move."""
    recipe = around_abmil(
        smallest_masked=1, mask_ratio_high=ratio, recycle_momentum=momentum
    )
    losses = recipe.losses(torch.rand(n, 4), 0, 0, 10)
    losses.total.backward()
    assert losses.total.isfinite()
    assert losses.kept >= 1


def test_what_predicts_has_no_recycle_network():
    recipe = around_abmil()
    assert any(key.startswith("recycle.") for key in recipe.state_dict())
    assert not any("recycle" in key for key in recipe.student.state_dict())
    assert recipe.student.state_dict().keys() == recipe.teacher.state_dict().keys()


def test_teacher_follows_the_student_alone():
    recipe = around_abmil(momentum=0.5)
    nn.init.ones_(recipe.student.head.bias)
    nn.init.zeros_(recipe.teacher.head.bias)
    recipe.after_step(0, 10)
    assert recipe.teacher.head.bias.tolist() == [0.5] * 3


class Folded(MILModel):
    """A model whose embedding ends in no linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.projection = nn.Unflatten(1, (1, 4))
        self.head = nn.Linear(4, 2)

    def embed(self, x: Tensor) -> Tensor:
        return super().embed(x)[:, 0]

    def aggregate(self, h: Tensor) -> MILOutput:
        even = torch.full((1, len(h)), 1 / len(h))
        return MILOutput(
            logits=self.head(h.mean(dim=0)),
            embedding=h.mean(dim=0, keepdim=True),
            scores=even,
            attention=even,
            weigh=lambda: self.head(h) - self.head(h).mean(dim=1, keepdim=True),
        )


class FoldedAndWide(Folded):
    width = 4


def test_a_model_that_does_not_say_how_wide_it_is_is_asked():
    with pytest.raises(ConfigError, match=r"Folded has no linear layer.*'width'"):
        mhim_v2.build(Folded(), Config(**GIVEN))


def test_a_model_that_says_so_works():
    recipe = mhim_v2.build(FoldedAndWide(), Config(**GIVEN))
    assert recipe.losses(torch.rand(40, 4), 1, 0, 10).total.isfinite()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stay_share": 0.0}, r"stay_share must be in \(0, 1\], got 0.0"),
        ({"recycle_tokens": 0}, "recycle_tokens must be 1 or more, got 0"),
        ({"recycle_momentum": 1.5}, r"recycle_momentum must be in \[0, 1\], got 1.5"),
        ({"recycle_dropout": 1.0}, r"recycle_dropout must be in \[0, 1\), got 1.0"),
        ({"instance_scores": "sum"}, "'class', 'attention'; got 'sum'"),
        ({"momentum": -1}, r"momentum must be in \[0, 1\], got -1"),
    ],
)
def test_refuses_settings_that_cannot_be(options: dict[str, Any], words: str):
    with pytest.raises(ConfigError, match=words):
        Config(**{**GIVEN, **options})


def test_a_bundle_shows_what_its_recipe_hides_by(tmp_path: Any):
    bags = make_bags(6)
    config = small_config(recipe="mhim_v2", epochs=1)
    done = list(fit(bags[:4], bags[4:], ("normal", "tumour"), config, tmp_path / "run"))
    bundle, bag = Bundle.open(done[-1].bundle_path), make_bag(20, 1)
    result = Predictor(bundle, "cpu").predict(bag)
    teacher = bundle.teacher("cpu")
    with torch.no_grad():
        scores = teacher(torch.from_numpy(bag.features)).scores_by("class")
    assert result.mask.tolist() == high_mask(scores, 0.1)[0:60].tolist()
    assert result.teacher_scores.tolist() == scores[0].float().tolist()
