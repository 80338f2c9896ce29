"""Settings of masked hard instance mining; torch-free, so that a window can read them."""

from dataclasses import dataclass
from typing import Literal, get_args

from napari_mhim.errors import ConfigError

Fusion = Literal["vote", "mean"]
Schedule = Literal["cosine", "constant"]
ScoresFrom = Literal["teacher", "student"]
TeacherInit = Literal["baseline", "student"]
StudentInit = Literal["none", "projection", "all"]
InstanceScores = Literal["own", "class", "attention"]


@dataclass(frozen=True)
class Config:
    """How MHIM (ICCV 2023) trains.

    The paper's ablations are settings: *student copy* is ``momentum=0``,
    *initialisation only* ``momentum=1``, *momentum only*
    ``teacher_init="student"``, *no teacher* ``scores_from="student"``, *no consistency*
    ``consistency_weight=0``.

    Three defaults depart from the paper, for cohorts of tens of slides and not hundreds:
    the high ratio is found on the training slides and stays, where theirs is small and
    falls to 0 (a trace of easy tissue is enough to learn nothing else), and the student
    starts from all of the baseline (from the projection alone, tens of slides often do
    not bring it to the hard instances).
    """

    mask_ratio_high: float | Literal["auto"] = "auto"
    """Share of the bag hidden as easy, in [0, 1); ``"auto"`` finds it on the training slides."""
    high_schedule: Schedule = "constant"
    """Whether that share falls to 0 along a cosine, as in the paper, or stays."""
    high_keep_share: float = 1.0
    """Below 1, that many of ``mask_ratio_high / high_keep_share`` are hidden, by chance."""
    mask_ratio_low: float = 0.0
    """Share hidden as least salient, in [0, 1)."""
    mask_ratio_random: float = 0.0
    """Share hidden by chance, in [0, 1)."""
    instance_scores: InstanceScores = "own"
    """What is salient: the model's own score as published, how surely an instance speaks for
    any class, or its attention."""
    head_fusion: Fusion = "vote"
    """How the heads of a model with several agree on what is salient."""
    scores_from: ScoresFrom = "teacher"
    """Who decides what is salient: a momentum teacher, or the student itself."""
    teacher_init: TeacherInit = "baseline"
    """What the teacher starts from: a trained baseline, or a copy of the student."""
    momentum: float = 0.9999
    """Share of itself the teacher keeps at each step, in [0, 1]."""
    momentum_schedule: Schedule = "constant"
    """Whether that share rises to 1 along a cosine."""
    teacher_dropout: bool = False
    """Whether the teacher drops values too: the authors' code does, their paper does not."""
    student_init: StudentInit = "all"
    """What of the baseline the student starts from: nothing, its projection (paper), all."""
    consistency_weight: float = 0.1
    """Weight of the consistency loss beside the classification loss, 0 or more."""
    temperature_teacher: float = 0.1
    """Temperature of the teacher's bag feature, above 0; small is sharp."""
    temperature_student: float = 1.0
    """Temperature of the student's bag feature, above 0."""
    smallest_masked: int = 20
    """Smallest bag that is masked, 1 or more: one instance hidden of a few can be the label."""

    def __post_init__(self) -> None:
        _check_choices(self)
        if self.mask_ratio_high != "auto":
            check_range("mask_ratio_high", self.mask_ratio_high, "[0, 1)")
        check_range("mask_ratio_low", self.mask_ratio_low, "[0, 1)")
        check_range("mask_ratio_random", self.mask_ratio_random, "[0, 1)")
        check_range("high_keep_share", self.high_keep_share, "(0, 1]")
        check_range("momentum", self.momentum, "[0, 1]")
        check_above("consistency_weight", self.consistency_weight, or_zero=True)
        check_above("temperature_teacher", self.temperature_teacher)
        check_above("temperature_student", self.temperature_student)
        if self.smallest_masked < 1:
            raise ConfigError(
                f"smallest_masked must be 1 or more, got {self.smallest_masked}"
            )
        if self.mask_ratio_high == "auto" and not _has_trained_teacher(self):
            raise ConfigError(
                "mask_ratio_high='auto' asks a trained teacher what is easy; set "
                "teacher_init='baseline' and scores_from='teacher', or give a number"
            )


def needs_baseline(config: Config) -> bool:
    """Say whether a trained baseline must be given.

    Parameters
    ----------
    config : Config
        Settings.

    Returns
    -------
    bool
        True if teacher or student start from one.
    """
    return _has_trained_teacher(config) or config.student_init != "none"


def _has_trained_teacher(config: Config) -> bool:
    return config.scores_from == "teacher" and config.teacher_init == "baseline"


def _check_choices(config: Config) -> None:
    for name, choices in (
        ("high_schedule", Schedule),
        ("instance_scores", InstanceScores),
        ("head_fusion", Fusion),
        ("scores_from", ScoresFrom),
        ("teacher_init", TeacherInit),
        ("momentum_schedule", Schedule),
        ("student_init", StudentInit),
    ):
        check_choice(name, getattr(config, name), choices)


def check_choice(name: str, value: object, choices: object) -> None:
    """Raise ConfigError unless a value is one of a ``Literal``'s."""
    if value not in (known := get_args(choices)):
        raise ConfigError(
            f"{name} must be one of {', '.join(map(repr, known))}; got {value!r}"
        )


def check_range(name: str, value: object, interval: str) -> None:
    """Raise ConfigError unless a value is in ``"[0, 1)"``, ``"(0, 1]"`` or ``"[0, 1]"``."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if (
        not is_number
        or not 0 <= float(value) <= 1  # type: ignore[arg-type]
        or (value == 0 and interval.startswith("("))
        or (value == 1 and interval.endswith(")"))
    ):
        raise ConfigError(f"{name} must be in {interval}, got {value!r}")


def check_above(name: str, value: float, or_zero: bool = False) -> None:
    """Raise ConfigError unless a value is above 0, or 0 where that will do."""
    if not (value > 0 or (or_zero and value == 0)):
        least = "0 or more" if or_zero else "above 0"
        raise ConfigError(f"{name} must be {least}, got {value!r}")
