"""The folds of the authors' experiments, drawn as their code draws them.

Python's own generator shuffles the patients as the table lists them, each class is dealt
out in blocks to the folds, and the rest of each class is shuffled again for its validation
part. For repeating published figures; for anything else take
:func:`napari_mhim.mil.splits.k_folds`. One thing is not repeated: with ``val=0``, as for
CAMELYON16, the authors choose epoch and threshold on the test fold. Here such a fold has
no validation part.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from napari_mhim.errors import CohortError


@dataclass(frozen=True)
class PublishedFold:
    """One fold's patients, in the authors' order."""

    train: tuple[str, ...]
    """Patients to train on, class after class."""
    val: tuple[str, ...]
    """Patients to validate on, class after class."""
    test: tuple[str, ...]
    """Patients to test on."""


def published_folds(
    labels: Mapping[str, str], k: int, val: float, seed: int = 2021
) -> tuple[PublishedFold, ...]:
    """Draw the folds the authors' code draws from the same table.

    Parameters
    ----------
    labels : mapping of str to str
        Class of each patient, in the order of the table: another order gives others.
    k : int
        Number of folds, 2 or more.
    val : float
        Share of each class's patients outside the test fold that validate, in [0, 1),
        rounded down.
    seed : int
        Theirs are 2021, 2022 and 2023.

    Returns
    -------
    tuple of PublishedFold
        k folds; every patient is tested once.

    Raises
    ------
    CohortError
        If ``k`` is below 2, ``val`` out of range, or a class has fewer patients than folds.
    """
    _check(labels, k, val)
    random = Random(seed)
    patients = list(labels)
    random.shuffle(patients)
    fold_of = _dealt(patients, labels, k)
    return tuple(
        _fold(patients, labels, fold_of, number, val, random) for number in range(k)
    )


def _dealt(patients: list[str], labels: Mapping[str, str], k: int) -> dict[str, int]:
    """Deal each class out in blocks: fold i gets as many as every k-th label from i on has."""
    # classes count by who comes first in the shuffled table
    classes = list(dict.fromkeys(labels[patient] for patient in patients))
    ordered = sorted((labels[patient] for patient in patients), key=classes.index)
    sizes = [Counter(ordered[number::k]) for number in range(k)]
    fold_of: dict[str, int] = {}
    for name in classes:
        blocks = [number for number in range(k) for _ in range(sizes[number][name])]
        members = [patient for patient in patients if labels[patient] == name]
        fold_of.update(zip(members, blocks, strict=True))
    return fold_of


def _fold(
    patients: list[str],
    labels: Mapping[str, str],
    fold_of: Mapping[str, int],
    number: int,
    val: float,
    random: Random,
) -> PublishedFold:
    train: list[str] = []
    validate: list[str] = []
    for name in sorted(set(labels.values())):
        members = [
            patient
            for patient in patients
            if labels[patient] == name and fold_of[patient] != number
        ]
        random.shuffle(members)
        count = int(len(members) * val)
        validate += members[:count]
        train += members[count:]
    test = [patient for patient in patients if fold_of[patient] == number]
    return PublishedFold(tuple(train), tuple(validate), tuple(test))


def _check(labels: Mapping[str, str], k: int, val: float) -> None:
    if k < 2:
        raise CohortError(f"cross-validation needs 2 folds or more, got {k}")
    if not 0 <= val < 1:
        raise CohortError(f"val must be in [0, 1), got {val}")
    for name, count in sorted(Counter(labels.values()).items()):
        if count < k:
            raise CohortError(
                f"class {name!r} has {count} patients, {k} folds need {k}; add patients "
                "or take fewer folds"
            )
