"""Every model of the folder goes through the same contract."""

from typing import Any

import pytest
import torch
from made_models import small
from torch import Tensor, nn

from napari_mhim import _parts
from napari_mhim.errors import ConfigError
from napari_mhim.mil.model import MILModel, MILOutput

MODELS = "napari_mhim.mil.models"
every_model = pytest.mark.parametrize("name", _parts.names(MODELS))


def build(name: str, in_dim: int = 24, n_classes: int = 2, **options: Any) -> MILModel:
    torch.manual_seed(0)
    built: MILModel = _parts.load(MODELS, name).build(in_dim, n_classes, **options)
    return built.eval()


# of these, the outcome depends on the order of the list; their own tests say how
MINDS_ORDER = {"dtfd", "transmil"}


def without_dropout(model: MILModel) -> MILModel:
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


def assert_contract(output: MILOutput, n: int, n_classes: int, model: MILModel) -> None:
    assert output.logits.shape == (n_classes,)
    assert output.embedding.ndim == 2
    assert output.scores.ndim == 2
    assert output.scores.shape[1] == n
    assert output.attention.shape == (len(model.branches), n)
    assert output.evidence.shape == (n, n_classes)
    torch.testing.assert_close(
        output.evidence.sum(dim=1), torch.zeros(n), atol=1e-4, rtol=0
    )
    detached = (output.scores, output.attention, output.evidence)
    assert not any(tensor.requires_grad for tensor in detached)
    assert all(tensor.isfinite().all() for tensor in (output.logits, *detached))


@every_model
@pytest.mark.parametrize("n", [1, 2, 7, 300])
@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_gives_every_part_of_the_output_in_train_and_eval_mode(
    name: str, n: int, n_classes: int
):
    model, x = build(name, n_classes=n_classes), torch.rand(n, 24)
    evaluated, trained = model(x), model.train()(x)
    assert_contract(evaluated, n, n_classes, model)
    assert_contract(trained, n, n_classes, model)
    assert type(evaluated) is type(trained)
    assert shapes(evaluated) == shapes(trained)


def shapes(output: MILOutput) -> dict[str, torch.Size]:
    return {k: v.shape for k, v in vars(output).items() if isinstance(v, Tensor)}


@every_model
@pytest.mark.parametrize("n_classes", [2, 4])
@torch.no_grad()
def test_a_part_is_judged_like_a_bag_of_its_own(name: str, n_classes: int):
    model = build(name, n_classes=n_classes)
    h = model.embed(torch.randn(60, 24))
    judge = model.parts(h)
    for share in (0.02, 0.3, 0.7, 1.0):
        kept = torch.rand(60) < share
        kept[7] = True
        wanted = model.probabilities(model.aggregate(h[kept]))
        assert judge(kept).tolist() == pytest.approx(wanted.tolist(), abs=1e-5)


@every_model
@pytest.mark.parametrize("in_dim", [1, 5, 1536])
def test_takes_features_of_any_width(name: str, in_dim: int):
    model = build(name, in_dim=in_dim)
    assert model(torch.rand(9, in_dim)).logits.shape == (2,)


@every_model
def test_train_and_eval_mode_give_the_same_output_without_chance(
    name: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch, "randperm", torch.arange)
    model, x = without_dropout(build(name)), torch.rand(11, 24)
    evaluated, trained = model(x), model.train()(x)
    torch.testing.assert_close(trained.logits, evaluated.logits)
    torch.testing.assert_close(trained.attention, evaluated.attention)
    torch.testing.assert_close(trained.evidence, evaluated.evidence)


@every_model
def test_embeds_each_row_by_itself(name: str):
    model, x = build(name), torch.rand(12, 24)
    rows = torch.tensor([8, 1, 5])
    torch.testing.assert_close(model.embed(x)[rows], model.embed(x[rows]))


@every_model
def test_minds_the_order_of_instances_only_where_it_says_so(name: str):
    model, x = build(name, n_classes=3).double(), torch.rand(40, 24).double()
    order = torch.randperm(40)
    one, other = model(x), model(x[order])
    is_same = torch.allclose(one.logits, other.logits, atol=1e-9)
    is_same &= torch.allclose(one.attention[:, order], other.attention, atol=1e-9)
    is_same &= torch.allclose(one.evidence[order], other.evidence, atol=1e-9)
    assert is_same == (name not in MINDS_ORDER)


@every_model
def test_has_its_input_layer_named_projection(name: str):
    model = build(name)
    assert any(key.startswith("projection.") for key in model.state_dict())


@every_model
def test_probabilities_sum_to_one(name: str):
    model = build(name, n_classes=3)
    probabilities = model.probabilities(model(torch.rand(6, 24)))
    assert probabilities.sum().item() == pytest.approx(1)
    assert (probabilities >= 0).all()


@every_model
@pytest.mark.parametrize("n", [1, 40])
def test_loss_reaches_the_weights(name: str, n: int):
    model = build(name, n_classes=3).train()
    model.loss(model(torch.rand(n, 24)), 2).backward()
    reached = [p.grad is not None and bool(p.grad.any()) for p in model.parameters()]
    assert any(reached)
    assert model.projection[0].weight.grad.any()


@every_model
def test_losses_of_all_classes_reach_every_weight(name: str):
    model, x = build(name, n_classes=3, **small(name)).train(), torch.randn(60, 24)
    sum(model.loss(model(x), label) for label in range(3)).backward()
    assert [key for key, p in model.named_parameters() if p.grad is None] == []


@every_model
@pytest.mark.parametrize("n", [1, 40])
def test_computes_in_half_precision(name: str, n: int):
    model, x = build(name).train(), torch.rand(n, 24)
    with torch.autocast("cpu", torch.bfloat16):
        output = model(x)
        loss = model.loss(output, 1)
        shared = {**vars(output), "evidence": output.evidence}
    loss.backward()
    assert loss.isfinite()
    assert model.projection[0].weight.grad.isfinite().all()
    assert all(v.isfinite().all() for v in shared.values() if isinstance(v, Tensor))
    halved = model.bfloat16().eval()(x.bfloat16())
    assert halved.logits.isfinite().all()
    assert halved.evidence.isfinite().all()


@every_model
def test_loss_falls_when_it_is_followed(name: str):
    model, x = without_dropout(build(name, **small(name))), torch.rand(30, 24)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(12):
        loss = model.loss(model(x), 1)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@every_model
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_classes": 1}, "n_classes must be at least 2, got 1"),
        ({"in_dim": 0}, "at least 1, got 0"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
        ({"act": "swish"}, "no activation named 'swish'; there are: relu, gelu, tanh"),
    ],
)
def test_refuses_what_cannot_be_built(name: str, options: dict[str, Any], words: str):
    with pytest.raises(ConfigError, match=words):
        build(name, **options)


@every_model
def test_weights_make_the_model(name: str):
    one, x = build(name), torch.rand(8, 24)
    torch.manual_seed(1)
    other = _parts.load(MODELS, name).build(24, 2).eval()
    assert not other(x).logits.equal(one(x).logits)
    other.load_state_dict(one.state_dict())
    assert other(x).logits.equal(one(x).logits)
