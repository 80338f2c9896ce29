"""What a study compares: one recipe and its baseline, its parts, its masks, or a grid.

Torch-free. Every comparison begins with the plain baseline, which is trained once for
each fold and model, whatever the number of settings that start from it.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from napari_mhim import _parts
from napari_mhim._options import options
from napari_mhim.errors import ConfigError
from napari_mhim.mil.config import (
    RECIPES,
    TrainConfig,
    baseline_config,
    check_options,
    recipe_config,
)

ABLATIONS: Mapping[str, Mapping[str, Any]] = {
    "no consistency": {"consistency_weight": 0.0},
    "initialisation only": {"momentum": 1.0, "momentum_schedule": "constant"},
    "momentum only": {"teacher_init": "student"},
    "student copy": {"momentum": 0.0, "momentum_schedule": "constant"},
    "own scores": {"scores_from": "student"},
    "attention scores": {"instance_scores": "attention"},
    "no recycling": {"stay_share": 1.0},
}
"""Parts taken away one at a time, as in the paper: the teacher stays what it was
initialised with, starts as a copy of the student, is its copy at each step, or is not;
the last two are parts of MHIM-v2 alone."""
MASKS: Mapping[str, Mapping[str, Any]] = {
    "HAM": {"mask_ratio_low": 0.0, "mask_ratio_random": 0.0},
    "R-HAM": {"mask_ratio_low": 0.0, "mask_ratio_random": 0.5},
    "L-HAM": {"mask_ratio_low": 0.8, "mask_ratio_random": 0.0},
    "LR-HAM": {"mask_ratio_low": 0.2, "mask_ratio_random": 0.6},
}
"""The paper's masks: high attention alone, with random, with low, with both; the shares
are those of its runs (AB-MIL and TransMIL on CAMELYON16, TransMIL on TCGA)."""

# a repeat has its own seed; the others say where and not how
_NOT_VARIED = ("seed", "device", "threads", "model_options", "recipe_options")
_STAND_IN = 0.1


@dataclass(frozen=True)
class StudyConfig:
    """What is repeated and what is varied."""

    cv: int = 0
    """Folds of cross-validation, 2 or more; 0 takes one split into training and test."""
    repeats: int = 1
    """How often everything is repeated with another seed of folds and training, 1 or more."""
    val: float = 0.2
    """Share of each class's patients that validate, drawn from those not tested, in [0, 1)."""
    ablate: bool = False
    """Whether to take the recipe's parts away, one at a time."""
    ablate_masks: bool = False
    """Whether to compare the paper's masks: HAM, R-HAM, L-HAM, LR-HAM."""
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Settings to vary in all combinations: name to values, recipe.name for a recipe's option."""

    def __post_init__(self) -> None:
        if self.cv < 0 or self.cv == 1:
            raise ConfigError(f"cv must be 2 folds or more, or 0, got {self.cv}")
        if self.repeats < 1:
            raise ConfigError(f"repeats must be 1 or more, got {self.repeats}")
        if not 0 <= self.val < 1:
            raise ConfigError(f"val must be in [0, 1), got {self.val}")
        if self.ablate + self.ablate_masks + bool(self.grid) > 1:
            raise ConfigError(
                "a study compares parts (ablate), masks (ablate_masks) or a grid, and "
                "more than one was asked for; run one after the other"
            )

    @property
    def is_study(self) -> bool:
        """Whether anything is repeated or varied: else it is a single run."""
        is_varied = self.ablate or self.ablate_masks or bool(self.grid)
        return is_varied or self.cv > 0 or self.repeats > 1


@dataclass(frozen=True)
class Setting:
    """One way of training, one row of the study's table."""

    name: str
    """What it is called, unique in the study."""
    config: TrainConfig
    """Settings; each repeat puts its own seed in."""
    baseline: str = ""
    """Setting whose model it starts from, trained on the same fold; "" for none."""
    share_from: str = ""
    """Setting whose share of hidden instances it takes, fold by fold, "" for its own: a
    setting without a trained teacher has nobody to find one."""


def settings_of(config: TrainConfig, study: StudyConfig) -> tuple[Setting, ...]:
    """List what a study trains on each fold, in the order of training.

    Parameters
    ----------
    config : TrainConfig
        What is varied.
    study : StudyConfig
        How.

    Returns
    -------
    tuple of Setting
        The first is the baseline, with which the others are compared.

    Raises
    ------
    ConfigError
        If a name or value of the grid cannot be, or the recipe has no such parts.
    """
    if study.ablate:
        wanted = _changed(config, {"full": {}, **ABLATIONS})
    elif study.ablate_masks:
        wanted = _changed(config, MASKS)
    elif study.grid:
        wanted = _combined(config, study.grid)
    else:
        wanted = [(Setting(config.recipe, config), "")]
    return _with_baselines(wanted)


