"""What single-branch CLAM promises beside the contract."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_mhim.errors import ConfigError
from napari_mhim.mil.models import clam_sb


def small(seed: int = 0, **options: Any) -> clam_sb.ClamSB:
    torch.manual_seed(seed)
    built = clam_sb.build(5, 3, hidden=7, attention_dim=4, extremes=2, **options)
    return built.double().eval()


@given(st.integers(1, 12), st.integers(0, 2), st.booleans(), st.integers(0, 2**32))
def test_equals_the_paper_written_out(n: int, label: int, exclusive: bool, seed: int):
    model = small(seed, exclusive=exclusive)
    x = torch.randn(n, 5, dtype=torch.float64)
    h = torch.relu(model.projection[0](x))
    part = model.attention
    inner = torch.tanh(part.hidden(h)) * torch.sigmoid(part.gate(h))
    raw = part.score(inner)[:, 0]
    weights = raw.exp() / raw.exp().sum()
    output = model(x)
    torch.testing.assert_close(output.attention[0], weights.detach())
    torch.testing.assert_close(output.logits, model.head((weights[:, None] * h).sum(0)))
    slide = -output.logits.log_softmax(0)[label]
    terms = []
    order = sorted(range(n), key=lambda i: -raw[i].item())
    count = min(2, n // 2)
    for c in range(3):
        judged = model.is_class[c](h).log_softmax(1)
        for i in order[:count]:
            if c == label:
                terms.append(-judged[i, 1])
            elif exclusive:
                terms.append(-judged[i, 0])
        if c == label:
            terms += [-judged[i, 0] for i in order[n - count :]]
    wanted = 0.7 * slide + 0.3 * sum(terms) / len(terms) if terms else slide
    torch.testing.assert_close(model.loss(output, label), wanted)


def test_contributions_sum_to_the_logits():
    model = small()
    output = model(torch.randn(9, 5, dtype=torch.float64))
    summed = (output.attention.T * output.evidence).sum(dim=0)
    unbiased = (output.logits - model.head.bias).detach()
    torch.testing.assert_close(summed, unbiased - unbiased.mean())


@pytest.mark.parametrize(
    "options", [{"instance_weight": 1.5}, {"instance_weight": -0.1}]
)
def test_refuses_a_weight_that_is_no_share(options: dict[str, float]):
    with pytest.raises(ConfigError, match=r"instance_weight in \[0, 1\], got 2 and"):
        small(**options)
