"""Rules between a model and the one that goes on from it: fine-tuning, and a new cut-off.

The child keeps its parent's features, width and classes; it may add a class, never drop
one. What the parent learnt from can judge no child of it. Torch-free.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Literal

from napari_mhim import _parts
from napari_mhim.errors import CohortError, ConfigError
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.bundle_config import BundleConfig
from napari_mhim.mil.cohort import NOT_TRAINED, Cohort, CohortRow, class_order
from napari_mhim.mil.config import RECIPES, TrainConfig

HEAD_RATE = 2e-3
"""Learning rate of a head alone, chosen on two made cohorts of another stain: what gained on
four added slides (docs/results.md). With the whole model such a rate loses the old slides."""
GENTLE_RATE = 5e-5
"""Learning rate where more than the head learns."""
LEAST_PATIENTS = 10
"""Patients a class needs before it is added to a model."""
Checked = Literal["yes", "no", "unknown"]
"""Whether somebody has looked for an added class on the old slides."""


def fine_tuning(tune: str) -> dict[str, Any]:
    """Give what fine-tuning does in other ways than training anew, unless told.

    Parameters
    ----------
    tune : str
        What of the model learns, one of ``config.Tune``.

    Returns
    -------
    dict
        Fields of ``TrainConfig``.
    """
    return {
        "lr": HEAD_RATE if tune == "head" else GENTLE_RATE,
        **{"epochs": 30, "patience": 10},
        # the parent has settled already: any epoch may be the best
        "settle": 0.0,
    }


def tuned_config(bundle: Bundle, given: Mapping[str, Any] | None = None) -> TrainConfig:
    """Give the settings to fine-tune a model with: its own, trained more gently.

    Parameters
    ----------
    bundle : Bundle
        The parent.
    given : mapping, optional
        Fields of ``TrainConfig`` that are asked for; they go over the parent's. The model
        and its width cannot change.

    Returns
    -------
    TrainConfig
        Model, recipe and recipe options of the parent, the share it hides included.

    Raises
    ------
    ConfigError
        If another model or another of its options is asked for.
    """
    config, asked = bundle.config, dict(given or {})
    options = dict(config.model_options)
    for name, kept in (("model", config.model), ("model_options", options)):
        wanted = asked.pop(name, kept)
        if name == "model_options":
            wanted = {**options, **wanted}
            # what is dropped in training is each run's own choice
            dropouts = {k: v for k, v in wanted.items() if k.endswith("dropout")}
            kept = options = {**options, **dropouts}
        if wanted != kept:
            raise ConfigError(
                f"fine-tuning goes on with the {name} of {bundle.name!r}, {kept!r}, and "
                f"cannot change to {wanted!r}; leave it out, or train a new model"
            )
    recipe = asked.pop("recipe", _own_recipe(config))
    own = _recipe_options(config, recipe) if recipe == config.recipe else {}
    own.update(asked.pop("recipe_options", {}))
    return TrainConfig(
        **{
            **fine_tuning(asked.get("tune", "all")),
            **asked,
            "model": config.model,
            "model_options": options,
            "recipe": recipe,
            "recipe_options": own,
            "start_from": str(bundle.path),
            "fine_tune": True,
        }
    )


def child_classes(parent: BundleConfig, labels: Iterable[str]) -> tuple[str, ...]:
    """Give the child's classes: the parent's, new ones before the class of interest.

    Parameters
    ----------
    parent : BundleConfig
        The parent's settings.
    labels : iterable of str
        Labels of the slides; "" and those nobody trains on do not count.

    Returns
    -------
    tuple of str
        The parent's classes in their order; its class of interest stays the last.

    Raises
    ------
    CohortError
        If a class is new and the parent's class of interest is not its last.
    """
    known = {*parent.classes, *NOT_TRAINED, ""}
    new = class_order(set(labels) - known)
    if not new:
        return parent.classes
    if parent.target_index != len(parent.classes) - 1:
        raise CohortError(
            f"class {new[0]!r} cannot be added to model {parent.name!r}: its class of "
            "interest is not its last; train a new model with all classes"
        )
    return (*parent.classes[:-1], *new, parent.classes[-1])


def refuse_new_class(
    table: Cohort, parent: BundleConfig, n_mixed: int, checked: Checked = "unknown"
) -> None:
    """Refuse a class added on too few patients, or against slides nobody has checked for it.

    Parameters
    ----------
    table : Cohort
        All slides the child is to learn from.
    parent : BundleConfig
        The parent's settings.
    n_mixed : int
        Slides of the parent's own cohort among them.
    checked : {"yes", "no", "unknown"}
        Whether somebody has looked for the class on those slides.

    Raises
    ------
    CohortError
        With what to do instead.
    """
    for name in table.classes:
        if name in parent.classes:
            continue
        patients = {row.patient for row in table.rows if row.label == name}
        if len(patients) < LEAST_PATIENTS:
            raise CohortError(
                f"class {name!r} is new to model {parent.name!r} and has "
                f"{len(patients)} patients, adding it needs {LEAST_PATIENTS}; train a "
                f"separate yes / no model ({name} or not) for it, or add patients"
            )
        if n_mixed and checked != "yes":
            raise CohortError(
                f"the {n_mixed} old slides may hold {name!r} unlabelled (checked for it: "
                f"{checked}), and would teach the model to miss it; look through them "
                "and say so (old slides checked: yes), or train without them"
            )


def with_known_roles(table: Cohort, parent: BundleConfig) -> Cohort:
    """Give slides without a role the one they must have: what the parent learnt from, trains.

    Parameters
    ----------
    table : Cohort
        The child's slides.
    parent : BundleConfig
        The parent's settings.

    Returns
    -------
    Cohort
        The same, with ``train`` where a role was open and the parent was trained on the
        slide or another of its patient.
    """
    learnt = {r.patient for r in table.rows if parent.role_of(r.slide) == "train"}
    rows = tuple(
        replace(row, role="train") if row.patient in learnt and not row.role else row
        for row in table.rows
    )
    return replace(table, rows=rows)


def refuse_learnt(
    rows: Iterable[CohortRow],
    parent: BundleConfig,
    fingerprints: Mapping[str, str] | None = None,
) -> None:
    """Refuse slides that judge the child although its parent has learnt from them.

    Parameters
    ----------
    rows : iterable of CohortRow
        The child's slides with roles.
    parent : BundleConfig
        The parent's settings.
    fingerprints : mapping of str to str, optional
        Slide's name to its fingerprint: finds renamed files too.

    Raises
    ------
    CohortError
        Naming the slide.
    """
    rows, prints = tuple(rows), fingerprints or {}
    known = {r.slide: parent.role_of(r.slide, prints.get(r.slide, "")) for r in rows}
    learnt = {row.patient: row.slide for row in rows if known[row.slide] == "train"}
    for row in rows:
        role = known[row.slide]
        if row.role in ("val", "test") and row.patient in learnt:
            own = role == "train"
            why = "it" if own else f"{learnt[row.patient]!r} of the same patient"
            raise CohortError(
                f"slide {row.slide!r} cannot be a {row.role} slide: model "
                f"{parent.name!r} was trained on {why}; make it a train slide, or leave "
                "it out"
            )
        if row.role == "test" and role == "val":
            raise CohortError(
                f"slide {row.slide!r} cannot be a test slide: model {parent.name!r} was "
                "chosen on it; make it a val or train slide, or leave it out"
            )


def refuse_confounded(added: Sequence[CohortRow], others: Sequence[CohortRow]) -> None:
    """Refuse slides whose site gives their class away.

    Parameters
    ----------
    added : sequence of CohortRow
        The new training slides.
    others : sequence of CohortRow
        Those of the old cohort they are mixed with.

    Raises
    ------
    CohortError
        If every slide of a new site, or every added slide where no site is given, is of one
        class; the message holds the table of classes and sites.
    """
    old = {row.site for row in others} - {""}
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in added:
        if row.label and row.label not in NOT_TRAINED and row.site not in old:
            counts[row.site][row.label] += 1
    for site, found in counts.items():
        if len(found) > 1:
            continue
        name, n = next(iter(found.items()))
        whose = f"of site {site!r} " if site else "that is added "
        table = "; ".join(
            f"{place or 'no site'}: " + ", ".join(f"{n} {c}" for c, n in some.items())
            for place, some in counts.items()
        )
        way_out = f"add slides of another class from {site!r}"
        if not site:
            way_out = "add slides of another class, or fill in the column 'site'"
        raise CohortError(
            f"every slide {whose}is {name!r} ({n} of {n}; {table}): the model would learn "
            f"the scanner or stain and not the disease; {way_out}"
        )


def mixed(
    table: Cohort, old: Cohort, parent: BundleConfig
) -> tuple[Cohort, tuple[str, ...]]:
    """Add the parent's own slides to the child's, each in the role it had.

    Parameters
    ----------
    table : Cohort
        The child's slides, with roles.
    old : Cohort
        Slides of the parent's cohort.
    parent : BundleConfig
        The parent's settings.

    Returns
    -------
    tuple of Cohort and tuple of str
        All slides, and the names of those added; a slide that is in both tables is the
        child's.

    Raises
    ------
    CohortError
        If a patient comes to two roles, or an old slide has a class the parent has not.
    """
    there = {row.slide for row in table.rows}
    rows = []
    for row in old.rows:
        known = parent.role_of(row.slide)
        role = known if known in ("train", "val", "test") else row.role or "train"
        if row.slide not in there and row.label in parent.classes:
            rows.append(replace(row, role=role))
    names = tuple(row.slide for row in rows)
    return Cohort.of([*table.rows, *rows], table.classes), names


def _own_recipe(config: BundleConfig) -> str:
    """Give the parent's recipe; an imported model's is unknown, and any will do."""
    known = _parts.names(RECIPES)
    return config.recipe if config.recipe in known else TrainConfig.recipe


def _recipe_options(config: BundleConfig, recipe: str) -> dict[str, Any]:
    """Give the parent's settings in force, without what it says of how they were found."""
    known = {field.name for field in fields(_parts.load(RECIPES, recipe).Config)}
    return {k: v for k, v in config.recipe_settings.items() if k in known}
