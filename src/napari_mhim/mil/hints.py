"""Regions that name a class, as hints: which patches they teach what; torch-free.

A hint is a region of kind ``hint``: "this class is here". The patches whose centre lies in
it get an extra loss in training (:mod:`napari_mhim.mil.hint_loss`), on training slides
alone. What is to be *ignored* is an exclusion, whose patches are in no bag at all
(:mod:`napari_mhim.mil.exclusions`). A patch in regions of two classes is a hint of neither.
"""

import difflib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_mhim.errors import CohortError, TrainingError
from napari_mhim.mil.bags import Bag
from napari_mhim.mil.run import write_json
from napari_mhim.slide.geojson import hint_classes
from napari_mhim.slide.regions import (
    Region,
    SlideIdentity,
    cells_inside,
    read_regions,
)

KEPT = "hints.json"
"""File of a run's folder that keeps the hints it began with."""


@dataclass
class Found:
    """What the regions of slides came to."""

    regions: int = 0
    """Regions whose patches teach."""
    notes: list[str] = field(default_factory=list)
    """A sentence for each region that teaches nothing, or not what it seems to."""
    unknown: Counter[str] = field(default_factory=Counter)
    """Regions of each class that the model does not have."""
    placeless: list[str] = field(default_factory=list)
    """Slides with regions whose features have no positions."""


def hinted(
    bag: Bag, path: Path, classes: Sequence[str], found: Found | None = None
) -> Bag:
    """Give a bag with what regions say of its patches.

    Parameters
    ----------
    bag : Bag
        The slide's features.
    path : Path
        The slide's regions in the workspace, which need not exist.
    classes : sequence of str
        Class names in the model's order.
    found : Found, optional
        Takes note of what was used and what was not.

    Returns
    -------
    Bag
        With ``hints``; the same bag where no region names a class of the model.

    Raises
    ------
    RegionError
        If the file cannot be read, or is of another slide.
    """
    found = Found() if found is None else found
    if not path.is_file():
        return bag
    if bag.grid is None:
        found.placeless += [bag.name] if hint_classes(path) else []
        return bag
    slide = SlideIdentity(bag.name, bag.fingerprint, bag.slide_shape)
    named = [one for one in read_regions(path, slide).regions if one.kind == "hint"]
    found.unknown.update(
        one.class_name for one in named if one.class_name not in classes
    )
    regions = [one for one in named if one.class_name in classes]
    if not regions:
        return bag
    hints = _rows(bag, regions, classes, found)
    target = len(classes) - 1
    if bag.label not in (None, target) and (hints == target).any():
        found.notes.append(
            f"Slide {bag.name!r} is labelled {classes[bag.label or 0]!r} and has a region "
            f"named {classes[target]!r}; look at it again, as one of the two is wrong."
        )
    return replace(bag, hints=hints) if (hints >= 0).any() else bag


def hinted_bags(
    bags: Mapping[str, Bag],
    paths: Mapping[str, Path],
    classes: Sequence[str],
    learning: Iterable[str],
) -> tuple[dict[str, Bag], tuple[str, ...]]:
    """Give the bags that learn what regions say of them, and what there is to know of it.

    Parameters
    ----------
    bags : mapping of str to Bag
        Slide's name to its features.
    paths : mapping of str to Path
        Slide's name to its regions, which need not exist.
    classes : sequence of str
        Class names in the model's order.
    learning : iterable of str
        Slides that train; no other is ever hinted.

    Returns
    -------
    tuple of dict and tuple of str
        All bags, and sentences.

    Raises
    ------
    RegionError
        If a file cannot be read, or is of another slide.
    """
    found, made, names = Found(), dict(bags), set(learning)
    for name in sorted(names):
        made[name] = hinted(bags[name], paths[name], classes, found)
    said = [summary(hint_counts(made.values(), classes), found.regions)]
    said += [_unknown(name, n, classes) for name, n in found.unknown.items()]
    if found.placeless:
        said.append(
            f"{_slides(len(found.placeless))} with regions, and features without "
            f"positions: they are hints of no patch ({_some(found.placeless)})."
        )
    others = [
        name
        for name in sorted(bags.keys() - names)
        if paths[name].is_file() and hint_classes(paths[name])
    ]
    if others:
        said.append(
            f"Regions of {_slides(len(others))} are no hints, as only training slides "
            f"teach ({_some(others)})."
        )
    return made, (*said, *found.notes)


@dataclass(frozen=True)
class HintCounts:
    """How much of some slides is hinted."""

    slides: int
    """Slides with a hint."""
    patches: Mapping[str, int]
    """Hinted patches of each class that has any."""

    @property
    def text(self) -> str:
        """Say it: ``"41 patches tumour, 12 normal on 2 slides"``."""
        first, *others = self.patches.items()
        said = [f"{first[1]} patch{'' if first[1] == 1 else 'es'} {first[0]}"]
        said += [f"{n} {name}" for name, n in others]
        return f"{', '.join(said)} on {_slides(self.slides)}"


