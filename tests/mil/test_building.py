"""Models by name: options are checked before a model is made of them."""

from typing import Any

import pytest
import torch
from made_models import small

from napari_mhim import _parts
from napari_mhim.errors import ConfigError, UnknownPartError
from napari_mhim.mil.building import build_model, refuse_unbuildable
from napari_mhim.mil.config import MODELS


@pytest.mark.parametrize("name", _parts.names(MODELS))
def test_every_model_is_built_of_its_name(name: str) -> None:
    built = build_model(name, small(name), 6, 3)
    assert len(built(torch.rand(9, 6)).logits) == 3
    assert built.width == 16


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("abmil", {"hidden": "big"}, "hidden of model 'abmil' must be a whole number"),
        ("abmil", {"hidden": 2.5}, "must be a whole number, got 2.5"),
        ("abmil", {"hidden": True}, "must be a whole number, got True"),
        ("abmil", {"gated": "perhaps"}, "gated of .* must be true or false"),
        ("abmil", {"gated": 1}, "must be true or false, got 1"),
        ("abmil", {"dropout": "x"}, "dropout of .* must be a finite number, got 'x'"),
        ("abmil", {"dropout": float("nan")}, "must be a finite number, got nan"),
        ("abmil", {"act": 3}, "act of .* must be a word, got 3"),
        ("clam_sb", {"extremes": 1.5}, "extremes of .* must be a whole number"),
        ("dtfd", {"distil": 2}, "distil of .* must be a word, got 2"),
        ("dtfd", {"distil": "most"}, "distil must be one of 'aggregated'"),
        ("transmil", {"heads": None}, "heads of .* must be a whole number, got None"),
        ("mean", {"hiden": 3}, r"no option 'hiden' \(did you mean 'hidden'"),
    ],
)
def test_an_option_that_cannot_be_is_refused(
    name: str, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        build_model(name, options, 6, 2)


def test_an_unknown_model_is_answered_with_the_known() -> None:
    with pytest.raises(UnknownPartError, match=r"'abml'.*abmil"):
        build_model("abml", {}, 6, 2)


def test_asking_draws_no_random_number() -> None:
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    refuse_unbuildable("abmil", {"hidden": 8}, 6, 2)
    assert torch.rand(1) == wanted
