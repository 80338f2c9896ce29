"""Where the list of slides comes from: folders, tables, what was dropped; and moved files.

No Qt. A file that is no slide is not opened here: it is told of when it is looked at.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from napari_mhim import pipeline
from napari_mhim.errors import CohortError, MhimError, SlideError
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.cohort import Cohort, CohortRow
from napari_mhim.slide import fingerprint
from napari_mhim.slide.address import url_of
from napari_mhim.slide.files import SUFFIXES, slides_among
from napari_mhim.slide.identity import ZARR, slide_name
from napari_mhim.workspace import Workspace, safe, writing

TABLES = (".csv", ".tsv", ".txt")
"""Suffixes of tables."""
_OURS = ("features", "results", "runs", "regions")
"""Folders of a workspace: no slides lie in them."""
NO_FILE = "no file at"
"""How the sentence on a slide that is not where the table says begins."""


@dataclass(frozen=True)
class Found:
    """Slides found."""

    rows: tuple[CohortRow, ...]
    """The slides; names are different."""
    classes: tuple[str, ...] = ()
    """Classes of the table, the one of interest last; empty for a folder."""
    source: str = ""
    """Folder or table."""
    workspace: str = ""
    """Folder beside the table that holds features or results, "" where there is none."""
    notes: tuple[str, ...] = ()
    """What else to know."""


def find(paths: Sequence[str]) -> Found:
    """Read the slides of a table, a folder, or files.

    Parameters
    ----------
    paths : sequence of str
        One table; or folders and slide files.

    Returns
    -------
    Found
        The slides, a folder's with those of the folders in it.

    Raises
    ------
    CohortError
        If a table cannot be used.
    SlideError
        If there is no slide.
    """
    tables = [Path(path) for path in paths if is_table(path)]
    # a folder with a table is a workspace: the table knows more than the file names
    tables += [
        Path(p) / "cohort.csv" for p in paths if (Path(p) / "cohort.csv").is_file()
    ]
    if len(tables) > 1:
        raise CohortError(f"{len(tables)} label tables at once; open one after another")
    return _of_table(tables[0]) if tables else _of_files(paths)


def is_table(path: str) -> bool:
    """Tell whether a file is taken for a label table, by its suffix."""
    return Path(path).suffix.lower() in TABLES and not Path(path).is_dir()


def is_bundle(path: str) -> bool:
    """Tell whether a path is a model's folder, or a file in one."""
    place = Path(path)
    folder = place.parent if place.is_file() else place
    return (folder / "model.safetensors").is_file() and (
        place.is_dir() or place.name in ("config.json", "model.safetensors")
    )


def made(
    workspace: str | Path, bundle: Bundle | None, names: Iterable[str]
) -> tuple[set[str], set[str]]:
    """Tell which slides have features and results of a model.

    Parameters
    ----------
    workspace : path
        Where to look.
    bundle : Bundle or None
        The model; nothing is found without one.
    names : iterable of str
        Names of slides.

    Returns
    -------
    tuple of two sets of str
        Names with features, and names with a result. Two folders are listed; no file is
        opened.
    """
    if bundle is None:
        return set(), set()
    place = Workspace(Path(workspace))
    wanted = bundle.config.extraction()
    features = _stems(pipeline.features_path(place, "any", wanted).parent)
    results = _stems(place.result_path(bundle.name, "any").parent)
    by_file = {safe(name): name for name in names}
    return (
        {by_file[stem] for stem in features & by_file.keys()},
        {by_file[stem] for stem in results & by_file.keys()},
    )


def models_of(workspace: str | Path) -> list[str]:
    """List a workspace's trained models, those that have results here and the newest first."""
    place = Workspace(Path(workspace))
    folders = []
    for folder in (place.root / "runs").glob("*/bundle"):
        try:
            name = Bundle.open(folder).name
        except MhimError:
            continue  # told when the user chooses it
        has_results = place.result_path(name, "any").parent.is_dir()
        folders.append((not has_results, -folder.stat().st_mtime, str(folder)))
    return [path for *_, path in sorted(folders)]


def save_table(path: str, rows: Iterable[CohortRow], classes: Sequence[str]) -> None:
    """Write a label table.

    Parameters
    ----------
    path : str
        CSV file to write.
    rows : iterable of CohortRow
        The slides.
    classes : sequence of str
        Classes, the one of interest last.

    Raises
    ------
    CohortError, WorkspaceError
        If the rows cannot be a table, or it cannot be written.
    """
    Cohort.of(rows, classes or None).write(path)


# --- moved files


class Index:
    """Where the slides of a workspace lie, and their fingerprints; a convenience.

    Parameters
    ----------
    path : Path
        The file; damaged or missing, nothing is known.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, dict[str, str]] = {}
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            for name, one in kept.items():
                self.known[str(name)] = {
                    "path": str(one["path"]),
                    "fingerprint": str(one["fingerprint"]),
                }
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            self.known = {}

    def note(self, name: str, path: str, print_of_file: str) -> None:
        """Keep where a slide lies.

        Parameters
        ----------
        name : str
            Slide's name.
        path, print_of_file : str
            Its file and fingerprint.

        Raises
        ------
        WorkspaceError
            If it cannot be written.
        """
        now = {"path": path, "fingerprint": print_of_file}
        if self.known.get(name) == now:
            return
        self.known[name] = now
        with writing(self.path) as part:
            part.write_text(json.dumps(self.known, indent=1), encoding="utf-8")

    def fingerprint(self, name: str) -> str:
        """Give a slide's fingerprint, "" where it was never opened."""
        return self.known.get(name, {}).get("fingerprint", "")

    def place(self, name: str) -> str:
        """Give where a slide was last, "" where that is not known or it is gone."""
        path = self.known.get(name, {}).get("path", "")
        return path if path and Path(path).exists() else ""


