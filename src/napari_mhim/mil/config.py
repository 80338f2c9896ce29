"""Settings of a training run, as plain values that any process can read without torch."""

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from napari_mhim import _parts
from napari_mhim.errors import ConfigError, UnknownPartError
from napari_mhim.settings import DEVICES

MODELS = "napari_mhim.mil.models"
"""Folder whose files are the models."""
RECIPES = "napari_mhim.mil.recipes"
"""Folder whose files are the training recipes."""

Balance = Literal["sampling", "loss", "none"]
Tune = Literal["all", "aggregator", "head"]


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained; the defaults are the authors', suited to small cohorts."""

    model: str = "abmil"
    """Which model: abmil, transmil, dsmil, dtfd, clam_sb, clam_mb, mean, max and others."""
    model_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the model's ``build``, plain values."""
    recipe: str = "mhim"
    """How it learns: plain, mhim or mhim_v2."""
    recipe_options: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the recipe's ``Config``, plain values; the rest keep their defaults."""
    start_from: str = ""
    """A bundle or another program's checkpoint whose weights are the baseline of a recipe
    that starts from one; empty trains a baseline first."""
    fine_tune: bool = False
    """Whether to go on with the student and teacher of the bundle that ``start_from`` names."""
    tune: Tune = "all"
    """What of the model learns: all, all but the projection of patches, or its last layer."""
    epochs: int = 100
    """Most passes over the training slides, 1 or more."""
    baseline_epochs: int = 0
    """The same for the baseline a recipe starts from; 0 takes ``epochs``."""
    lr: float = 2e-4
    """Adam's learning rate at the start; it falls to 0 along a cosine, per epoch."""
    weight_decay: float = 1e-5
    """Adam's L2 penalty, 0 or more."""
    patience: int = 20
    """Epochs without a better validation result after which training stops; 0: never."""
    settle: float = 0.5
    """Share of ``epochs`` before which none is kept for good and training never stops early."""
    min_epochs: int = 0
    """Epochs before which training never stops early, where that is later than ``settle`` says."""
    balance: Balance = "sampling"
    """How rare classes are helped: drawn as often as common ones, weighted in the loss, or not."""
    accumulate: int = 1
    """Bags whose gradients are averaged before a step of the optimiser, 1 or more."""
    seed: int = 0
    """Seed of weights, order, dropout and masks."""
    device: str = "auto"
    """One of ``auto``, ``cpu``, ``cuda``, ``mps``."""
    threads: int = 0
    """Threads of torch on the CPU; 0 takes the user's setting, once, and keeps it with the run."""
    amp: bool = False
    """Whether to compute in bfloat16 where the device is ``cuda``."""
    max_instances: int = 0
    """Most patches of a slide a training step sees, drawn anew each epoch; 0: all."""
    calibrate: bool = False
    """Whether to scale scores by a temperature fitted on the validation slides, 10 or more."""
    hint_weight: float = 0.0
    """Weight of the extra loss on patches inside regions named with a class; 0: off."""

    def __post_init__(self) -> None:
        for name in ("epochs", "accumulate"):
            if getattr(self, name) < 1:
                raise ConfigError(
                    f"{name} must be 1 or more, got {getattr(self, name)}"
                )
        not_negative = ("baseline_epochs", "patience", "min_epochs", "threads", "seed")
        for name in (*not_negative, "max_instances", "weight_decay", "hint_weight"):
            if getattr(self, name) < 0:
                raise ConfigError(
                    f"{name} must be 0 or more, got {getattr(self, name)}"
                )
        if not 0 <= self.settle <= 1:
            raise ConfigError(f"settle must be in [0, 1], got {self.settle}")
        if not self.lr > 0:
            raise ConfigError(f"lr must be above 0, got {self.lr}")
        for name in ("lr", "weight_decay", "hint_weight"):
            if not math.isfinite(value := getattr(self, name)):
                raise ConfigError(f"{name} must be a finite number, got {value}")
        if self.device not in DEVICES:
            raise ConfigError(
                f"device must be one of {', '.join(DEVICES)}; got {self.device!r}"
            )
        _check_choice(self, "balance", get_args(Balance))
        _check_choice(self, "tune", get_args(Tune))
        if self.fine_tune and not self.start_from:
            raise ConfigError("fine_tune goes on with a model; name it in start_from")
        check_part(MODELS, self.model)
        recipe_config(self)

    @property
    def settled(self) -> int:
        """Give the first epoch that can be kept for good, from 1."""
        return max(1, math.ceil(self.settle * self.epochs))


