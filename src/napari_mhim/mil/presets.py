"""Named settings: the runs of the papers, and one default that needs no tuning. Torch-free.

The papers' runs are those of the authors' published commands, on bags of some ten
thousand patches: CAMELYON16 (C16) in three folds, TCGA lung in four. What our loop does
otherwise is said in ``recipes/mhim``; what their protocol does otherwise (on C16 they
validate on the test fold) is not repeated.

References
----------
Tang et al., "Multiple Instance Learning Framework with Masked Hard Instance Mining for
Whole Slide Image Classification", ICCV 2023, arXiv:2307.15254; "Multiple Instance Learning
Framework with Masked Hard Instance Mining", IJCV 2025, arXiv:2509.11526.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from napari_mhim.errors import ConfigError
from napari_mhim.mil.config import TrainConfig

RECOMMENDED = "recommended"
"""The preset that needs no tuning."""
MANY_SLIDES = 300
"""Labelled slides from which the recommended settings follow the paper's schedule."""
MANY_PATCHES = 50_000
"""Patches of a large slide: where a step on one fits, all of it is trained on."""
_BYTES_PER_PATCH = 100_000
"""Of a training step: 94 kB were measured with TransMIL, 61 kB with AB-MIL (docs/speed.md)."""


@dataclass(frozen=True)
class Preset:
    """Settings with a name and a source."""

    name: str
    """What it is called, for instance ``"abmil-c16"``."""
    made_for: int
    """Training slides it was made for, about."""
    source: str
    """One line: where its values come from, and what to know of them."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ``TrainConfig``; the rest keep their defaults."""


