"""Which slides of a table may judge a model: those it has never learnt from.

A model knows the slides it was trained on by salted names, so this is known before any
slide is opened. What the model says goes before what the table says.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from napari_mhim.errors import CohortError, ConfigError
from napari_mhim.mil.bags import Bag
from napari_mhim.mil.bundle_config import BundleConfig
from napari_mhim.mil.cohort import NOT_TRAINED, ROLES, Cohort, CohortRow

Asked = Literal["test", "val", "train", "all"]
"""Which slides can be asked for."""
SEEN = ("train", "val")
"""Roles of slides that weights, epoch or cut-off come from."""


@dataclass(frozen=True)
class Choice:
    """The slides to judge a model by."""

    rows: tuple[CohortRow, ...]
    """The slides, in the table's order; each has one of the model's classes."""
    roles: tuple[str, ...]
    """What each was for the model: one of ``ROLES``."""
    notes: tuple[str, ...]
    """What was left out and what the figures do not show, a sentence each."""


def choose(cohort: Cohort, config: BundleConfig, asked: str = "test") -> Choice:
    """Choose the slides of a table that a model is judged by.

    A slide counts as seen in training if the model knows it, or knows another slide of
    its patient. A slide the model does not know has the role the table gives it, and is a
    test slide where the table gives none.

    Parameters
    ----------
    cohort : Cohort
        The labelled slides.
    config : BundleConfig
        The model's settings.
    asked : {"test", "val", "train", "all"}
        Which slides.

    Returns
    -------
    Choice
        The slides, one or more.

    Raises
    ------
    ConfigError
        If ``asked`` is no such role.
    CohortError
        If no slide is left, the table calls a slide held out that the model has learnt
        from, or a slide's label is not among the model's classes.
    """
    if asked not in get_args(Asked):
        raise ConfigError(
            f"role must be one of {', '.join(get_args(Asked))}; got {asked!r}"
        )
    roles = _roles(cohort, config)
    _refuse_leaks(cohort.rows, roles, config, asked)
    wanted = [row for row in cohort.rows if asked in (roles[row.slide], "all")]
    kept = [row for row in wanted if row.label and row.label not in NOT_TRAINED]
    if not kept:
        raise CohortError(_none_left(config, asked, Counter(roles.values())))
    _refuse_other_classes(kept, config)
    found = tuple(roles[row.slide] for row in kept)
    notes = _notes(config, asked, roles, found, len(wanted) - len(kept))
    return Choice(tuple(kept), found, notes)


def refuse_known(bag: Bag, config: BundleConfig, role: str) -> None:
    """Refuse a slide that the model has learnt from under another name.

    Parameters
    ----------
    bag : Bag
        The slide, with its fingerprint.
    config : BundleConfig
        The model's settings.
    role : str
        What the slide is taken for.

    Raises
    ------
    CohortError
        If it is taken for a test slide and is none.
    """
    known = config.role_of(bag.fingerprint, bag.fingerprint)
    if role == "test" and known in SEEN:
        raise CohortError(
            f"slide {bag.name!r} is a {_NAMES[known]} slide of model {config.name!r} "
            "under another name, by its fingerprint; take it out of the table"
        )


_NAMES = {"train": "training", "val": "validation", "test": "test"}


def _roles(cohort: Cohort, config: BundleConfig) -> dict[str, str]:
    """Give each slide's role for the model, its patient's other slides counted."""
    known = {row.slide: str(config.role_of(row.slide)) for row in cohort.rows}
    # a patient whose slides train and validate counts as trained on
    order = {"val": 0, "train": 1}
    by_patient: dict[str, str] = {}
    for row in sorted(cohort.rows, key=lambda row: order.get(known[row.slide], -1)):
        if known[row.slide] in SEEN:
            by_patient[row.patient] = known[row.slide]

    def role(row: CohortRow) -> str:
        if known[row.slide] in ROLES:
            return known[row.slide]
        return by_patient.get(row.patient) or row.role or "test"

    return {row.slide: role(row) for row in cohort.rows}


def _refuse_leaks(
    rows: Sequence[CohortRow], roles: dict[str, str], config: BundleConfig, asked: str
) -> None:
    leaks = [row for row in rows if row.role == "test" and roles[row.slide] in SEEN]
    if not leaks or asked != "test":
        return
    first, more = leaks[0], len(leaks) - 1
    named = f"{first.slide!r}" + (f" and {more} more" if more else "")
    raise CohortError(
        f"the table calls {named} held out, but for model {config.name!r} the slide, or "
        f"another of its patient, was a {_NAMES[roles[first.slide]]} slide; take the "
        "split saved with the model's run (splits.csv), or leave the roles out"
    )


def _refuse_other_classes(rows: Sequence[CohortRow], config: BundleConfig) -> None:
    others = [row for row in rows if row.label not in config.classes]
    if not others:
        return
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    raise CohortError(
        f"slide {others[0].slide!r}{more} is labelled {others[0].label!r}, but model "
        f"{config.name!r} knows {', '.join(config.classes)}; rename the label, or take "
        "the slide out"
    )


def _none_left(config: BundleConfig, asked: str, counts: Counter[str]) -> str:
    if asked == "all":
        return "no slide of the table has a label to judge by; fill in 'label'"
    there = ", ".join(f"{counts[role]} {role}" for role in ROLES if counts[role])
    return (
        f"no labelled slide of the table is a {_NAMES[asked]} slide of model "
        f"{config.name!r} (there are: {there}); give a table of other slides, or ask "
        "for another role"
    )


def _notes(
    config: BundleConfig,
    asked: str,
    roles: dict[str, str],
    found: tuple[str, ...],
    unlabelled: int,
) -> tuple[str, ...]:
    notes = []
    left_out = len(roles) - len(found) - unlabelled
    if left_out and asked == "test":
        notes.append(
            f"{left_out} slides that are not held out are left out: the model was "
            "trained or chosen on them, or on another slide of their patient."
        )
    if unlabelled:
        notes.append(f"{unlabelled} slides without a class to judge by are left out.")
    if seen := sum(role in SEEN for role in found):
        notes.append(
            f"{seen} of {len(found)} slides trained the model or chose its epoch and "
            "cut-off: the figures are flattering and say nothing about new slides."
        )
    if not config.roles:
        notes.append(
            f"Model {config.name!r} does not say which slides it was trained on: whether "
            "these are among them cannot be checked."
        )
    return tuple(notes)
