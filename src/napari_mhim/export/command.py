"""An export as a line of the command line, for the user to copy."""

import os
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import fields

from napari_mhim.export.options import ExportOptions


def command_line(
    result: str,
    slide: str,
    folder: str,
    names: Sequence[str],
    options: ExportOptions | None = None,
    system: str = os.name,
) -> str:
    """Give the line that does what :func:`napari_mhim.export.export` does.

    Parameters
    ----------
    result, slide, folder : str
        Result file, slide file, and where to write.
    names : sequence of str
        Kinds.
    options : ExportOptions, optional
        How they leave; what is as by default is left out.
    system : str
        ``os.name`` of the shell: "nt" quotes for Windows, all else for a POSIX shell.

    Returns
    -------
    str
        One line; paths are quoted where they need it.
    """
    given = options or ExportOptions()
    parts = ["napari-mhim", "export", _no_option(result), "--slide", slide]
    parts += ["--as", ",".join(names), "--out", folder]
    for field in fields(ExportOptions):
        value = getattr(given, field.name)
        if value == field.default:
            continue
        name = f"--{field.name.replace('_', '-')}"
        parts += [name] if value is True else [name, str(value)]
    return subprocess.list2cmdline(parts) if system == "nt" else shlex.join(parts)


def _no_option(path: str) -> str:
    """Keep a file whose name begins with a dash from being read as an option."""
    return os.path.join(".", path) if path.startswith("-") else path
