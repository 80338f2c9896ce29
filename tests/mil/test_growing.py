"""A model with one class more judges the old ones as before."""

import pytest
import torch
from torch import Tensor

from napari_mhim import _parts
from napari_mhim.errors import ConfigError
from napari_mhim.mil.config import MODELS
from napari_mhim.mil.growing import grown

OLD, NEW = ("normal", "tumour"), ("normal", "lymphoma", "tumour")
SMALL = {"dsmil_original": {}}


def pair(name: str, old: tuple[str, ...], new: tuple[str, ...]):
    build = _parts.load(MODELS, name).build
    options = SMALL.get(name, {"hidden": 16})
    torch.manual_seed(3)
    return build(12, len(old), **options).eval(), build(12, len(new), **options).eval()


@pytest.mark.parametrize(
    "name", [n for n in _parts.names(MODELS) if n != "dsmil_original"]
)
def test_old_classes_keep_their_logits(name: str) -> None:
    small, large = pair(name, OLD, NEW)
    large.load_state_dict(grown(small.state_dict(), large.state_dict(), OLD, NEW))
    x = torch.randn(30, 12)
    with torch.no_grad():
        before, after = small(x), large(x)
    torch.testing.assert_close(after.logits[[0, 2]], before.logits)


@pytest.mark.parametrize(
    "name", [n for n in _parts.names(MODELS) if n != "dsmil_original"]
)
def test_a_model_that_grows_by_two_keeps_them_too(name: str) -> None:
    new = ("a", "b", *OLD)
    small, large = pair(name, OLD, new)
    large.load_state_dict(grown(small.state_dict(), large.state_dict(), OLD, new))
    x = torch.randn(30, 12)
    with torch.no_grad():
        torch.testing.assert_close(large(x).logits[2:], small(x).logits)


def test_a_model_whose_outputs_are_not_its_classes_is_refused() -> None:
    small, large = pair("dsmil_original", OLD, NEW)
    with pytest.raises(ConfigError, match="cannot take another class"):
        grown(small.state_dict(), large.state_dict(), OLD, NEW)


def test_what_is_not_there_is_named() -> None:
    weights: dict[str, Tensor] = {"head.weight": torch.zeros(2, 4)}
    fresh = {"head.weight": torch.zeros(3, 4), "gate.bias": torch.zeros(1)}
    with pytest.raises(ConfigError, match=r"no weights 'gate\.bias'"):
        grown(weights, fresh, OLD, NEW)
