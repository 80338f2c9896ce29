"""Patches a reader left out for good: which they are, and a bag without them; torch-free."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_mhim.errors import FeatureMismatchError
from napari_mhim.mil.bags import Bag
from napari_mhim.slide.regions import SlideIdentity, cells_excluded, read_regions


def excluded_rows(bag: Bag, regions_path: Path) -> NDArray[np.bool_]:
    """Tell which patches of a slide lie in areas that were excluded.

    Parameters
    ----------
    bag : Bag
        The slide's features.
    regions_path : Path
        The slide's regions in the workspace, which need not exist.

    Returns
    -------
    ndarray, shape (N,), bool
        True where left out; all False without regions, or where the bag has no positions.

    Raises
    ------
    RegionError
        If the file cannot be read, or is of another slide.
    """
    if bag.grid is None or not regions_path.is_file():
        return np.zeros(len(bag.features), bool)
    slide = SlideIdentity(bag.name, bag.fingerprint, bag.slide_shape)
    return cells_excluded(read_regions(regions_path, slide).regions, bag.grid)


def without(bag: Bag, rows: NDArray[np.bool_]) -> Bag:
    """Give a bag without some of its patches.

    Parameters
    ----------
    bag : Bag
        The slide's features.
    rows : ndarray, shape (N,), bool
        True for the patches to leave out; the same bag is given back where there is none.

    Returns
    -------
    Bag
        The rest, in the same order.

    Raises
    ------
    FeatureMismatchError
        If nothing would be left.
    """
    if not rows.any():
        return bag
    if rows.all():
        raise FeatureMismatchError(
            f"all {len(rows)} patches of slide {bag.name!r} lie in excluded areas; count "
            "some in again, or take the slide out of the table"
        )
    grid = bag.grid and replace(bag.grid, cells=bag.grid.cells[~rows])
    hints = None if bag.hints is None else bag.hints[~rows]
    return replace(bag, features=bag.features[~rows], grid=grid, hints=hints)
