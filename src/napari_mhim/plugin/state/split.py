"""What a run would train and be judged on, or why it cannot: told before it starts. No Qt."""

from collections.abc import Mapping
from dataclasses import dataclass

from napari_mhim import _parts
from napari_mhim.errors import CohortError
from napari_mhim.features.encoder import FOLDER as ENCODERS
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.cohort import NOT_TRAINED, Cohort, CohortRow
from napari_mhim.mil.parent import (
    Checked,
    child_classes,
    mixed,
    refuse_confounded,
    refuse_learnt,
    refuse_new_class,
)
from napari_mhim.mil.splits import split_roles
from napari_mhim.training import locked
from napari_mhim.tuning import unlearnt, with_roles
from napari_mhim.workspace import Workspace


@dataclass(frozen=True)
class Split:
    """Slides and patients of each role and class, as a run would have them."""

    classes: tuple[str, ...]
    """Names of the classes, the one of interest last."""
    counts: Mapping[str, tuple[tuple[int, int], ...]]
    """Role to (slides, patients) of each class."""
    left_out: int
    """Slides nobody trains on: uncertain, not assessable."""
    drawn: bool
    """Whether roles were drawn, rather than given."""
    sites: Mapping[str, tuple[int, ...]]
    """Site to slides of each class; empty where no slide says its site."""

    table: Cohort
    """The slides, with roles."""

    @property
    def n_slides(self) -> int:
        """Give how many slides have a class."""
        return sum(n for pairs in self.counts.values() for n, _ in pairs)


def refuse_foreign(bundle: Bundle) -> None:
    """Refuse slides for a model whose features cannot be made here.

    Parameters
    ----------
    bundle : Bundle
        The model.

    Raises
    ------
    CohortError
        Naming its encoder, those there are, and the way out.
    """
    wanted = bundle.config.extract.encoder
    known = _parts.names(ENCODERS)
    if wanted.partition(":")[0] not in known:
        raise CohortError(
            f"model {bundle.name!r} wants features of encoder {wanted!r}, and there are "
            f"{', '.join(known)} here; choose a folder of such features (features made "
            "elsewhere), or another model"
        )


def split_of_new(table: Cohort, place: Workspace, seed: int) -> Split:
    """Give the split a new model would be trained on.

    Parameters
    ----------
    table : Cohort
        The slides.
    place : Workspace
        Where the locked test list is.
    seed : int
        Seed of the draw.

    Returns
    -------
    Split
        Slides without a role are dealt out by patient.

    Raises
    ------
    CohortError
        If these slides cannot be trained on.
    """
    found = locked(table, place)
    split = split_roles(found, seed=seed)
    return _counted(split, split != found)


def split_of_tuning(
    table: Cohort,
    place: Workspace,
    bundle: Bundle,
    seed: int,
    mix: str = "",
    old_checked: Checked = "unknown",
) -> Split:
    """Give the split a model would be fine-tuned on; what its child refuses is refused here.

    Parameters
    ----------
    table : Cohort
        The slides that are new to the model.
    place : Workspace
        Where the locked test list is.
    bundle : Bundle
        The model.
    seed : int
        Seed of the draw.
    mix : str
        Path of a table of the model's own slides, "" for none.
    old_checked : {"yes", "no", "unknown"}
        Whether those were looked through for a new class.

    Returns
    -------
    Split
        Of the new slides; those of ``mix`` keep the roles they had.

    Raises
    ------
    CohortError
        If the slides cannot be trained on, or only by deceiving oneself.
    """
    parent = bundle.config
    found = locked(_of_child(table, bundle), place)
    _refuse_own(found, bundle)
    if not mix:
        found.trainable()  # refuses one class only
    found, n_drawn = with_roles(found, parent, seed)
    old: tuple[CohortRow, ...] = ()
    if mix:
        whole, names = mixed(found, locked(Cohort.read(mix), place), parent)
        old = tuple(r for r in whole.with_role("train") if r.slide in names)
    refuse_learnt(found.rows, parent)
    refuse_confounded(found.with_role("train"), old)
    refuse_new_class(found, parent, len(old), old_checked)
    return _counted(found, n_drawn > 0)


def split_of_cutoff(table: Cohort, place: Workspace, bundle: Bundle) -> Split:
    """Give the slides a cut-off would be chosen on.

    Parameters
    ----------
    table : Cohort
        The slides.
    place : Workspace
        Where the locked test list is.
    bundle : Bundle
        The model.

    Returns
    -------
    Split
        Those the model was not trained on, as validation slides.

    Raises
    ------
    CohortError
        If a class has none.
    """
    rows, _ = unlearnt(table, bundle.config, place)
    return _counted(Cohort(rows, bundle.config.classes), False)


def _of_child(table: Cohort, bundle: Bundle) -> Cohort:
    labels = {row.label for row in table.rows}
    return Cohort.of(table.rows, child_classes(bundle.config, labels))


def _refuse_own(table: Cohort, bundle: Bundle) -> None:
    known = [bundle.config.role_of(row.slide) for row in table.rows]
    if known and all(role in ("train", "val", "test") for role in known):
        raise CohortError(
            f"these slides are all in the cohort of {bundle.name!r} already; choose "
            "others, or open the model it comes from"
        )


def _counted(table: Cohort, drawn: bool) -> Split:
    counts = {}
    for role in ("train", "val", "test", ""):
        rows = table.with_role(role)
        pairs = []
        for name in table.classes:
            some = [row for row in rows if row.label == name]
            pairs.append((len(some), len({row.patient for row in some})))
        if any(n for n, _ in pairs):
            counts[role] = tuple(pairs)
    left = sum(row.label in NOT_TRAINED or not row.label for row in table.rows)
    return Split(table.classes, counts, left, drawn, _by_site(table), table)


def _by_site(table: Cohort) -> dict[str, tuple[int, ...]]:
    labelled = [row for row in table.rows if row.label in table.classes]
    if not any(row.site for row in labelled):
        return {}
    return {
        site: tuple(
            sum((row.site, row.label) == (site, name) for row in labelled)
            for name in table.classes
        )
        for site in sorted({row.site for row in labelled})
    }
