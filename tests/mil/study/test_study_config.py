"""What a study compares: every setting once, each baseline once, bad grids refused."""

import itertools
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_bags import small_config

from napari_mhim.errors import ConfigError
from napari_mhim.mil.config import TrainConfig, baseline_config, recipe_config
from napari_mhim.mil.study.config import ABLATIONS, MASKS, StudyConfig, settings_of


def _names(config: TrainConfig, **study: Any) -> list[str]:
    return [setting.name for setting in settings_of(config, StudyConfig(**study))]


def test_a_recipe_is_compared_with_its_baseline() -> None:
    baseline, mhim = settings_of(small_config(), StudyConfig(cv=5))
    assert (baseline.name, mhim.name, mhim.baseline) == ("baseline", "mhim", "baseline")
    assert baseline.config == baseline_config(mhim.config)


def test_plain_training_is_its_own_baseline() -> None:
    config = small_config(recipe="plain", recipe_options={})
    (plain,) = settings_of(config, StudyConfig(cv=5))
    assert (plain.config, plain.baseline) == (config, "")


@pytest.mark.parametrize(("recipe", "apart"), [("mhim", 5), ("mhim_v2", 7)])
def test_an_ablation_changes_what_its_name_says_alone(recipe: str, apart: int) -> None:
    config = small_config(recipe=recipe)
    baseline, full, *others = settings_of(config, StudyConfig(ablate=True))
    assert (baseline.name, full.config) == ("baseline", config)
    assert len(others) == apart
    for setting in others:
        change = ABLATIONS[setting.name]
        assert setting.config.recipe_options == {**config.recipe_options, **change}


def test_whoever_has_no_trained_teacher_takes_the_share_the_full_method_found() -> None:
    config = small_config(recipe_options={})
    assert recipe_config(config).mask_ratio_high == "auto"
    found = settings_of(config, StudyConfig(ablate=True))
    takes = {setting.name for setting in found if setting.share_from == "full"}
    assert takes == {"momentum only", "own scores"}
    given_one = settings_of(small_config(), StudyConfig(ablate=True))
    assert not any(setting.share_from for setting in given_one)


def test_the_masks_are_the_papers() -> None:
    found = settings_of(small_config(), StudyConfig(ablate_masks=True))
    assert [setting.name for setting in found[1:]] == list(MASKS)
    ham, random, low, both = (recipe_config(setting.config) for setting in found[1:])
    assert ham.mask_ratio_random == ham.mask_ratio_low == 0
    assert random.mask_ratio_random > random.mask_ratio_low == 0
    assert low.mask_ratio_low > low.mask_ratio_random == 0
    assert both.mask_ratio_low > 0 < both.mask_ratio_random


@given(
    st.lists(st.floats(0.001, 0.5), min_size=1, max_size=3, unique=True),
    st.lists(st.floats(1e-5, 1e-2), min_size=1, max_size=3, unique=True),
)
def test_a_grid_has_all_combinations_and_a_baseline_for_each_loop(
    ratios: list[float], rates: list[float]
) -> None:
    grid = {"recipe.mask_ratio_high": ratios, "lr": rates}
    found = settings_of(small_config(), StudyConfig(grid=grid))
    varied = [s for s in found if s.config.recipe == "mhim"]
    points = {(s.config.recipe_options["mask_ratio_high"], s.config.lr) for s in varied}
    assert points == set(itertools.product(ratios, rates))
    baselines = [s for s in found if s.config.recipe == "plain"]
    assert sorted(s.config.lr for s in baselines) == sorted(rates)
    by_name = {s.name: s.config for s in found}
    assert len(by_name) == len(found)
    assert all(by_name[s.baseline] == baseline_config(s.config) for s in varied)


def test_a_plain_setting_of_the_grid_is_the_baseline_of_the_others() -> None:
    grid = {"recipe": ["mhim", "plain"]}
    config = small_config(recipe_options={})
    plain, mhim = settings_of(config, StudyConfig(grid=grid))
    assert (plain.name, mhim.name) == ("recipe=plain", "recipe=mhim")
    assert mhim.baseline == "recipe=plain"


def test_a_recipe_without_baseline_is_still_compared_with_one() -> None:
    own = {"mask_ratio_high": 0.1, "scores_from": "student", "student_init": "none"}
    baseline, mhim = settings_of(small_config(recipe_options=own), StudyConfig(cv=2))
    assert (baseline.name, mhim.baseline) == ("baseline", "")


def test_given_weights_take_the_place_of_the_baseline() -> None:
    config = small_config(start_from="elsewhere")
    baseline, mhim = settings_of(config, StudyConfig(cv=2))
    assert (baseline.config.start_from, mhim.baseline) == ("", "")


@pytest.mark.parametrize(
    ("grid", "sentence"),
    [
        ({"learning_rate": [1]}, "the grid has no option 'learning_rate'"),
        ({"epoch": [1]}, "did you mean 'epochs'"),
        ({"seed": [1, 2]}, "the seed is varied by 'repeats'"),
        ({"device": ["cpu"]}, "no option 'device'"),
        ({"epochs": [1, 1.5]}, "epochs must be of kind int, got 1.5"),
        ({"lr": ["fast"]}, "lr must be of kind float, got 'fast'"),
        ({"amp": [1]}, "amp must be of kind bool, got 1"),
        ({"balance": [True]}, "balance must be of kind"),
        ({"balance": ["never"]}, "balance must be one of"),
        ({"lr": []}, "names no value of 'lr'"),
        ({"lr": [0.1, 0.1]}, "has 'lr=0.1' twice"),
        ({"recipe.mask_ratio_hihg": [0.1]}, "did you mean 'mask_ratio_high'"),
        ({"recipe.mask_ratio_high": [1.5]}, r"mask_ratio_high must be in \[0, 1\)"),
        ({"model": ["abmill"]}, "no model named 'abmill'"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(
    grid: Mapping[str, Any], sentence: str
) -> None:
    with pytest.raises(Exception, match=sentence):
        settings_of(small_config(), StudyConfig(grid=grid))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"cv": 1}, "cv must be 2 folds or more, or 0, got 1"),
        ({"cv": -3}, "cv must be"),
        ({"repeats": 0}, "repeats must be 1 or more, got 0"),
        ({"val": 1.0}, r"val must be in \[0, 1\), got 1.0"),
        ({"ablate": True, "grid": {"lr": [1]}}, "more than one was asked for"),
        ({"ablate": True, "ablate_masks": True}, "more than one was asked for"),
    ],
)
def test_a_study_that_cannot_be_is_refused(
    values: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        StudyConfig(**values)


def test_plain_training_has_no_parts_to_take_away() -> None:
    config = small_config(recipe="plain", recipe_options={})
    for study in (StudyConfig(ablate=True), StudyConfig(ablate_masks=True)):
        with pytest.raises(ConfigError, match="'plain' has no parts to take away"):
            settings_of(config, study)


def test_one_run_is_no_study() -> None:
    assert not StudyConfig().is_study
    for changes in ({"cv": 2}, {"repeats": 2}, {"ablate": True}, {"grid": {"lr": [1]}}):
        assert StudyConfig(**changes).is_study
