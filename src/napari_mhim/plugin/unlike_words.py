"""The words of "unlike training": a distance, an agreement, and when either is a caution."""

from math import isfinite

from napari_mhim.mil.bundle_config import BundleConfig
from napari_mhim.mil.questions import Unlike
from napari_mhim.mil.unlike import Reference, is_caution, reference

UNLIKE = (
    "This slide looks unlike the training slides (stain, scanner or tissue). Do not rely on "
    "the score."
)
"""Only beyond the limit that is stated below it."""


def caution(found: Unlike, config: BundleConfig) -> str:
    """Say what to beware of, "" where there is nothing.

    Parameters
    ----------
    found : Unlike
        What the model answered.
    config : BundleConfig
        The model's settings.

    Returns
    -------
    str
        Rich text.
    """
    held = reference(config.distances)
    said = []
    if held is not None and isfinite(found.distance) and found.distance > held.limit:
        said.append(f"<b>{UNLIKE}</b>")
    if isfinite(found.agreement) and is_caution(
        found.agreement, config.agreement_errors
    ):
        said.append(
            "Teacher and student agree as little here as on slides the model got wrong in "
            "validation."
        )
    return " ".join(said)


def answer(found: Unlike, config: BundleConfig) -> str:
    """Say the distance against the model's own slides, and the agreement by its own name.

    Parameters
    ----------
    found : Unlike
        What the model answered.
    config : BundleConfig
        The model's settings.

    Returns
    -------
    str
        Rich text.
    """
    return f"{_distance(found.distance, config)} {_agreement(found.agreement, config)}"


def _distance(value: float, config: BundleConfig) -> str:
    if not isfinite(value):
        return "Distance to training: not known, the model keeps no training features."
    start = f"Distance to training: <b>{value:.2f}</b> standard deviations"
    held = reference(config.distances)
    if held is None:
        return f"{start}. This model does not say how far its own slides were."
    return f"{start}; {_against(held)}."


def _against(held: Reference) -> str:
    plural = "" if held.n == 1 else "s"
    slides = f"{held.n} {held.role} slide{plural}"
    middle = f"half of its {slides} are below {held.median:.2f}"
    if held.is_quantile:
        return f"{middle}, 95 % below {held.limit:.2f}"
    return f"{middle}, the farthest at {held.limit:.2f}"


def _agreement(value: float, config: BundleConfig) -> str:
    if not isfinite(value):
        return "This model has no teacher."
    kept = config.agreement_errors
    start = (
        f"Teacher–student agreement: <b>{value:.2f}</b> (1 = the same order of patches). "
        "Both can be wrong together."
    )
    if not kept:
        return f"{start} Whether it predicts errors was not assessed."
    return (
        f"{start} On {kept['n']} validation slides low agreement predicted "
        f"{kept['errors']} errors with AUROC {kept['auroc']:.2f}."
    )
