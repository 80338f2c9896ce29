"""Presets: the papers' figures, and each one trains its model."""

from dataclasses import replace
from pathlib import Path

import pytest
from made_bags import CLASSES, make_bags
from made_models import small

from napari_mhim.errors import ConfigError
from napari_mhim.mil.config import TrainConfig, recipe_config
from napari_mhim.mil.presets import MANY_SLIDES, PRESETS, fits, names, preset
from napari_mhim.mil.train import FitDone, fit

# the authors' commands: random, low and high ratio, share of the high kept by chance,
# weight of the consistency loss, momentum schedule
COMMANDS = {
    "abmil-c16": (0.5, 0.0, 0.01, 0.5, 0.1, "constant"),
    "abmil-tcga": (0.7, 0.2, 0.02, 1.0, 0.5, "cosine"),
    "transmil-c16": (0.0, 0.8, 0.03, 0.5, 0.1, "cosine"),
    "transmil-tcga": (0.6, 0.2, 0.02, 1.0, 0.5, "constant"),
    "dsmil-c16": (0.5, 0.0, 0.01, 0.5, 0.1, "constant"),
    "dsmil-tcga": (0.7, 0.2, 0.02, 1.0, 0.5, "cosine"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_first_papers_runs_have_its_masks(name: str) -> None:
    config = preset(name)
    found = recipe_config(config)
    assert (
        found.mask_ratio_random,
        found.mask_ratio_low,
        found.mask_ratio_high,
        found.high_keep_share,
        found.consistency_weight,
        found.momentum_schedule,
    ) == COMMANDS[name]
    assert config.model == name.split("-")[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_first_papers_runs_have_its_teacher_and_loop(name: str) -> None:
    config = preset(name)
    found = recipe_config(config)
    assert (found.momentum, found.temperature_teacher) == (0.9999, 0.1)
    assert (found.student_init, found.teacher_init) == ("projection", "baseline")
    assert (found.high_schedule, found.teacher_dropout) == ("cosine", True)
    assert (config.lr, config.weight_decay, config.epochs) == (2e-4, 1e-5, 200)
    # an epoch's index must be above 130 or 70 for training to stop
    stops = {"c16": (30, 132), "tcga": (20, 72)}[name.split("-")[1]]
    assert (config.patience, config.min_epochs) == stops
    assert config.model_options["act"] == "relu"
    assert config.model_options["dropout"] == 0.25


@pytest.mark.parametrize("model", ["abmil", "transmil", "dsmil"])
def test_the_second_papers_runs_are_a_point_of_its_grid(model: str) -> None:
    config = preset(f"{model}-v2")
    found = recipe_config(config)
    assert found.mask_ratio_high in (0.01, 0.03, 0.05)
    assert found.stay_share in (0.8, 0.9)
    assert found.recycle_tokens in (1, 5, 10)
    assert (found.recycle_momentum, found.momentum) == (0.9999, 0.9997)
    assert (found.consistency_weight, found.student_init) == (0.5, "none")
    assert found.mask_ratio_random == found.mask_ratio_low == 0
    assert config.model_options["act"] == "gelu"


def test_transmil_looks_at_its_first_layer_with_eight_heads() -> None:
    options = preset("transmil-c16").model_options
    assert (options["heads"], options["attention_layer"]) == (8, "first")


def test_dtfd_takes_the_values_of_abmil_and_says_so() -> None:
    for data in ("c16", "tcga"):
        ours, theirs = preset(f"dtfd-{data}"), preset(f"abmil-{data}")
        assert ours.recipe_options == theirs.recipe_options
        assert "released none" in PRESETS[f"dtfd-{data}"].source


def test_the_recommended_settings_are_the_defaults_for_tens_of_slides() -> None:
    assert preset("recommended") == preset("recommended", 40) == TrainConfig()


def test_the_recommended_settings_follow_the_paper_with_hundreds() -> None:
    found = recipe_config(preset("recommended", MANY_SLIDES))
    assert (found.high_schedule, found.student_init) == ("cosine", "projection")
    assert found.mask_ratio_high == "auto"


def test_the_recommended_settings_fit_into_the_memory_there_is() -> None:
    assert preset("recommended", 40, 32 * 1024) == TrainConfig()
    most = [preset("recommended", n, 4 * 1024).max_instances for n in (40, 400)]
    assert most == [21_000, 21_000]
    assert preset("recommended", 40, 64).max_instances == 1000
    # the papers' runs are what they are
    assert preset("abmil-c16", 40, 4 * 1024) == preset("abmil-c16")


@pytest.mark.parametrize("name", names())
def test_a_preset_says_its_source_in_a_line_and_its_size(name: str) -> None:
    found = PRESETS[name]
    assert found.source
    assert "\n" not in found.source
    assert found.made_for > 10


def test_a_preset_for_hundreds_is_questioned_with_tens() -> None:
    assert "265 training slides, here are 30" in fits("abmil-c16", 30)
    assert fits("abmil-c16", 200) == fits("recommended", 30) == ""


def test_an_unknown_preset_is_answered_with_the_known() -> None:
    with pytest.raises(ConfigError, match=r"abmil_c16'.*mean 'abmil-c16'.*recommended"):
        preset("abmil_c16")


@pytest.mark.parametrize("name", names())
def test_a_preset_trains_its_model(name: str, tmp_path: Path) -> None:
    bags, config = make_bags(4), preset(name)
    # what a preset does not say is made small: widths are told apart in models' own tests
    options = {**small(config.model), **config.model_options}
    quick = {"epochs": 1, "device": "cpu", "threads": 1, "model_options": options}
    config = replace(config, **quick)
    events = list(fit(bags, [], CLASSES, config, tmp_path / "run"))
    assert isinstance(events[-1], FitDone)
