"""Mean and max pooling, against their one line each."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_mhim.mil.model import MILModel
from napari_mhim.mil.models import max as max_pool
from napari_mhim.mil.models import mean as mean_pool


def biased(model: MILModel) -> MILModel:
    torch.nn.init.normal_(model.head.bias)
    return model.double().eval()


@given(st.integers(1, 30), st.integers(2, 4), st.integers(0, 2**32))
def test_mean_is_the_mean_of_all_judgements(n: int, n_classes: int, seed: int):
    torch.manual_seed(seed)
    model = biased(mean_pool.build(6, n_classes, hidden=8))
    x = torch.randn(n, 6, dtype=torch.float64)
    output = model(x)
    judged = model.head(model.embed(x))
    torch.testing.assert_close(output.logits, judged.mean(dim=0))
    summed = (output.attention.T * output.evidence).sum(dim=0)
    unbiased = (output.logits - model.head.bias).detach()
    torch.testing.assert_close(summed, unbiased - unbiased.mean())


@given(st.integers(1, 30), st.integers(2, 4), st.integers(0, 2**32))
def test_max_is_the_highest_judgement_of_each_class(n: int, n_classes: int, seed: int):
    torch.manual_seed(seed)
    model = biased(max_pool.build(6, n_classes, hidden=8))
    x = torch.randn(n, 6, dtype=torch.float64)
    output = model(x)
    judged = model.head(model.embed(x)).detach()
    torch.testing.assert_close(output.logits.detach(), judged.max(dim=0).values)
    torch.testing.assert_close(
        (output.attention.T * judged).sum(0), output.logits.detach()
    )
    unbiased = judged - model.head.bias.detach()
    torch.testing.assert_close(
        output.evidence, unbiased - unbiased.mean(dim=1, keepdim=True)
    )


def test_teacher_masks_what_speaks_loudest():
    torch.manual_seed(0)
    model = biased(mean_pool.build(6, 3, hidden=8))
    output = model(torch.randn(9, 6, dtype=torch.float64))
    assert output.scores[0].equal(output.evidence.max(dim=1).values)