@dataclass(frozen=True)
class Moved:
    """A slide that was found again."""

    slide: str
    """Its name in the list."""
    path: str
    """Where it is now."""
    fingerprint: str
    """Of the file found."""
    is_sure: bool
    """Whether the fingerprint was known and is the same; else only the name is."""


def find_moved(missing: Mapping[str, str], folder: str) -> Iterator[Moved]:
    """Look for slides in a folder and all below it; runs in a child process.

    Parameters
    ----------
    missing : mapping of str to str
        Name to fingerprint, "" where that is not known.
    folder : str
        Where to look.

    Yields
    ------
    Moved
        One for each slide found: by fingerprint, whatever the file is called, else by
        name where no fingerprint is known. A file of the same name and another
        fingerprint is another slide, and is not taken.
    """
    left = dict(missing)
    prints = {one: name for name, one in left.items() if one}
    for path in slides_below(Path(folder)):
        name = slide_name(path)
        if not left or (name not in left and not prints):
            continue
        try:
            found = fingerprint(path)
        except SlideError:
            continue
        same = prints.get(found, name if left.get(name) == "" else "")
        if same in left:
            del left[same]
            yield Moved(same, str(path), found, is_sure=found in prints)


def relocated(rows: Sequence[CohortRow], index: Index) -> tuple[CohortRow, ...]:
    """Give rows with the places that an index knows better than the table."""
    there = _present(row.path for row in rows)
    given = []
    for row in rows:
        place = "" if row.path in there else index.place(row.slide)
        given.append(replace(row, path=place) if place else row)
    return tuple(given)


def missing(rows: Sequence[CohortRow]) -> dict[int, str]:
    """Say which rows have no file, one sentence each."""
    found, there = {}, _present(row.path for row in rows)
    for number, row in enumerate(rows):
        if not row.path:
            found[number] = f"{NO_FILE} hand: the table has no path for this slide"
        elif row.path not in there:
            found[number] = f"{NO_FILE} {row.path!r}; use 'Find moved slides'"
    return found


def slides_below(folder: Path) -> Iterator[Path]:
    """Give the slides of a folder and of those in it, sorted; a folder of DICOM is one."""
    for text, folders, files in os.walk(folder):
        place = Path(text)
        inside = [place / name for name in (*folders, *files)]
        slides = list(slides_among(place, inside))
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name not in _OURS
            and place / name not in slides
        )
        # a folder of DICOM before what else lies in it
        yield from sorted(slides)


def _of_table(path: Path) -> Found:
    cohort = Cohort.read(path, labels_required=False)
    workspace = path.parent.absolute()
    is_workspace = any((workspace / name).is_dir() for name in _OURS)
    return Found(
        rows=cohort.rows,
        classes=cohort.classes,
        source=str(path.absolute()),
        workspace=str(workspace) if is_workspace else "",
    )


def _of_files(paths: Sequence[str]) -> Found:
    files: list[Path] = []
    for text in paths:
        path = Path(text)
        if not path.exists():
            raise SlideError(f"no file or folder {text!r}")
        is_folder = path.is_dir() and path.suffix.lower() != ZARR
        files += slides_below(path) if is_folder else [path]
    if not files:
        raise SlideError(
            f"no slide in {', '.join(repr(text) for text in paths)}; known are "
            f"{', '.join(SUFFIXES)}, or choose a label table (CSV)"
        )
    seen: dict[str, Path] = {}
    twins = []
    for file in files:
        name = slide_name(file)
        if seen.setdefault(name, file) != file:
            twins.append(file)
    rows = tuple(
        CohortRow(slide=name, path=str(file.absolute()), patient=name)
        for name, file in seen.items()
    )
    return Found(rows, source=str(Path(paths[0]).absolute()), notes=_twins_told(twins))


def _twins_told(twins: Sequence[Path]) -> tuple[str, ...]:
    if not twins:
        return ()
    more = f" and {len(twins) - 1} more" if len(twins) > 1 else ""
    return (
        f"{twins[0].name!r}{more} left out: another slide has the same name, and names "
        "tell slides apart; rename one.",
    )


def _present(paths: Iterable[str]) -> set[str]:
    """Give the paths that exist: a folder is listed once, not asked for each file.

    A web address is not asked for: whether it answers shows when it is opened.
    """
    by_folder: dict[str, list[str]] = {}
    found: set[str] = set()
    for path in paths:
        if url_of(path) is not None:
            found.add(path)
        elif path:
            by_folder.setdefault(os.path.dirname(path), []).append(path)
    for folder, wanted in by_folder.items():
        try:
            names = set(os.listdir(folder))
        except OSError:
            continue
        found.update(path for path in wanted if os.path.basename(path) in names)
    return found


def _stems(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {
                entry.name[: -len(".h5")]
                for entry in entries
                if entry.name.endswith(".h5") and not entry.name.startswith(".")
            }
    except OSError:
        return set()
