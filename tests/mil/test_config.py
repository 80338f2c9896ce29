"""Settings: plain values, checked at the door, with the known names in the message."""

from dataclasses import asdict, fields
from json import dumps, loads

import pytest

from napari_mhim import _parts
from napari_mhim.errors import ConfigError, UnknownPartError
from napari_mhim.mil.config import RECIPES, TrainConfig, recipe_config


def test_settings_survive_json() -> None:
    config = TrainConfig(recipe_options={"mask_ratio_high": 0.05})
    assert TrainConfig(**loads(dumps(asdict(config)))) == config


@pytest.mark.parametrize("name", _parts.names(RECIPES))
def test_every_recipe_has_settings_with_defaults(name: str) -> None:
    options = recipe_config(TrainConfig(recipe=name))
    assert all(hasattr(options, field.name) for field in fields(options))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"epochs": 0}, "epochs must be 1 or more, got 0"),
        ({"accumulate": 0}, "accumulate must be 1 or more"),
        ({"lr": 0.0}, "lr must be above 0"),
        ({"lr": float("nan")}, "lr must be above 0"),
        ({"weight_decay": -1.0}, "weight_decay must be 0 or more"),
        ({"lr": float("inf")}, "lr must be a finite number, got inf"),
        ({"weight_decay": float("nan")}, "weight_decay must be a finite number"),
        ({"hint_weight": float("inf")}, "hint_weight must be a finite number"),
        ({"patience": -1}, "patience must be 0 or more"),
        ({"threads": -1}, "threads must be 0 or more"),
        ({"seed": -1}, "seed must be 0 or more"),
        ({"device": "gpu"}, "device must be one of auto, cpu, cuda, mps; got 'gpu'"),
        ({"balance": "yes"}, "balance must be one of sampling, loss, none"),
        ({"recipe_options": {"mask_ratio_high": 1.5}}, "mask_ratio_high"),
    ],
)
def test_impossible_settings_are_refused(
    changes: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        TrainConfig(**changes)


@pytest.mark.parametrize(
    ("option", "value", "wanted"),
    [
        ("consistency_weight", "lots", "a finite number"),
        ("temperature_student", float("inf"), "a finite number"),
        ("smallest_masked", 2.5, "a whole number"),
        ("recycle_tokens", "5", "a whole number"),
        ("teacher_dropout", "yes", "true or false"),
        ("head_fusion", 1, "a word"),
        ("mask_ratio_high", None, "a finite number or a word"),
    ],
)
def test_an_option_of_the_wrong_kind_is_refused(
    option: str, value: object, wanted: str
) -> None:
    sentence = f"{option} of recipe 'mhim_v2' must be {wanted}, got {value!r}"
    with pytest.raises(ConfigError, match=sentence):
        TrainConfig(recipe="mhim_v2", recipe_options={option: value})


def test_an_unknown_model_is_answered_with_the_known() -> None:
    with pytest.raises(UnknownPartError, match=r"no model named 'abml'; .*abmil"):
        TrainConfig(model="abml")


def test_an_unknown_recipe_is_answered_with_the_known() -> None:
    with pytest.raises(UnknownPartError, match=r"no recipe named 'magic'; .*plain"):
        TrainConfig(recipe="magic")


def test_an_unknown_option_is_answered_with_the_closest() -> None:
    with pytest.raises(
        ConfigError, match=r"recipe 'mhim' has no option 'mask_ratio_hi' .*_high'"
    ):
        TrainConfig(recipe_options={"mask_ratio_hi": 0.1})
    with pytest.raises(ConfigError, match=r"recipe 'plain' .*it has: none"):
        TrainConfig(recipe="plain", recipe_options={"teacher": 1})
