"""A folder is a registry: its file names are the names of its parts.

``mil/models/abmil.py`` *is* the model ``"abmil"``. Listing the names imports nothing
(importing torch takes seconds, listing a folder milliseconds), loading one imports
that one alone. Other packages add parts by an entry-point group that carries the
folder's dotted name, for instance::

    [project.entry-points."napari_mhim.mil.models"]
    mymil = "my_package.mymil"
"""

from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from napari_mhim.errors import UnknownPartError


def names(folder: str) -> tuple[str, ...]:
    """List the parts of a folder without importing any of them.

    Parameters
    ----------
    folder : str
        Dotted name of the package, for instance ``"napari_mhim.mil.models"``.

    Returns
    -------
    tuple of str
        Sorted names: the folder's own modules and packages whose name does not start
        with an underscore, and what other packages register.
    """
    return tuple(sorted({*_own(folder), *_foreign(folder)}))


def load(folder: str, name: str) -> ModuleType:
    """Import one part of a folder.

    Parameters
    ----------
    folder : str
        Dotted name of the package.
    name : str
        One of :func:`names`.

    Returns
    -------
    module
        The part.

    Raises
    ------
    UnknownPartError
        If the folder has no such part; the message lists those it has.
    """
    if name in _own(folder):
        return import_module(f"{folder}.{name}")
    if (entry := _foreign(folder).get(name)) is not None:
        part: ModuleType = entry.load()
        return part
    kind = folder.rpartition(".")[2].removesuffix("s")
    raise UnknownPartError(
        f"no {kind} named {name!r}; there are: {', '.join(names(folder))}"
    )


@cache
def _own(folder: str) -> frozenset[str]:
    spec = find_spec(folder)
    assert spec is not None, folder
    assert spec.submodule_search_locations, folder
    found = set()
    for location in spec.submodule_search_locations:
        for path in Path(location).iterdir():
            is_module = path.suffix == ".py" or (path / "__init__.py").is_file()
            if is_module and not path.name.startswith("_"):
                found.add(path.stem)
    return frozenset(found)


@cache
def _foreign(folder: str) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=folder)}
