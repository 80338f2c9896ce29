"""On which slides each member of a study trains, validates and is tested. Torch-free."""

from dataclasses import dataclass

from napari_mhim.errors import CohortError
from napari_mhim.mil.cohort import Cohort
from napari_mhim.mil.splits import given_folds, k_folds, split_roles
from napari_mhim.mil.study.config import StudyConfig


@dataclass(frozen=True)
class Fold:
    """One split of one repeat."""

    repeat: int
    """Which repeat, from 1."""
    number: int
    """Which fold: as in the table, else from 1."""
    seed: int
    """Seed of the repeat: of its folds and of everything trained on them."""
    cohort: Cohort
    """Slides with roles; those of role ``test`` are seen by nothing but the last figures."""


def study_folds(cohort: Cohort, study: StudyConfig, seed: int) -> tuple[Fold, ...]:
    """Draw the folds of a study, or take the table's.

    With ``cv`` each slide is tested once in each repeat, all slides of a patient in the
    same fold, every class spread over the folds; validation patients are drawn from
    those that the fold does not test. Without ``cv`` there is one split in each repeat,
    and roles that the table gives are kept.

    Parameters
    ----------
    cohort : Cohort
        Labelled slides; those without a class to learn take no part.
    study : StudyConfig
        Folds, repeats and validation share.
    seed : int
        Of the first repeat; each further one has the next.

    Returns
    -------
    tuple of Fold
        Repeat by repeat.

    Raises
    ------
    CohortError
        If a class has too few patients, or the table's folds cannot be used or are not
        as many as asked for.
    """
    used = cohort.trainable()
    folds = []
    for repeat in range(1, study.repeats + 1):
        own = seed + repeat - 1
        folds += [
            Fold(repeat, number, own, split) for number, split in _of(used, study, own)
        ]
    return tuple(folds)


def _of(cohort: Cohort, study: StudyConfig, seed: int) -> list[tuple[int, Cohort]]:
    if not study.cv:
        return [(1, split_roles(cohort, val=study.val, seed=seed))]
    if all(row.fold is None for row in cohort.rows):
        drawn = k_folds(cohort, study.cv, val=study.val, seed=seed)
        return list(enumerate(drawn, start=1))
    found = given_folds(cohort, study.val, seed)
    if len(found) != study.cv:
        raise CohortError(
            f"the table's column 'fold' gives {len(found)} folds, asked are {study.cv}; "
            f"ask for {len(found)}, or take the column out"
        )
    return list(found)