def recipe_config(config: TrainConfig) -> Any:
    """Give the recipe's own settings, made from ``recipe_options``.

    Parameters
    ----------
    config : TrainConfig
        Settings of the run.

    Returns
    -------
    dataclass
        An instance of the recipe's ``Config``; imports no torch.

    Raises
    ------
    UnknownPartError
        If there is no such recipe.
    ConfigError
        If an option is unknown, of the wrong kind or out of range.
    """
    kind = _parts.load(RECIPES, config.recipe).Config
    known = [option.name for option in fields(kind)]
    owner = f"recipe {config.recipe!r}"
    check_options(owner, config.recipe_options, known)
    check_kinds(owner, config.recipe_options, get_type_hints(kind))
    try:
        return kind(**config.recipe_options)
    except TypeError as err:
        raise ConfigError(f"an option of {owner} is of the wrong kind: {err}") from err


def baseline_config(config: TrainConfig) -> TrainConfig:
    """Give the settings of the plain stage that a recipe starts from.

    Parameters
    ----------
    config : TrainConfig
        Settings of the run.

    Returns
    -------
    TrainConfig
        The same model and loop, recipe ``"plain"``, for ``baseline_epochs``; it learns
        from no hints.
    """
    return replace(
        config,
        recipe="plain",
        recipe_options={},
        start_from="",
        fine_tune=False,
        tune="all",
        # a teacher that was told where the hard ones are finds them easy, and hides them
        hint_weight=0.0,
        epochs=config.baseline_epochs or config.epochs,
    )


def check_part(folder: str, name: str) -> None:
    """Refuse a part that is not in its folder, without importing any.

    Parameters
    ----------
    folder : str
        Dotted name of the package.
    name : str
        Wanted part.

    Raises
    ------
    UnknownPartError
        If it is not there; the message lists those that are.
    """
    if name not in (known := _parts.names(folder)):
        kind = folder.rpartition(".")[2].removesuffix("s")
        raise UnknownPartError(
            f"no {kind} named {name!r}; there are: {', '.join(known)}"
        )


def check_options(owner: str, options: Mapping[str, Any], known: list[str]) -> None:
    """Refuse options nobody knows.

    Parameters
    ----------
    owner : str
        Whose options they are, for the message: ``"recipe 'mhim'"``.
    options : mapping
        What was given.
    known : list of str
        What may be given.

    Raises
    ------
    ConfigError
        Naming the first unknown option, the closest known one and all of them.
    """
    for name in options:
        if name in known:
            continue
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        listed = ", ".join(known) or "none"
        raise ConfigError(f"{owner} has no option {name!r}{hint}; it has: {listed}")


def check_kinds(
    owner: str, options: Mapping[str, Any], kinds: Mapping[str, Any]
) -> None:
    """Refuse options whose value is of another kind than their type says.

    Parameters
    ----------
    owner : str
        Whose options they are, for the message: ``"recipe 'mhim'"``.
    options : mapping
        What was given.
    kinds : mapping
        Option to its type; what has none, or one that is not plain, is not looked at.

    Raises
    ------
    ConfigError
        Naming the first such option, what it must be and what came.
    """
    for name, value in options.items():
        kind = kinds.get(name, Any)
        parts = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
        # the choices of a Literal are words; which ones there are its owner says
        parts = tuple(str if get_origin(p) is Literal else p for p in parts)
        known = [part for part in parts if part in _KINDS]
        if len(known) == len(parts) and not any(_is_of(value, p) for p in known):
            wanted = " or ".join(_KINDS[part] for part in known)
            raise ConfigError(f"{name} of {owner} must be {wanted}, got {value!r}")


_KINDS: Mapping[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a finite number",
    str: "a word",
}


def _is_of(value: Any, kind: Any) -> bool:
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    if kind is float:
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, kind)


def _check_choice(config: object, name: str, choices: tuple[str, ...]) -> None:
    value = getattr(config, name)
    if value not in choices:
        raise ConfigError(f"{name} must be one of {', '.join(choices)}; got {value!r}")
