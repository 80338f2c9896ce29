"""What DTFD-MIL promises beside the contract."""

from collections.abc import Sequence
from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from napari_mhim.errors import ConfigError
from napari_mhim.mil.models import dtfd
from napari_mhim.mil.teacher import consistency_loss

WAYS = get_args(dtfd.Distil)
every_way = pytest.mark.parametrize("distil", WAYS)


def small(seed: int = 0, n_classes: int = 2, **options: Any) -> dtfd.DTFD:
    torch.manual_seed(seed)
    sizes = {"hidden": 7, "attention_dim": 4, "pseudo_bags": 3, "dropout": 0.0}
    model = dtfd.build(5, n_classes, **{**sizes, **options})
    for parameter in model.parameters():  # biases that matter, logits far apart
        nn.init.normal_(parameter, std=0.8)
    return model.double().eval()


def bag(n: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 5, dtype=torch.float64, generator=generator)


class WrittenOut:
    """Oracle: the paper's equations, one pseudo-bag and one instance after the other."""

    def __init__(self, model: dtfd.DTFD, x: Tensor, split: Sequence[int], distil: str):
        self.h = [torch.relu(model.projection[0].weight @ row) for row in x]
        n_bags = max(split) + 1
        members = [
            [i for i, b in enumerate(split) if b == bag] for bag in range(n_bags)
        ]
        self.first_logits, self.within = [], {}
        picked: list[tuple[int, Tensor]] = []  # of which pseudo-bag, and the feature
        for index, own in enumerate(members):
            weights = self.attention(model.first.attention, [self.h[i] for i in own])
            self.within.update(zip(own, weights, strict=True))
            pooled = sum(w * self.h[i] for w, i in zip(weights, own, strict=True))
            self.first_logits.append(model.first.head(pooled))
            likely = {i: self.likely(model, self.within[i] * self.h[i]) for i in own}
            for feature in self.distilled(distil, own, likely, pooled):
                picked.append((index, feature.detach()))
        shares = self.attention(model.second.attention, [f for _, f in picked])
        self.embedding = sum(s * f for s, (_, f) in zip(shares, picked, strict=True))
        self.logits = model.second.head(self.embedding)
        of_bag = [
            sum(s for s, (b, _) in zip(shares, picked, strict=True) if b == index)
            for index in range(n_bags)
        ]
        self.overall = [of_bag[split[i]] * self.within[i] for i in range(len(x))]

    def attention(self, part: nn.Module, rows: list[Tensor]) -> Tensor:
        raw = [
            part.score(torch.tanh(part.hidden(h)) * torch.sigmoid(part.gate(h)))[0]
            for h in rows
        ]
        total = sum(value.exp() for value in raw)
        return torch.stack([value.exp() / total for value in raw])

    def likely(self, model: dtfd.DTFD, activation: Tensor) -> Tensor:
        signal = [(row * activation).sum() for row in model.first.head.weight]
        total = sum(value.exp() for value in signal)
        return torch.stack([value.exp() / total for value in signal])

    def distilled(
        self, distil: str, own: list[int], likely: dict[int, Tensor], pooled: Tensor
    ) -> list[Tensor]:
        if distil == "aggregated":
            return [pooled]
        if distil == "most_attended":
            return [self.h[max(own, key=lambda i: self.within[i].item())]]
        first = 1 if distil == "max" else 0
        return [
            self.h[max(own, key=lambda i: likely[i][c].item())]
            for c in range(first, len(likely[own[0]]))
        ]

    def loss(self, label: int) -> Tensor:
        one = [-logits.log_softmax(0)[label] for logits in self.first_logits]
        return sum(one) / len(one) - self.logits.log_softmax(0)[label]


@given(
    st.integers(1, 14),
    st.integers(2, 4),
    st.integers(1, 5),
    st.sampled_from(WAYS),
    st.integers(0, 2**32),
)
def test_equals_the_paper_written_out(
    n: int, n_classes: int, pseudo_bags: int, distil: Any, seed: int
):
    model = small(seed, n_classes, pseudo_bags=pseudo_bags, distil=distil)
    x = bag(n, seed)
    split = [i % min(pseudo_bags, n) for i in range(n)]
    output, wanted = model(x), WrittenOut(model, x, split, distil)
    torch.testing.assert_close(output.logits, wanted.logits)
    torch.testing.assert_close(output.first_logits, torch.stack(wanted.first_logits))
    torch.testing.assert_close(output.embedding[0], wanted.embedding)
    torch.testing.assert_close(
        output.attention[0], torch.stack(wanted.overall).detach()
    )
    head = model.second.head.weight
    alone = torch.stack([head @ h for h in wanted.h]).detach()
    torch.testing.assert_close(output.evidence, alone - alone.mean(1, keepdim=True))


