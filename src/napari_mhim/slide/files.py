"""Which files of a folder are slides, by their suffix: the command line's inputs."""

from collections.abc import Iterable
from pathlib import Path

from napari_mhim.errors import SlideError

SUFFIXES = (
    *(".svs", ".tif", ".tiff", ".ndpi", ".scn", ".mrxs", ".bif", ".vms", ".svslide"),
    ".dcm",
)
"""Suffixes taken from a folder; a file named by itself may have any."""


def slide_files(paths: Iterable[Path]) -> list[str]:
    """List slides: files as given, folders as the slide files in them.

    Parameters
    ----------
    paths : iterable of Path
        Files and folders.

    Returns
    -------
    list of str
        Files, those of a folder sorted by name.

    Raises
    ------
    SlideError
        If a path does not exist, or a folder holds no file of a slide's suffix.
    """
    found: list[str] = []
    for path in paths:
        if not path.exists():
            raise SlideError(f"no file or folder {str(path)!r}")
        if path.is_file():
            found.append(str(path))
            continue
        inside = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
        if not inside:
            raise SlideError(
                f"folder {str(path)!r} holds no slide; known are {', '.join(SUFFIXES)}"
            )
        found.extend(str(p) for p in inside)
    return found
