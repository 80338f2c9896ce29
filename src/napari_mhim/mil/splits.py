"""Which slides train, validate and test: by patient, by class, by seed."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from napari_mhim.errors import CohortError
from napari_mhim.mil.cohort import Cohort, CohortRow

_Groups = dict[str, list[str]]


def split_roles(
    cohort: Cohort, val: float = 0.2, test: float = 0.2, seed: int = 0
) -> Cohort:
    """Give every slide a role, all slides of a patient the same.

    Roles that the table gives are kept. A table whose every slide has a role but none is
    ``val`` gets its validation slides from those of ``train``; ``test`` slides are never
    taken from slides that have a role.

    Parameters
    ----------
    cohort : Cohort
        Labelled slides; those without a class to learn stay without a role.
    val, test : float
        Share of each class's patients, in [0, 1); at least one patient where above 0.
    seed : int
        Seed of the draw; the order of the table does not matter.

    Returns
    -------
    Cohort
        The same slides, with roles.

    Raises
    ------
    CohortError
        If there is one class only, a class has too few patients, or a role given in the
        table lacks a class.
    """
    _check_share("val", val)
    _check_share("test", test)
    cohort.trainable()
    given = {row.patient: row.role for row in cohort.rows if row.role}
    groups = _patients(cohort)
    free = {name: [p for p in some if p not in given] for name, some in groups.items()}
    wanted = {"val": val, "test": test}
    for role in set(given.values()) & set(wanted):
        wanted[role] = 0.0
    if not any(free.values()):
        wanted["test"] = 0.0
        free = {
            name: [p for p in some if given[p] == "train"]
            for name, some in groups.items()
        }
    drawn = _draw(free, wanted, np.random.default_rng(seed))
    split = _with_roles(cohort, {**given, **drawn})
    _check_roles(split, needed=("train", *(["val"] if val else [])))
    return split


def k_folds(
    cohort: Cohort, k: int = 5, val: float = 0.2, seed: int = 0
) -> tuple[Cohort, ...]:
    """Split k times, so that every slide is tested once.

    Parameters
    ----------
    cohort : Cohort
        Labelled slides; roles in it are not regarded.
    k : int
        Number of folds, 2 or more.
    val : float
        Share of each class's remaining patients for validation, in [0, 1).
    seed : int
        Seed of the draw.

    Returns
    -------
    tuple of Cohort
        k cohorts with roles; all slides of a patient are in one fold.

    Raises
    ------
    CohortError
        If ``k`` is below 2 or a class has too few patients.
    """
    _check_share("val", val)
    if k < 2:
        raise CohortError(f"cross-validation needs 2 folds or more, got {k}")
    cohort.trainable()
    generator = np.random.default_rng(seed)
    folds: list[set[str]] = [set() for _ in range(k)]
    turn = 0
    for name, patients in _patients(cohort).items():
        if len(patients) < max(k, 2 + (val > 0)):
            raise CohortError(
                f"class {name!r} has {len(patients)} patients, {k} folds need "
                f"{max(k, 2 + (val > 0))}; add patients or take fewer folds"
            )
        # classes take turns, so that no fold gets the larger part of each
        for patient in generator.permutation(patients).tolist():
            folds[turn % k].add(patient)
            turn += 1
    return tuple(_fold(cohort, members, val, generator) for members in folds)


def given_folds(
    cohort: Cohort, val: float = 0.2, seed: int = 0
) -> tuple[tuple[int, Cohort], ...]:
    """Split as the table's column ``fold`` says: each fold is tested once.

    Parameters
    ----------
    cohort : Cohort
        Labelled slides with folds; roles in it are not regarded.
    val : float
        Share of each class's remaining patients for validation, in [0, 1).
    seed : int
        Seed of the draw of validation patients.

    Returns
    -------
    tuple of (int, Cohort)
        Number of each fold as in the table, ascending, and the slides with roles.

    Raises
    ------
    CohortError
        If a slide has no fold, a patient is in two, there is one fold only, or a class
        has too few patients outside a fold.
    """
    _check_share("val", val)
    cohort.trainable()
    folds: dict[str, CohortRow] = {}
    for row in cohort.rows:
        if row.label not in cohort.classes:
            continue
        if row.fold is None:
            raise CohortError(
                f"slide {row.slide!r} has no fold, others have; fill in the column "
                "'fold', or take it out to have the folds drawn"
            )
        other = folds.setdefault(row.patient, row)
        if other.fold != row.fold:
            raise CohortError(
                f"patient {row.patient!r} is in two folds (slide {other.slide!r} in "
                f"{other.fold}, slide {row.slide!r} in {row.fold}); give both one fold"
            )
    numbers = sorted({row.fold for row in folds.values() if row.fold is not None})
    if len(numbers) < 2:
        raise CohortError(
            f"cross-validation needs 2 folds or more, the table has {len(numbers)}"
        )
    generator = np.random.default_rng(seed)
    found = []
    for number in numbers:
        tested = {name for name, row in folds.items() if row.fold == number}
        split = _fold(cohort, tested, val, generator)
        _check_roles(split, needed=("train", *(["val"] if val else [])))
        found.append((number, split))
    return tuple(found)


def _fold(
    cohort: Cohort, tested: set[str], val: float, generator: np.random.Generator
) -> Cohort:
    rest = {
        name: [p for p in some if p not in tested]
        for name, some in _patients(cohort).items()
    }
    drawn = _draw(rest, {"val": val, "test": 0.0}, generator)
    return _with_roles(cohort, {**drawn, **dict.fromkeys(tested, "test")})


def _patients(cohort: Cohort) -> _Groups:
    """Give each class's patients, sorted; a patient counts for its last class in order."""
    label: dict[str, int] = {}
    for row in cohort.rows:
        if row.label in cohort.classes:
            index = cohort.classes.index(row.label)
            label[row.patient] = max(index, label.get(row.patient, 0))
    return {
        name: sorted(p for p, index in label.items() if index == position)
        for position, name in enumerate(cohort.classes)
    }


