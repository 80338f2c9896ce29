"""What lets a function be compiled at its first call, and kept for the next process."""

from typing import TYPE_CHECKING, Any

from numba import njit

if TYPE_CHECKING:
    from collections.abc import Callable


def compiled(function: "Callable[..., Any]") -> Any:
    """Have a function of numbers and arrays compiled; it runs without the GIL.

    What is kept does not notice a change of a compiled function of another module that
    it calls: kernels stand in one module each.

    Parameters
    ----------
    function : callable
        In the part of Python that numba knows.

    Returns
    -------
    callable
        The same, compiled at its first call.
    """
    # sums may be taken in any order, which is what lets a loop use the whole register
    free = {"reassoc", "contract", "nsz", "arcp"}
    try:
        return njit(nogil=True, cache=True, fastmath=free)(function)
    except RuntimeError:
        # no folder can be written to keep it in: then it is compiled at each start
        return njit(nogil=True, fastmath=free)(function)


@compiled
def clear(row: Any) -> None:
    """Set an array of one axis to 0."""
    for x in range(len(row)):
        row[x] = 0
