"""What CLAM's two forms promise beside the contract."""

from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from napari_mhim.errors import ConfigError
from napari_mhim.mil.models import clam_mb, clam_sb
from napari_mhim.mil.models._clam import Clam

FORMS = (clam_sb, clam_mb)
both_forms = pytest.mark.parametrize("form", FORMS)


def small(form: ModuleType, seed: int = 0, **options: Any) -> Clam:
    torch.manual_seed(seed)
    sizes = {"hidden": 7, "attention_dim": 4, "extremes": 2}
    built: Clam = form.build(5, 3, **{**sizes, **options})
    for parameter in built.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return built.double().eval()


def classifier(model: Clam, c: int) -> tuple[Tensor, Tensor]:
    """Give weight (D,) and bias () of the slide's classifier for one class."""
    head = model.heads[c] if hasattr(model, "heads") else model.head
    row = 0 if hasattr(model, "heads") else c
    return head.weight[row], head.bias[row]


@given(
    st.sampled_from(FORMS),
    st.integers(1, 12),
    st.integers(0, 2),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_equals_the_paper_written_out(
    form: ModuleType, n: int, label: int, exclusive: bool, seed: int
):
    model = small(form, seed, exclusive=exclusive)
    x = torch.randn(n, 5, dtype=torch.float64)
    output = model(x)
    h = torch.relu(model.projection[0](x))
    part = model.attention
    inner = torch.tanh(part.hidden(h)) * torch.sigmoid(part.gate(h))
    terms, logits, count = [], [], min(2, n // 2)
    for c in range(3):
        branch = c if form is clam_mb else 0
        raw = part.score(inner)[:, branch]
        weights = raw.exp() / raw.exp().sum()
        torch.testing.assert_close(output.attention[branch], weights.detach())
        weight, bias = classifier(model, c)
        logits.append(weight @ (weights[:, None] * h).sum(0) + bias)
        order = sorted(range(n), key=lambda i, raw=raw: -raw[i].item())
        judged = model.is_class[c](h).log_softmax(1)
        if c == label:
            terms += [-judged[i, 1] for i in order[:count]]
            terms += [-judged[i, 0] for i in order[n - count :]]
        elif exclusive:
            terms += [-judged[i, 0] for i in order[:count]]
    torch.testing.assert_close(output.logits, torch.stack(logits))
    slide = -torch.stack(logits).log_softmax(0)[label]
    wanted = 0.7 * slide + 0.3 * sum(terms) / len(terms) if terms else slide
    torch.testing.assert_close(model.loss(output, label), wanted)


@both_forms
def test_what_instances_add_to_a_class_sums_to_its_logit(form: ModuleType):
    model = small(form)
    output = model(torch.randn(9, 5, dtype=torch.float64))
    bias = torch.stack([classifier(model, c)[1] for c in range(3)])
    torch.testing.assert_close(
        output.class_logits.sum(dim=0), (output.logits - bias).detach()
    )


def test_contributions_sum_to_the_logits_with_a_single_branch():
    model = small(clam_sb)
    output = model(torch.randn(9, 5, dtype=torch.float64))
    summed = (output.attention.T * output.evidence).sum(dim=0)
    unbiased = (output.logits - model.head.bias).detach()
    torch.testing.assert_close(summed, unbiased - unbiased.mean())


@both_forms
def test_the_teacher_masks_by_the_largest_attention_of_any_branch(form: ModuleType):
    output = small(form)(torch.randn(9, 5, dtype=torch.float64))
    assert output.scores[0].equal(output.attention.max(dim=0).values)
    assert output.attention_scores.equal(output.scores)


def test_each_class_has_a_branch_of_its_own():
    model = small(clam_mb)
    output = model(torch.randn(9, 5, dtype=torch.float64))
    assert len(model.branches) == 3
    assert not output.attention[0].equal(output.attention[1])


@both_forms
@pytest.mark.parametrize("value", [1.5, -0.1])
def test_refuses_a_weight_that_is_no_share(form: ModuleType, value: float):
    with pytest.raises(ConfigError, match=r"instance_weight in \[0, 1\], got 2 and"):
        small(form, instance_weight=value)


@both_forms
def test_refuses_to_judge_no_instance(form: ModuleType):
    with pytest.raises(ConfigError, match=r"extremes must be at least 1 .* got 0 and"):
        small(form, extremes=0)