def preset(name: str, n_slides: int = 0, memory_mib: float = 0.0) -> TrainConfig:
    """Give the settings of a name.

    Parameters
    ----------
    name : str
        One of :func:`names`.
    n_slides : int
        Labelled slides there are, 0 when unknown; only the recommended settings ask:
        from ``MANY_SLIDES`` on they follow the paper's schedule, below they are the
        defaults, which suit tens of slides.
    memory_mib : float
        Memory of the computer, in MiB, 0 when unknown; only the recommended settings ask:
        a step sees no more patches than half of it holds, if a large slide has more.

    Returns
    -------
    TrainConfig
        The settings.

    Raises
    ------
    ConfigError
        If there is no such preset; the message names the closest and all.
    """
    if name not in PRESETS:
        close = difflib.get_close_matches(name, PRESETS, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise ConfigError(
            f"no preset named {name!r}{hint}; there are: {', '.join(PRESETS)}"
        )
    if name != RECOMMENDED:
        return TrainConfig(**PRESETS[name].values)
    own = _RECOMMENDED_MANY if n_slides >= MANY_SLIDES else {}
    fitting = int(memory_mib / 2 * 2**20 / _BYTES_PER_PATCH) // 1000 * 1000
    most = 0 if not memory_mib or fitting >= MANY_PATCHES else max(fitting, 1000)
    return TrainConfig(**own, max_instances=most)


def names() -> tuple[str, ...]:
    """List the presets, the recommended one first."""
    return tuple(PRESETS)


def fits(name: str, n_slides: int) -> str:
    """Say where a cohort is far from what a preset was made for.

    Parameters
    ----------
    name : str
        One of :func:`names`.
    n_slides : int
        Labelled slides there are.

    Returns
    -------
    str
        One sentence, "" where the preset fits.
    """
    made_for = PRESETS[name].made_for
    if name == RECOMMENDED or 3 * n_slides >= made_for:
        return ""
    return (
        f"Preset {name!r} was made for some {made_for} training slides, here are "
        f"{n_slides} slides in all: {RECOMMENDED!r} suits small cohorts better."
    )


# 200 epochs of Adam, bags drawn as they come; one epoch's index above theirs is the
# number of epochs done: with 130 they stop after 132 at the earliest
_LOOP: Mapping[str, Any] = {
    "lr": 2e-4,
    "weight_decay": 1e-5,
    "epochs": 200,
    "balance": "none",
}
_C16 = {**_LOOP, "patience": 30, "min_epochs": 132, "settle": 0.0}
_TCGA = {**_LOOP, "patience": 20, "min_epochs": 72, "settle": 0.0}
_V2 = {**_LOOP, "patience": 20, "min_epochs": 102, "settle": 0.0}

_MHIM = {
    "high_schedule": "cosine",
    "momentum": 0.9999,
    "teacher_init": "baseline",
    "teacher_dropout": True,
    "student_init": "projection",
    "temperature_teacher": 0.1,
    "temperature_student": 1.0,
    "smallest_masked": 1,
}
_R_HAM = {
    **_MHIM,
    "mask_ratio_random": 0.5,
    "mask_ratio_high": 0.01,
    "high_keep_share": 0.5,
    "consistency_weight": 0.1,
}
_LR_HAM = {
    **_MHIM,
    "mask_ratio_random": 0.7,
    "mask_ratio_low": 0.2,
    "mask_ratio_high": 0.02,
    "consistency_weight": 0.5,
    "momentum_schedule": "cosine",
}
_L_HAM_TRANSMIL = {
    **_MHIM,
    "mask_ratio_low": 0.8,
    "mask_ratio_high": 0.03,
    "high_keep_share": 0.5,
    "consistency_weight": 0.1,
    "momentum_schedule": "cosine",
}
_LR_HAM_TRANSMIL = {
    **_MHIM,
    "mask_ratio_random": 0.6,
    "mask_ratio_low": 0.2,
    "mask_ratio_high": 0.02,
    "consistency_weight": 0.5,
}
_MHIM_V2 = {
    "mask_ratio_high": 0.03,
    "high_schedule": "constant",
    "momentum": 0.9997,
    "teacher_dropout": True,
    "student_init": "none",
    "consistency_weight": 0.5,
    "instance_scores": "class",
    "stay_share": 0.8,
    "recycle_tokens": 5,
    "recycle_momentum": 0.9999,
    "smallest_masked": 1,
}
_RECOMMENDED_MANY: Mapping[str, Any] = {
    "settle": 0.1,
    "recipe_options": {"high_schedule": "cosine", "student_init": "projection"},
}

_RELU = {"act": "relu", "dropout": 0.25}
_GELU = {"act": "gelu", "dropout": 0.25}
_ABMIL = {"gated": False, "attention_act": "relu"}
_TRANSMIL = {"heads": 8, "attention_layer": "first"}


def _run(
    model: str,
    loop: Mapping[str, Any],
    model_options: Mapping[str, Any],
    recipe_options: Mapping[str, Any],
    recipe: str = "mhim",
) -> dict[str, Any]:
    return {
        **loop,
        "model": model,
        "model_options": dict(model_options),
        "recipe": recipe,
        "recipe_options": dict(recipe_options),
    }


# 398 slides in three folds; 1,053 slides in four folds with 13 % for validation; the
# same in five without
_N_C16, _N_TCGA, _N_V2 = 265, 687, 842
_NO_DTFD = "the authors released none around DTFD-MIL: their AB-MIL run's values"

_ALL = (
    Preset(
        RECOMMENDED,
        40,
        "ours: the defaults, for tens of slides; from 300 labelled slides the paper's "
        "start and decay (docs/architecture.md); patches of a step as memory allows",
    ),
    Preset(
        "abmil-c16",
        _N_C16,
        "ICCV 2023, README v1: R-HAM",
        _run("abmil", _C16, {**_RELU, **_ABMIL}, _R_HAM),
    ),
    Preset(
        "abmil-tcga",
        _N_TCGA,
        "ICCV 2023, README v1: LR-HAM; the published log has gated=true besides",
        _run("abmil", _TCGA, {**_RELU, **_ABMIL}, _LR_HAM),
    ),
    Preset(
        "transmil-c16",
        _N_C16,
        "ICCV 2023, README v1: L-HAM",
        _run("transmil", _C16, {**_RELU, **_TRANSMIL}, _L_HAM_TRANSMIL),
    ),
    Preset(
        "transmil-tcga",
        _N_TCGA,
        "ICCV 2023, README v1: LR-HAM; the published log has heads=2",
        _run("transmil", _TCGA, {**_RELU, **_TRANSMIL}, _LR_HAM_TRANSMIL),
    ),
    Preset(
        "dsmil-c16",
        _N_C16,
        "ICCV 2023, README v1: as AB-MIL's, which the authors call maybe not optimal",
        _run("dsmil", _C16, _RELU, _R_HAM),
    ),
    Preset(
        "dsmil-tcga",
        _N_TCGA,
        "ICCV 2023, README v1: as AB-MIL's, which the authors call maybe not optimal",
        _run("dsmil", _TCGA, _RELU, _LR_HAM),
    ),
    Preset("dtfd-c16", _N_C16, _NO_DTFD, _run("dtfd", _C16, _RELU, _R_HAM)),
    Preset("dtfd-tcga", _N_TCGA, _NO_DTFD, _run("dtfd", _TCGA, _RELU, _LR_HAM)),
    *(
        Preset(
            f"{model}-v2",
            _N_V2,
            "IJCV 2025, README v2: one point of the grid it searches (mask_ratio_high "
            ".01 .03 .05, stay_share .8 .9, recycle_tokens 1 5 10)",
            _run(model, _V2, {**_GELU, **own}, _MHIM_V2, "mhim_v2"),
        )
        for model, own in (("abmil", _ABMIL), ("transmil", _TRANSMIL), ("dsmil", {}))
    ),
)

PRESETS: Mapping[str, Preset] = {some.name: some for some in _ALL}
"""Name to preset, in the order they are listed."""