_Wanted = list[tuple[Setting, str]]
"""Settings, each with what tells its baseline from the baselines of others."""


def _changed(config: TrainConfig, changes: Mapping[str, Mapping[str, Any]]) -> _Wanted:
    """Make a setting of each change of the recipe's options that the recipe knows."""
    own = recipe_config(config)
    known = {option.name for option in fields(own)}
    is_auto = getattr(own, "mask_ratio_high", None) == "auto"
    found = []
    for name, change in changes.items():
        if not set(change) <= known:
            continue
        # class-aware scores are taken away where they are
        if "instance_scores" in change and own.instance_scores != "class":
            continue
        varied = {**config.recipe_options, **change}
        is_untaught = is_auto and not {"scores_from", "teacher_init"}.isdisjoint(change)
        if is_untaught:
            varied["mask_ratio_high"] = _STAND_IN
        share_from = "full" if is_untaught else ""
        setting = Setting(
            name, replace(config, recipe_options=varied), share_from=share_from
        )
        found.append((setting, ""))
    if not any(changes[setting.name] for setting, _ in found):
        raise ConfigError(
            f"recipe {config.recipe!r} has no parts to take away; recipe 'mhim' has"
        )
    return found


def _combined(config: TrainConfig, grid: Mapping[str, Sequence[Any]]) -> _Wanted:
    for name, values in grid.items():
        _check_axis(name, values)
    found = []
    for values in itertools.product(*grid.values()):
        point = dict(zip(grid, values, strict=True))
        apart = {k: v for k, v in point.items() if not k.startswith("recipe")}
        found.append((Setting(_said(point), _at(config, point)), _said(apart)))
    names = [setting.name for setting, _ in found]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigError(f"the grid has {twice!r} twice; name each value once")
    return found


def _said(point: Mapping[str, Any]) -> str:
    return ", ".join(f"{k.rpartition('.')[2]}={v}" for k, v in point.items())


def _at(config: TrainConfig, point: Mapping[str, Any]) -> TrainConfig:
    """Put one combination's values into the settings."""
    inner: dict[str, dict[str, Any]] = {
        "recipe": dict(config.recipe_options),
        "model": dict(config.model_options),
    }
    outer: dict[str, Any] = {}
    for name, value in point.items():
        part, _, option = name.partition(".")
        if option:
            inner[part][option] = value
        else:
            outer[name] = value
    return replace(
        config, recipe_options=inner["recipe"], model_options=inner["model"], **outer
    )


def _check_axis(name: str, values: Sequence[Any]) -> None:
    if not values:
        raise ConfigError(f"the grid names no value of {name!r}; give name=v1,v2")
    if name.startswith(("recipe.", "model.")):
        return
    kinds = {
        option.name: option.kind
        for option in options(TrainConfig)
        if option.name not in _NOT_VARIED
    }
    if name == "seed":
        raise ConfigError("the seed is varied by 'repeats', not by the grid")
    check_options("the grid", {name: values}, [*kinds, "recipe.…", "model.…"])
    for value in values:
        if not _fits(value, kinds[name]):
            wanted = getattr(kinds[name], "__name__", "text")
            raise ConfigError(f"{name} must be of kind {wanted}, got {value!r}")


def _fits(value: Any, kind: Any) -> bool:
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    if kind is float:
        return isinstance(value, int | float)
    # the choices of a Literal are words
    return isinstance(value, kind if kind in (int, str) else str)


def _with_baselines(wanted: _Wanted) -> tuple[Setting, ...]:
    """Put before each setting the baseline it starts from, each baseline once."""
    members: list[Setting] = []
    for setting, apart in wanted:
        if setting.config.recipe == "plain":
            _add(members, setting)
            continue
        plain = baseline_config(setting.config)
        asked = (other for other, _ in wanted)
        twin = _same(plain, (*members, *asked))
        if twin is None:
            twin = Setting(f"baseline ({apart})" if apart else "baseline", plain)
        _add(members, twin)
        part = _parts.load(RECIPES, setting.config.recipe)
        needs = part.needs_baseline(recipe_config(setting.config))
        is_given = bool(setting.config.start_from)
        baseline = twin.name if needs and not is_given else ""
        _add(members, replace(setting, baseline=baseline))
    return tuple(members)


def _same(config: TrainConfig, settings: Iterable[Setting]) -> Setting | None:
    return next((some for some in settings if some.config == config), None)


def _add(members: list[Setting], setting: Setting) -> None:
    if all(setting.name != other.name for other in members):
        members.append(setting)
