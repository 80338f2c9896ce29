"""Settings of MHIM-v2; torch-free, so that a window can read them."""

from dataclasses import dataclass

from napari_mhim.errors import ConfigError
from napari_mhim.mil.recipes.mhim.config import Config as MhimConfig
from napari_mhim.mil.recipes.mhim.config import InstanceScores, check_range


@dataclass(frozen=True)
class Config(MhimConfig):
    """How MHIM-v2 (IJCV 2025) trains: the settings of MHIM, and two-step hiding.

    The ablations of MHIM are settings here too; *no class-aware probability* is
    ``instance_scores="attention"``, *no recycling* ``stay_share=1``.

    Three defaults depart from the authors' code as those of MHIM do, for cohorts of tens of
    slides: theirs are ``mask_ratio_high`` of .01, .03 or .05 and ``student_init="none"``,
    with the teacher dropping values (``teacher_dropout=True``).
    """

    momentum: float = 0.9997
    """Share of itself the teacher keeps at each step, in [0, 1]."""
    consistency_weight: float = 0.5
    """Weight of the consistency loss beside the classification loss, 0 or more."""
    instance_scores: InstanceScores = "class"
    """What is salient: how surely an instance speaks for any class, its attention, or the
    model's own score, as in MHIM."""
    stay_share: float = 0.8
    """Share of what the teacher leaves that stays as it is, in (0, 1]; the rest is recycled."""
    recycle_tokens: int = 5
    """Tokens the recycled instances become, 1 or more."""
    recycle_momentum: float = 0.9999
    """Share of themselves the global queries keep at each bag, in [0, 1]."""
    recycle_dropout: float = 0.1
    """Share of values the recycle network drops in training, in [0, 1)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("stay_share", self.stay_share, "(0, 1]")
        check_range("recycle_momentum", self.recycle_momentum, "[0, 1]")
        check_range("recycle_dropout", self.recycle_dropout, "[0, 1)")
        if self.recycle_tokens < 1:
            raise ConfigError(
                f"recycle_tokens must be 1 or more, got {self.recycle_tokens}"
            )
