"""What tells one slide's file from another's, wherever it lies and whatever its name."""

import hashlib
import os
from pathlib import Path

from napari_mhim.errors import SlideError

ZARR = ".zarr"
"""Suffix of a folder that is one slide; one without it is taken for a folder of DICOM."""

MIRAX = ".mrxs"
"""Suffix of a file that stands for the folder beside it."""

_MIB = 1 << 20


def slide_name(path: Path) -> str:
    """Give the name by which a slide goes everywhere.

    Parameters
    ----------
    path : Path
        A file, a folder or a web address.

    Returns
    -------
    str
        The file's name without suffix. A folder of DICOM has none: its name stays whole.
    """
    is_folder = path.suffix.lower() != ZARR and path.is_dir()
    return path.name if is_folder else path.stem


def file_fingerprint(path: Path) -> str:
    """Digest a file's size, its first and its last MiB.

    Parameters
    ----------
    path : Path
        The file; of MIRAX, whose file is a small picture, the description counts too.

    Returns
    -------
    str
        sha256, in hex.

    Raises
    ------
    SlideError
        If it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            digest.update(str(size).encode())
            file.seek(0)
            digest.update(file.read(_MIB))
            file.seek(max(size - _MIB, 0))
            digest.update(file.read(_MIB))
        if path.suffix.lower() == MIRAX and mirax_description(path).is_file():
            digest.update(mirax_description(path).read_bytes())
    except OSError as err:
        raise SlideError(f"{path.name!r} cannot be read: {err.strerror}") from err
    return digest.hexdigest()


def mirax_description(path: Path) -> Path:
    """Give where the description of a MIRAX slide lies, from its ``.mrxs`` file."""
    return path.with_suffix("") / "Slidedat.ini"


def folder_fingerprint(path: Path) -> str:
    """Digest the names and fingerprints of a folder's sorted members.

    Parameters
    ----------
    path : Path
        The folder.

    Returns
    -------
    str
        sha256, in hex.

    Raises
    ------
    SlideError
        If a member cannot be read.
    """
    digest = hashlib.sha256()
    for member in sorted(path.rglob("*")):
        if member.is_file():
            name = member.relative_to(path).as_posix()
            digest.update(f"{name}\0{file_fingerprint(member)}\0".encode())
    return digest.hexdigest()
