"""In which order lines of a list stand: slides by a key, below their patients or not."""

from collections.abc import Iterable, Sequence
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray


def numbered(names: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Number names in the order they first come in.

    Parameters
    ----------
    names : sequence of str
        One for each slide, in any order.

    Returns
    -------
    tuple of (tuple of str, ndarray of shape (N,), int64)
        The different names, and for each slide its place among them.
    """
    places: dict[str, int] = {}
    numbers = [places.setdefault(name, len(places)) for name in names]
    return tuple(places), np.array(numbers, np.int64)


def drawn(names: Iterable[str]) -> list[int]:
    """Number names from 1 in an order that says nothing: not the table's, not the alphabet's.

    Parameters
    ----------
    names : iterable of str
        Different names.

    Returns
    -------
    list of int
        One for each, the same for the same names.
    """
    listed = list(names)
    ranked = sorted(listed, key=lambda name: sha256(name.encode()).digest())
    numbers = {name: number for number, name in enumerate(ranked, start=1)}
    return [numbers[name] for name in listed]


def lines(
    rows: NDArray[np.int64],
    keys: NDArray,
    is_empty: NDArray[np.bool_],
    case: NDArray[np.int64] | None,
    largest: bool,
    is_reversed: bool,
) -> NDArray[np.int64]:
    """Put slides in order; what has no key comes last, whichever way round.

    Parameters
    ----------
    rows : ndarray, shape (M,), int64
        The slides.
    keys : ndarray, shape (M,)
        What they are sorted by: numbers or text.
    is_empty : ndarray, shape (M,), bool
        True where there is no key.
    case : ndarray, shape (M,), int64, optional
        Number of each slide's patient; slides then stand below a line for it.
    largest : bool
        Whether a patient goes by the largest key of the slides, else by the smallest.
    is_reversed : bool
        Whether the largest key comes first.

    Returns
    -------
    ndarray, shape (L,), int64
        A slide's row, or ``-1 - case`` for the line of a patient. Equal ones stay in
        the order given.
    """
    if not len(rows):
        return np.zeros(0, np.int64)
    rank = np.unique(keys, return_inverse=True)[1].reshape(-1)
    sign = -1 if is_reversed else 1
    if case is None:
        return rows[np.lexsort((sign * rank, is_empty))]
    names, member = np.unique(case, return_inverse=True)
    case_rank, case_empty = _of_cases(rank, is_empty, member, len(names), largest)
    first = np.full(len(names), len(rows))
    np.minimum.at(first, member, np.arange(len(rows)))  # patients of equal rank
    by = np.lexsort(
        (
            sign * rank,
            is_empty,
            first[member],
            sign * case_rank[member],
            case_empty[member],
        )
    )
    ordered = member[by]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    heads = -1 - names[ordered[starts]]
    return np.insert(rows[by], starts, heads)


def _of_cases(
    rank: NDArray[np.int64],
    is_empty: NDArray[np.bool_],
    member: NDArray[np.int64],
    n: int,
    largest: bool,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Give each patient's rank, and whether no slide of it has a key."""
    some = ~is_empty
    found = np.full(n, -1 if largest else len(rank))
    (np.maximum if largest else np.minimum).at(found, member[some], rank[some])
    empty = np.ones(n, bool)
    empty[member[some]] = False
    return found, empty
