"""What the original DSMIL promises beside the contract."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from napari_mhim.errors import ConfigError
from napari_mhim.mil.models import dsmil_original


def build(n_classes: int = 2, **options: Any) -> dsmil_original.OriginalDSMIL:
    torch.manual_seed(0)
    sizes = {"hidden": 12, "query_dim": 4}
    return dsmil_original.build(5, n_classes, **{**sizes, **options}).eval()


@pytest.mark.parametrize("label", [0, 1])
def test_with_two_classes_the_loss_is_of_one_sigmoid(label: int):
    model = build()
    output = model(torch.rand(9, 5))
    streams = torch.stack([output.logits[1], output.top_logits[1]])
    expected = F.binary_cross_entropy_with_logits(
        streams, torch.full((2,), float(label))
    )
    torch.testing.assert_close(model.loss(output, label), expected)


def test_the_first_class_is_what_is_left():
    output = build(3)(torch.rand(9, 5))
    assert output.logits[0] == 0
    assert output.top_logits[0] == 0
    assert output.attention.shape == (2, 9)


def test_it_is_masked_by_the_largest_raw_logit():
    model, x = build(3), torch.randn(9, 5)
    raw = model.instance_classifier(model.embed(x))
    torch.testing.assert_close(model(x).scores[0], raw.amax(dim=1))


def test_a_bag_of_one_is_its_evidence():
    model, x = build(streams="bag"), torch.rand(1, 5)
    output = model(x)
    pushed = output.evidence[0, 1] - output.evidence[0, 0]
    torch.testing.assert_close(
        pushed + model.bag_classifier.bias[0], output.logits[1] - output.logits[0]
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"value": "gelu"},
            "value must be one of 'none', 'linear', 'relu'; got 'gelu'",
        ),
        ({"streams": "top"}, "streams must be one of 'both', 'bag'; got 'top'"),
    ],
)
def test_refuses_options_there_are_not(options: dict[str, Any], words: str):
    with pytest.raises(ConfigError, match=words):
        build(**options)
