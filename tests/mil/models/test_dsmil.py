"""What DSMIL promises beside the contract."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_mhim.mil.models import dsmil


def small(n_classes: int, seed: int = 0) -> dsmil.DSMIL:
    torch.manual_seed(seed)
    return dsmil.build(5, n_classes, hidden=7, query_dim=4).double().eval()


@given(st.integers(1, 12), st.integers(2, 4), st.integers(0, 2**32))
def test_equals_the_paper_written_out(n: int, n_classes: int, seed: int):
    model = small(n_classes, seed)
    x = torch.randn(n, 5, dtype=torch.float64)
    output = model(x)
    h = [torch.relu(model.projection[0](row)) for row in x]
    judged = [model.instance_classifier(row) for row in h]
    bags = []
    for c in range(n_classes):
        top = max(range(n), key=lambda i: judged[i][c].item())
        like = [model.query(h[top]) @ model.query(row) / 4**0.5 for row in h]
        weights = torch.stack(like).exp() / torch.stack(like).exp().sum()
        torch.testing.assert_close(output.attention[c], weights)
        bags.append(
            sum(w * model.value(row) for w, row in zip(weights, h, strict=True))
        )
    filters, bias = model.bag_classifier.weight, model.bag_classifier.bias
    logits = [
        sum(filters[o, c] @ bags[c] for c in range(n_classes)) + bias[o]
        for o in range(n_classes)
    ]
    torch.testing.assert_close(output.logits, torch.stack(logits))
    top_logits = torch.stack(judged).max(dim=0).values
    both = torch.stack([output.logits.softmax(0), top_logits.softmax(0)])
    torch.testing.assert_close(model.probabilities(output), both.mean(dim=0))
    losses = -torch.stack([output.logits, top_logits]).log_softmax(1)[:, 1]
    torch.testing.assert_close(model.loss(output, 1), losses.mean())


@given(st.integers(2, 4), st.integers(0, 2**32))
def test_evidence_is_what_a_bag_of_that_instance_alone_gets(n_classes: int, seed: int):
    model = small(n_classes, seed)
    x = torch.randn(6, 5, dtype=torch.float64)
    evidence = model(x).evidence
    torch.nn.init.zeros_(model.bag_classifier.bias)
    torch.nn.init.zeros_(model.instance_classifier.bias)
    for row, own in zip(x, evidence, strict=True):
        alone = model(row[None])
        both = (alone.logits + alone.top_logits) / 2
        torch.testing.assert_close((both - both.mean()).detach(), own)


def test_order_of_instances_does_not_matter():
    model, x = small(3), torch.rand(50, 5, dtype=torch.float64)
    order = torch.randperm(50)
    one, other = model(x), model(x[order])
    torch.testing.assert_close(one.logits, other.logits)
    torch.testing.assert_close(one.attention[:, order], other.attention)
    torch.testing.assert_close(one.scores[:, order], other.scores)


def test_has_an_attention_for_each_class_and_each_sums_to_one():
    model = small(3)
    attention = model(torch.rand(9, 5, dtype=torch.float64)).attention
    assert model.branches == ("class 0", "class 1", "class 2")
    assert attention.sum(dim=1).tolist() == [pytest.approx(1)] * 3


def test_teacher_masks_by_the_largest_instance_logit():
    output = small(3)(torch.rand(9, 5, dtype=torch.float64))
    assert output.scores[0].equal(output.instance_logits.max(dim=1).values)


def test_has_as_many_weights_as_the_authors_without_the_head_they_never_use():
    parameters = sum(p.numel() for p in dsmil.build(1024, 2).parameters())
    assert parameters == 873_734 - (512 * 2 + 2)