def _draw(
    groups: _Groups, wanted: Mapping[str, float], generator: np.random.Generator
) -> dict[str, str]:
    roles: dict[str, str] = {}
    for name, patients in groups.items():
        counts = {
            role: max(1, round(share * len(patients))) if share else 0
            for role, share in wanted.items()
        }
        needed = 1 + sum(count > 0 for count in counts.values())
        if 0 < len(patients) < needed:
            listed = " and ".join(["train", *(r for r, c in counts.items() if c)])
            raise CohortError(
                f"class {name!r} has {len(patients)} patient(s) to split into {listed}, "
                f"which needs {needed}; add patients, or give the roles in the table"
            )
        # large shares of small groups must leave one for training
        while sum(counts.values()) >= len(patients) > 0:
            counts[max(counts, key=lambda role: counts[role])] -= 1
        order = generator.permutation(patients).tolist()
        for role, count in counts.items():
            roles.update(dict.fromkeys(order[:count], role))
            order = order[count:]
        roles.update(dict.fromkeys(order, "train"))
    return roles


def _with_roles(cohort: Cohort, roles: Mapping[str, str]) -> Cohort:
    def role_of(row: CohortRow) -> str:
        return roles.get(row.patient, "") if row.label in cohort.classes else row.role

    rows = tuple(replace(row, role=role_of(row)) for row in cohort.rows)
    return Cohort(rows, cohort.classes)


def _check_roles(cohort: Cohort, needed: tuple[str, ...]) -> None:
    for role in needed:
        there = {row.label for row in cohort.with_role(role)}
        if missing := [name for name in cohort.classes if name not in there]:
            raise CohortError(
                f"no {role} slide is of class {missing[0]!r}; give one of its patients "
                f"the role {role!r} in the table, or empty the column to split anew"
            )


def _check_share(name: str, share: float) -> None:
    if not 0 <= share < 1:
        raise CohortError(f"{name} must be in [0, 1), got {share}")
