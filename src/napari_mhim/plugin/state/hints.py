"""Regions as hints: those of the open slide with undo, and how many would join a run. No Qt."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

from psygnal import SignalGroupDescriptor

from napari_mhim.errors import RegionError
from napari_mhim.mil.cohort import Cohort
from napari_mhim.mil.review import Reviewed
from napari_mhim.slide.geojson import hint_classes
from napari_mhim.slide.regions import Region
from napari_mhim.workspace import Workspace

IGNORE = "ignore"
"""What stands beside the classes: patches that no training is to see."""
USUAL = 0.5
"""Weight that the switch gives, where none was given before."""
_MOST_UNDONE = 50


@dataclass(frozen=True)
class HintsThere:
    """Regions of the workspace that a run on some slides would learn from."""

    regions: int = 0
    """Named with a class of the run, on training slides."""
    slides: int = 0
    """Training slides that have them."""
    unknown: int = 0
    """On training slides, named with no class of the run."""
    elsewhere: int = 0
    """Slides that do not train and have hints."""

    @property
    def is_any(self) -> bool:
        """Tell whether there is anything to say."""
        return bool(self.regions or self.unknown or self.elsewhere)


def hints_there(table: Cohort, place: Workspace) -> HintsThere:
    """Count the regions that a run would learn from; files that cannot be read count none.

    Parameters
    ----------
    table : Cohort
        Slides with roles.
    place : Workspace
        Where regions are.

    Returns
    -------
    HintsThere
        The counts.
    """
    regions = slides = unknown = elsewhere = 0
    for row in table.rows:
        names = _named(place, row.slide)
        known = sum(name in table.classes for name in names)
        if row.role != "train":
            elsewhere += bool(names)
            continue
        regions, slides = regions + known, slides + bool(known)
        unknown += len(names) - known
    return HintsThere(regions, slides, unknown, elsewhere)


def wrong_with_hints(slides: Iterable[Reviewed], place: Workspace) -> list[Reviewed]:
    """List the slides a model gets wrong on which somebody has drawn hints."""
    return [one for one in slides if one.call != one.label and _named(place, one.slide)]


def _named(place: Workspace, slide: str) -> list[str]:
    path = place.regions_path(slide)
    if not path.is_file():
        return []
    try:
        return hint_classes(path)
    except RegionError:
        # training refuses the file in words; a count need not
        return []


@dataclass
class HintsState:
    """Hints and ignored areas of the open slide; asks nothing, writes nothing itself."""

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    classes: tuple[str, ...] = ()
    """Classes a region can be named with, the one of interest first."""
    chosen: str = ""
    """The one the next region gets; may be ``IGNORE``."""
    regions: tuple[Region, ...] = ()
    """As the workspace has them."""
    before: tuple[tuple[Region, ...], ...] = ()
    """What :meth:`undone` goes back to, the newest last."""

    def offer(self, classes: tuple[str, ...]) -> None:
        """Offer a run's classes (the one of interest last) and ``IGNORE``."""
        if not classes:
            self.classes = ()
            return
        self.classes = (*reversed(classes), IGNORE)
        if self.chosen not in self.classes:
            self.chosen = self.classes[0]

    def named(self, one: Region) -> Region:
        """Give a drawn region the chosen name: a hint, or an exclusion."""
        if self.chosen == IGNORE:
            return replace(one, kind="exclude", class_name="", reason="other")
        return replace(one, kind="hint", class_name=self.chosen)

    def start(self, regions: tuple[Region, ...]) -> None:
        """Take up another slide's regions: nothing of them can be undone."""
        self.regions, self.before = regions, ()

    def take(self, regions: tuple[Region, ...], write: Callable[..., bool]) -> None:
        """Put other regions in place of these, if they can be written."""
        then = self.regions
        if write(regions):
            self.before = (*self.before, then)[-_MOST_UNDONE:]
            self.regions = regions

    def undo(self, write: Callable[..., bool]) -> None:
        """Go back to what was before the last change, if it can be written."""
        if self.before and write(self.before[-1]):
            *earlier, self.regions = self.before
            self.before = tuple(earlier)


def name_of(one: Region) -> str:
    """Say what a region is named: its class, or that it is ignored and why."""
    if one.kind == "hint":
        return one.class_name or "no class"
    return f"{IGNORE} ({one.reason})" if one.reason else IGNORE