@given(
    st.lists(st.integers(0, 3), min_size=4, max_size=12),
    st.integers(0, 2),
    st.sampled_from(WAYS),
    st.integers(0, 2**32),
)
def test_trains_as_the_paper_written_out(
    others: list[int], label: int, distil: Any, seed: int
):
    split = [0, 1, 2, 3, *others]  # none is empty
    model = small(seed, 3, pseudo_bags=4, distil=distil).train()
    model.deal = lambda n, device: torch.tensor(split)
    x = bag(len(split), seed)
    loss = model.loss(model(x), label)
    wanted = WrittenOut(model, x, split, distil).loss(label)
    torch.testing.assert_close(loss, wanted)
    parameters = list(model.parameters())
    for ours, theirs in zip(
        torch.autograd.grad(loss, parameters),
        torch.autograd.grad(wanted, parameters),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 2**32))
def test_deals_alike_and_leaves_no_pseudo_bag_empty(
    n: int, pseudo_bags: int, seed: int
):
    model = small(seed, pseudo_bags=pseudo_bags)
    for dealt in (model.deal(n, "cpu"), model.train().deal(n, "cpu")):
        counts = dealt.bincount()
        assert len(counts) == min(n, pseudo_bags)
        assert counts.min() >= 1
        assert counts.max() - counts.min() <= 1


def test_deals_by_chance_in_training_only():
    model = small()
    assert model.deal(30, "cpu").equal(model.deal(30, "cpu"))
    model.train()
    assert not model.deal(30, "cpu").equal(model.deal(30, "cpu"))


@every_way
def test_order_within_a_pseudo_bag_does_not_matter(distil: Any):
    model, x = small(distil=distil), bag(30)
    order = torch.arange(30).view(10, 3)[torch.randperm(10)].flatten()
    one, other = model(x), model(x[order])
    torch.testing.assert_close(one.logits, other.logits)
    torch.testing.assert_close(one.attention[:, order], other.attention)


@every_way
def test_attention_sums_to_one_and_is_what_the_teacher_masks_by(distil: Any):
    output = small(distil=distil, n_classes=3)(bag(50))
    assert output.attention.sum().item() == pytest.approx(1)
    assert (output.attention > 0).all()
    assert output.scores.equal(output.attention)


@given(st.integers(1, 30), st.integers(2, 5), st.integers(0, 2**32))
def test_contributions_of_aggregated_pseudo_bags_sum_to_the_logits(
    n: int, n_classes: int, seed: int
):
    model = small(seed, n_classes)
    output = model(bag(n, seed))
    summed = (output.attention.T * output.evidence).sum(dim=0)
    unbiased = (output.logits - model.second.head.bias).detach()
    torch.testing.assert_close(summed, unbiased - unbiased.mean())


@every_way
def test_says_where_contributions_only_nearly_sum_to_the_logits(distil: Any):
    exact = "exact" if distil == "aggregated" else "approximate"
    assert small(distil=distil).evidence_kind == exact


def test_of_two_classes_max_min_sees_the_likeliest_and_the_least_likely_of_the_last():
    model, x = small(distil="max_min", pseudo_bags=1), bag(20)
    seen: list[Tensor] = []
    model.second.attention.register_forward_pre_hook(lambda _, args: seen.append(*args))
    model(x)
    h = model.embed(x)
    weights = model.first.attention(h).softmax(dim=0)
    likely = (weights * h @ model.first.head.weight.T).softmax(dim=1)[:, 1]
    extremes = [likely.argmin().item(), likely.argmax().item()]
    assert seen[0].equal(h[extremes])


@every_way
def test_picks_the_same_of_many_alike_in_single_precision(distil: Any):
    model = small(distil=distil, n_classes=3, pseudo_bags=2)
    x = torch.randn(50_000, 5, generator=torch.Generator().manual_seed(1))
    single = model.float()(x)
    torch.testing.assert_close(
        single.logits.double(), model.double()(x.double()).logits, atol=1e-5, rtol=1e-5
    )


@every_way
def test_the_second_tiers_loss_ends_at_what_was_distilled(distil: Any):
    model = small(distil=distil).train()
    output = model(bag(20))
    nn.functional.cross_entropy(output.logits[None], torch.tensor([1])).backward()
    assert model.second.head.weight.grad.any()
    assert model.second.attention.hidden.weight.grad.any()
    assert model.projection[0].weight.grad is None
    assert all(p.grad is None for p in model.first.parameters())


@every_way
def test_a_consistency_loss_reaches_the_projection(distil: Any):
    student, teacher = small(distil=distil).train(), small(1, distil=distil)
    asked, answered = student(bag(20)), teacher(bag(20))
    consistency_loss(asked.embedding, answered.embedding).backward()
    assert student.projection[0].weight.grad.any()
    assert student.second.attention.hidden.weight.grad.any()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pseudo_bags": 0}, "pseudo_bags must be at least 1, got 0"),
        ({"distil": "AFS"}, "one of 'aggregated', .*'max'; got 'AFS'"),
    ],
)
def test_refuses_what_cannot_be_built(options: dict[str, Any], words: str):
    with pytest.raises(ConfigError, match=words):
        small(**options)


def test_projects_without_bias_as_the_authors():
    assert "projection.0.bias" not in small().state_dict()
