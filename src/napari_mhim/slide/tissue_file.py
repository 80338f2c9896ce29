"""Tissue settings of one slide in a file: what the user chose in the window.

A small JSON file in the workspace (``tissue/<slide>.json``) that says whose it is: settings
of another slide of the same name are refused.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_mhim._options import options
from napari_mhim.errors import ConfigError
from napari_mhim.slide.tissue import TissueConfig
from napari_mhim.workspace import writing

NAMES = tuple(option.name for option in options(TissueConfig))


def read_tissue(path: Path, fingerprint: str = "") -> TissueConfig | None:
    """Read the tissue settings that were saved with a slide.

    Parameters
    ----------
    path : Path
        The file.
    fingerprint : str
        The slide's; "" does not ask whose they are.

    Returns
    -------
    TissueConfig or None
        None where none were saved: the defaults hold.

    Raises
    ------
    ConfigError
        If the file is damaged, or of another slide.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        theirs = str(content["fingerprint"])
        values: dict[str, Any] = dict(content["settings"])
        found = TissueConfig(**values)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise ConfigError(
            f"the tissue settings {str(path)!r} cannot be used ({err}); delete the file "
            "for the defaults, or set them again"
        ) from err
    if fingerprint and theirs != fingerprint:
        raise ConfigError(
            f"the tissue settings {str(path)!r} are of another slide of that name (file "
            f"{theirs[:8]}, this one is {fingerprint[:8]}); delete them, or set them again"
        )
    return found


def write_tissue(path: Path, config: TissueConfig, fingerprint: str) -> None:
    """Save a slide's tissue settings.

    Parameters
    ----------
    path : Path
        The file.
    config : TissueConfig
        The settings.
    fingerprint : str
        The slide's.

    Raises
    ------
    WorkspaceError
        If the folder cannot be written.
    """
    content = {"fingerprint": fingerprint, "settings": asdict(config)}
    with writing(path) as part:
        part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def as_text(config: TissueConfig) -> str:
    """Give the settings in force as one line of JSON: equal where the outcome is."""
    return json.dumps(config.in_force(), sort_keys=True)


def differences(ours: str, wanted: str) -> str:
    """Say in which settings two lines of :func:`as_text` differ, ours first."""
    one, other = json.loads(ours or "{}"), json.loads(wanted)
    parts = [
        f"{name.replace('_', ' ')} {_word(one.get(name))}, not {_word(other.get(name))}"
        for name in NAMES
        if one.get(name) != other.get(name)
        # the switch says it; the value behind it comes and goes with it
        and (name in one and name in other)
    ]
    return "; ".join(parts)


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "auto" if value is None else f"{value:g}"
