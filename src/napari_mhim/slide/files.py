"""Which files of a folder are slides, by their suffix: the command line's inputs."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from napari_mhim.errors import CohortError, SlideError
from napari_mhim.slide.address import url_of
from napari_mhim.slide.identity import ZARR

SUFFIXES = (
    *(".svs", ".tif", ".tiff", ".ndpi", ".scn", ".mrxs", ".bif", ".vms", ".svslide"),
    *(".dcm", ".qptiff", ".vmu", ZARR),
)
"""Suffixes taken from a folder; a file named by itself may have any."""

_DICOM = ".dcm"


def slide_files(paths: Iterable[Path]) -> list[str]:
    """List slides: files as given, folders as the slides in them.

    Parameters
    ----------
    paths : iterable of Path
        Files, folders and web addresses.

    Returns
    -------
    list of str
        Files, those of a folder sorted by name; a folder of DICOM files or a Zarr is one
        slide, and a web address stays as it is.

    Raises
    ------
    SlideError
        If a path does not exist, or a folder holds no file of a slide's suffix.
    """
    found: list[str] = []
    for path in paths:
        if (url := url_of(path)) is not None:
            found.append(url)
            continue
        if not path.exists():
            raise SlideError(f"no file or folder {str(path)!r}")
        if path.is_file() or path.suffix.lower() == ZARR:
            found.append(str(path))
            continue
        inside = sorted(slides_among(path, path.iterdir()))
        if not inside:
            raise SlideError(
                f"folder {str(path)!r} holds no slide; known are {', '.join(SUFFIXES)}"
            )
        found.extend(str(p) for p in inside)
    return found


def slides_among(folder: Path, members: Iterable[Path]) -> Iterator[Path]:
    """Give those of a folder's members that are slides by their suffix.

    Parameters
    ----------
    folder : Path
        The folder: it is itself the slide of all DICOM files in it.
    members : iterable of Path
        Files and folders in it.

    Yields
    ------
    Path
        Slides, the folder itself at most once.
    """
    has_dicom = False
    for member in members:
        suffix = member.suffix.lower()
        if member.name.startswith("."):
            continue
        if suffix == _DICOM and not has_dicom:
            has_dicom = True
            yield folder
        elif suffix in SUFFIXES and suffix != _DICOM:
            yield member


def refuse_twins(slides: Sequence[str]) -> None:
    """Refuse two slides of one name, which would share features and results.

    Parameters
    ----------
    slides : sequence of str
        Their paths.

    Raises
    ------
    CohortError
        If two have the same name; it names both.
    """
    seen: dict[str, str] = {}
    for slide in slides:
        name = Path(slide).stem
        if name in seen:
            raise CohortError(
                f"two slides are named {name!r}: {seen[name]!r} and {slide!r}; rename one"
            )
        seen[name] = slide
