"""Training that starts from weights that are there: a bundle, or another program's file.

They take the place of the baseline that a run would train for itself; or, in fine-tuning,
student and teacher of a bundle go on where they stood. The run's settings decide what the
model is; weights that were made for another one are refused.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_mhim import _parts
from napari_mhim.errors import (
    BundleError,
    ConfigError,
    FeatureMismatchError,
    MhimError,
)
from napari_mhim.mil.bags import Bag
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.config import MODELS, TrainConfig, Tune
from napari_mhim.mil.growing import grown
from napari_mhim.mil.importing import sha256_of
from napari_mhim.mil.model import MILModel
from napari_mhim.mil.official import look
from napari_mhim.mil.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Start:
    """Weights a run starts from."""

    weights: Mapping[str, Tensor]
    """Of the model, under its own names, on the CPU."""
    identity: str
    """Hash of the file, or of the bundle's weights and settings: a changed one differs."""
    teacher: Mapping[str, Tensor] | None = None
    """The teacher's, where fine-tuning goes on with one."""
    parent: Bundle | None = None
    """What fine-tuning goes on with."""


@dataclass(frozen=True)
class _Made:
    """What a model is, there or here."""

    model: str
    options: Mapping[str, Any]
    """Arguments of ``build``, defaults filled in."""
    in_dim: int
    n_classes: int


def read_start(config: TrainConfig, classes: Sequence[str], bag: Bag) -> Start:
    """Read the weights that ``config.start_from`` names.

    Parameters
    ----------
    config : TrainConfig
        Settings of the run.
    classes : sequence of str
        The run's classes, in order.
    bag : Bag
        One of the run's bags: they are all of one kind.

    Returns
    -------
    Start
        The student's weights.

    Raises
    ------
    ConfigError
        If they are of another model, width, number or names of classes, or settings; or
        the file does not say a setting that the run does not either.
    FeatureMismatchError
        If a bundle wants features of another encoder or scale.
    BundleError
        If the file or folder cannot be read.
    """
    path = Path(config.start_from)
    if not path.exists():
        raise BundleError(
            f"start_from names {str(path)!r}, which is not there; give a bundle's folder "
            "or a checkpoint"
        )
    run = _Made(config.model, _filled(config), bag.dim, len(classes))
    if path.is_dir():
        return _of_bundle(Bundle.open(path), run, classes, bag, config)
    if config.fine_tune:
        raise BundleError(
            f"fine-tuning goes on with a bundle, {str(path)!r} is a file; import it first"
        )
    return _of_checkpoint(path, run, config)


def take_up(recipe: Recipe, start: Start) -> None:
    """Put a bundle's student and teacher into a recipe; without a teacher, the student twice.

    Parameters
    ----------
    recipe : Recipe
        Of the same model, changed in place.
    start : Start
        The weights.
    """
    recipe.student.load_state_dict(start.weights)
    if recipe.teacher is not None:
        recipe.teacher.load_state_dict(start.teacher or start.weights)


def keep_still(model: MILModel, tune: Tune) -> None:
    """Let only part of a model learn.

    Parameters
    ----------
    model : MILModel
        The model, changed in place.
    tune : {"all", "aggregator", "head"}
        All; all but the projection; or the parts of ``MILModel.deciding``.

    Raises
    ------
    ConfigError
        If the model does not say which part of it is the head.
    """
    if tune == "aggregator":
        model.projection.requires_grad_(False)
    if tune != "head":
        return
    try:
        heads = [model.get_submodule(name) for name in model.deciding]
    except AttributeError as err:
        raise ConfigError(
            f"{type(model).__name__} does not say which part of it is the head; tune "
            "'aggregator' or 'all'"
        ) from err
    model.requires_grad_(False)
    for head in heads:
        head.requires_grad_(True)


def _of_bundle(
    bundle: Bundle,
    run: _Made,
    classes: Sequence[str],
    bag: Bag,
    config: TrainConfig,
) -> Start:
    kept, file = bundle.config, str(bundle.path)
    grows = config.fine_tune and set(kept.classes) < set(classes)
    options = _with_defaults(kept.model, kept.model_options)
    n_classes = len(classes) if grows else len(kept.classes)
    _refuse_other(file, _Made(kept.model, options, kept.in_dim, n_classes), run)
    if kept.classes != tuple(classes) and not grows:
        raise _mismatch(file, "classes", ", ".join(kept.classes), ", ".join(classes))
    try:
        bundle.check(bag)
    except FeatureMismatchError as err:
        raise FeatureMismatchError(
            f"the run cannot start from {file!r}: {err}"
        ) from err
    student = bundle.student().state_dict()
    if not config.fine_tune:
        return Start(student, bundle.id)
    teacher = bundle.teacher()
    states = [student, None if teacher is None else teacher.state_dict()]
    if grows:
        # student and teacher get the same fresh rows, and the same ones again on resuming
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            made = _parts.load(MODELS, kept.model).build(
                kept.in_dim, len(classes), **config.model_options
            )
        fresh = made.state_dict()
        states = [s and grown(s, fresh, kept.classes, classes) for s in states]
    assert states[0] is not None
    return Start(states[0], bundle.id, states[1], bundle)


def _of_checkpoint(path: Path, run: _Made, config: TrainConfig) -> Start:
    found = look(path)
    # what the file leaves open the run must say itself; its program's habits it may
    said = {
        unstated.option: config.model_options[unstated.option]
        for unstated in found.unstated
        if unstated.option in config.model_options
    }
    for unstated in found.unstated:
        if unstated.option not in said and found.model == run.model:
            known = (
                f", one of {', '.join(unstated.choices)}" if unstated.choices else ""
            )
            raise ConfigError(
                f"{str(path)!r} ({found.layout}) does not say its {unstated.option}; set "
                f"model option {unstated.option!r} (usually {unstated.usual}{known})"
            )
    options = dict(found.options) | said
    in_dim, n_classes = options.pop("in_dim"), options.pop("n_classes")
    made = _with_defaults(found.model, options)
    _refuse_other(str(path), _Made(found.model, made, in_dim, n_classes), run)
    return Start(found.student, sha256_of(path))


def _refuse_other(file: str, there: _Made, run: _Made) -> None:
    pairs: list[tuple[str, Any, Any]] = [
        ("model", there.model, run.model),
        ("length of features", there.in_dim, run.in_dim),
        ("number of classes", there.n_classes, run.n_classes),
    ]
    if there.model == run.model:
        pairs += [
            (f"model option {name!r}", value, run.options.get(name))
            for name, value in there.options.items()
            # what is dropped in training is each run's own choice
            if not name.endswith("dropout")
        ]
    for what, theirs, ours in pairs:
        if theirs != ours:
            raise _mismatch(file, what, theirs, ours)


def _mismatch(file: str, what: str, theirs: object, ours: object) -> ConfigError:
    return ConfigError(
        f"the run cannot start from {file!r}: its {what} is {theirs!r}, the run's is "
        f"{ours!r}; make them the same, or start from another"
    )


def _filled(config: TrainConfig) -> dict[str, Any]:
    return _with_defaults(config.model, config.model_options)


def _with_defaults(model: str, options: Mapping[str, Any]) -> dict[str, Any]:
    try:
        parameters = inspect.signature(_parts.load(MODELS, model).build).parameters
    except MhimError as err:
        raise BundleError(f"weights of model {model!r} cannot be used: {err}") from err
    defaults = {name: p.default for name, p in list(parameters.items())[2:]}
    return {**defaults, **options}
