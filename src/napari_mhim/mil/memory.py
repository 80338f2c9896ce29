"""A bag that does not fit into memory is named, with the way out."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from napari_mhim.errors import MhimError
from napari_mhim.mil.bags import Bag


@contextmanager
def naming(bag: Bag, error: type[MhimError], way_out: str) -> Iterator[None]:
    """Turn torch's out-of-memory into an error that names the slide.

    Parameters
    ----------
    bag : Bag
        The slide that is worked on inside.
    error : type
        What to raise.
    way_out : str
        What the person can do, the end of the sentence.

    Yields
    ------
    None
        While the slide is worked on.

    Raises
    ------
    MhimError
        Of the given kind, if torch runs out of memory inside.
    """
    try:
        yield
    except RuntimeError as err:  # on the CPU, torch has no kind of its own for it
        is_cuda = isinstance(err, torch.OutOfMemoryError)
        if not is_cuda and "allocate memory" not in str(err):
            raise
        raise error(
            f"slide {bag.name!r} with {len(bag)} patches does not fit into the memory "
            f"of the {'GPU' if is_cuda else 'computer'}: {way_out}"
        ) from err