def hint_counts(bags: Iterable[Bag], classes: Sequence[str]) -> HintCounts:
    """Count hinted slides and patches; the class of interest first."""
    slides, totals = 0, np.zeros(len(classes), np.int64)
    for bag in bags:
        if bag.hints is not None and (bag.hints >= 0).any():
            slides += 1
            inside = bag.hints[bag.hints >= 0]
            totals += np.bincount(inside, minlength=len(classes))
    pairs = zip(reversed(classes), totals[::-1], strict=True)
    return HintCounts(slides, {name: int(n) for name, n in pairs if n})


def summary(counts: HintCounts, regions: int) -> str:
    """Say in one sentence what joins the training."""
    if not counts.slides:
        return (
            "No training slide has a region named with a class, so hint_weight changes "
            "nothing: draw some, or set it to 0."
        )
    what = "1 region joins" if regions == 1 else f"{regions} regions join"
    return f"{what} the training as hints: {counts.text}."


def settled(
    folder: Path, bags: Sequence[Bag], classes: Sequence[str]
) -> tuple[list[Bag], str]:
    """Keep the hints that a run begins with; give a run that goes on those it began with.

    Parameters
    ----------
    folder : Path
        The run's folder.
    bags : sequence of Bag
        Training bags.
    classes : sequence of str
        Class names in the model's order.

    Returns
    -------
    tuple of list and str
        The bags with the hints in force, and what to know of it, "" where nothing.

    Raises
    ------
    CohortError
        If a hint is of no class of the model.
    TrainingError
        If the run's file cannot be read, or a slide has other patches than it had then.
    WorkspaceError
        If the folder cannot be written.
    """
    for bag in bags:
        if bag.hints is not None and bag.hints.max() >= len(classes):
            raise CohortError(
                f"a hint of slide {bag.name!r} is of class {int(bag.hints.max())}, there "
                f"are {len(classes)} ({', '.join(classes)}); name regions with one of them"
            )
    now, path = _plain(bags, classes), folder / KEPT
    if not path.is_file():
        write_json(path, now)
        return list(bags), ""
    then = _read(path)
    if then == now:
        return list(bags), ""
    said = (
        f"Run {folder.name!r} goes on with the hints it began with; regions drawn or "
        "changed since are for another run."
    )
    return [_with(bag, then.get(bag.name, {}), classes, folder) for bag in bags], said


def _rows(
    bag: Bag, regions: Iterable[Region], classes: Sequence[str], found: Found
) -> NDArray[np.int16]:
    assert bag.grid is not None  # hinted has looked
    claims = np.zeros((len(classes), len(bag)), bool)
    n_empty = 0
    for one in regions:
        inside = cells_inside(one, bag.grid)
        n_empty += not inside.any()
        found.regions += bool(inside.any())
        claims[classes.index(one.class_name)] |= inside
    if n_empty:
        what = "1 region" if n_empty == 1 else f"{n_empty} regions"
        found.notes.append(
            f"{what} of slide {bag.name!r} held no patch of the slide's tissue, and so "
            "no hint; draw round the centres of patches."
        )
    is_claimed, is_torn = claims.any(axis=0), claims.sum(axis=0) > 1
    if n_torn := int(is_torn.sum()):
        what = "1 patch lies" if n_torn == 1 else f"{n_torn} patches lie"
        found.notes.append(
            f"{what} in regions of two classes on slide {bag.name!r} and are a hint of "
            "neither."
        )
    hints = np.where(is_claimed & ~is_torn, claims.argmax(axis=0), -1)
    return hints.astype(np.int16)


def _unknown(name: str, n: int, classes: Sequence[str]) -> str:
    what = "1 region is" if n == 1 else f"{n} regions are"
    close = difflib.get_close_matches(name, classes, n=1, cutoff=0.5)
    meant = f"; is it {close[0]!r}?" if close else "."
    called = f"named {name!r}, no class of" if name else "named with no class of"
    return f"{what} {called} this model ({', '.join(classes)}), and no hint{meant}"


def _slides(n: int) -> str:
    return f"{n} slide{'' if n == 1 else 's'}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(sorted(names)[:3]) + (" and more" if len(names) > 3 else "")


_Kept = Mapping[str, Mapping[str, object]]


def _plain(bags: Sequence[Bag], classes: Sequence[str]) -> _Kept:
    found = {}
    for bag in bags:
        if bag.hints is None or not (bag.hints >= 0).any():
            continue
        rows = {
            name: np.flatnonzero(bag.hints == place).tolist()
            for place, name in enumerate(classes)
        }
        found[bag.name] = {"patches": len(bag), "rows": rows}
    return found


def _read(path: Path) -> _Kept:
    try:
        kept: _Kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        raise TrainingError(
            f"hints of run {path.parent.name!r} cannot be read ({err}); take another run "
            "folder"
        ) from err
    return kept


def _with(
    bag: Bag, kept: Mapping[str, object], classes: Sequence[str], folder: Path
) -> Bag:
    if not kept:
        return replace(bag, hints=None)
    if kept["patches"] != len(bag):
        raise TrainingError(
            f"run {folder.name!r} was begun with hints on {kept['patches']} patches of "
            f"slide {bag.name!r}, which has {len(bag)} now (areas of it were excluded or "
            "counted in since); put them back to go on, or take another run folder"
        )
    hints = np.full(len(bag), -1, np.int16)
    rows = kept["rows"]
    assert isinstance(rows, dict)  # as _plain wrote it
    for name, some in rows.items():
        hints[some] = classes.index(name)
    return replace(bag, hints=hints)
