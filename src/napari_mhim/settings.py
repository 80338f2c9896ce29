"""What the user sets once: device, memory, threads and where things are kept.

Values come from, first to last: the environment (``NAPARI_MHIM_DEVICE`` and so on),
the user's ``settings.json``, the defaults below.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import psutil
from platformdirs import user_config_path, user_data_path

from napari_mhim.errors import ConfigError

DEVICES = ("auto", "cpu", "cuda", "mps")
"""What ``Settings.device`` may be; ``auto`` takes the first of cuda, mps, cpu there is."""

_BOOLEANS = {"0": False, "1": True, "false": False, "true": True}


@dataclass(frozen=True)
class Settings:
    """The user's settings, as plain values."""

    device: str = "auto"
    """Where models run: one of ``DEVICES``."""
    cache_mib: int = 512
    """Decoded tiles kept in memory, in MiB, shared by viewing and thumbnails."""
    threads: int = 0
    """Threads for decoding and for torch; 0 takes one for each core."""
    srgb: bool = False
    """Show slides in sRGB by their own ICC profile; features are never made of that."""
    workspace: str = str(user_data_path("napari-mhim", appauthor=False))
    """Folder of cohort, features, results and runs when none is named."""

    def __post_init__(self) -> None:
        if self.device not in DEVICES:
            raise ConfigError(
                f"device must be one of {', '.join(DEVICES)}; got {self.device!r}"
            )
        if self.cache_mib < 16:
            raise ConfigError(f"cache_mib must be at least 16, got {self.cache_mib}")
        if self.threads < 0:
            raise ConfigError(f"threads must be 0 or more, got {self.threads}")
        if not isinstance(self.srgb, bool):
            raise ConfigError(f"srgb must be true or false, got {self.srgb!r}")


@dataclass(frozen=True)
class DeviceReady:
    """Where models will run."""

    name: str
    """``"cuda"``, ``"mps"`` or ``"cpu"``."""
    detail: str
    """For the person at the screen, for instance the name of the GPU."""


def settings_path() -> Path:
    """Give the path of the user's ``settings.json``, which need not exist."""
    return user_config_path("napari-mhim", appauthor=False) / "settings.json"


def load_settings() -> Settings:
    """Read the settings: environment before file before defaults.

    Returns
    -------
    Settings
        The values in force.

    Raises
    ------
    ConfigError
        If the file is no JSON, or a value is of the wrong kind or out of range.
    """
    return _with_environment(_from_file(settings_path()))


def kept_settings() -> Settings:
    """Read what the user's file says, whatever the environment does.

    Returns
    -------
    Settings
        The defaults where there is no file.

    Raises
    ------
    ConfigError
        If the file is no JSON, or a value is of the wrong kind or out of range.
    """
    return _from_file(settings_path())


def save_settings(settings: Settings) -> None:
    """Write the settings to :func:`settings_path`, whole or not at all.

    Parameters
    ----------
    settings : Settings
        What to keep.
    """
    path = settings_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(asdict(settings), indent=2) + "\n", encoding="utf-8")
    part.replace(path)


def memory_mib() -> float:
    """Give the memory of this computer, in MiB."""
    return float(psutil.virtual_memory().total / 2**20)


def cpu_threads(settings: Settings | None = None) -> int:
    """Give the number of threads to use on this computer.

    Parameters
    ----------
    settings : Settings, optional
        Read from the user's file where not given.

    Returns
    -------
    int
        ``settings.threads``, or the number of usable cores where that is 0.
    """
    threads = (settings or load_settings()).threads
    if threads:
        return threads
    # a container or a cluster's scheduler may allow fewer cores than the machine has
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def resolve_device(wanted: str = "auto") -> str:
    """Turn ``"auto"`` into the device there is. Imports torch.

    Parameters
    ----------
    wanted : str
        One of ``DEVICES``.

    Returns
    -------
    str
        ``"cuda"``, ``"mps"`` or ``"cpu"``.

    Raises
    ------
    ConfigError
        If a device is asked for by name and this computer has none.
    """
    import torch

    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if wanted == "auto":
        return next(name for name, is_there in there.items() if is_there)
    if wanted not in there:
        raise ConfigError(f"device must be one of {', '.join(DEVICES)}; got {wanted!r}")
    if not there[wanted]:
        usable = ", ".join(name for name, is_there in there.items() if is_there)
        raise ConfigError(
            f"device {wanted!r} is not on this computer; there is: {usable}"
        )
    return wanted


def describe_device(wanted: str = "auto") -> Iterator[DeviceReady]:
    """Find out where models will run; imports torch, so the window asks a child.

    Parameters
    ----------
    wanted : str
        One of ``DEVICES``.

    Yields
    ------
    DeviceReady
        Once.

    Raises
    ------
    ConfigError
        If the device asked for is not on this computer.
    """
    name = resolve_device(wanted)
    import torch

    if name == "cuda":
        yield DeviceReady(name, torch.cuda.get_device_name())
    elif name == "mps":
        yield DeviceReady(name, "Apple GPU")
    else:
        threads = cpu_threads()
        yield DeviceReady(name, f"CPU, {threads} thread{'s' if threads > 1 else ''}")


def _from_file(path: Path) -> Settings:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Settings()
    except (OSError, ValueError) as err:
        raise ConfigError(
            f"settings file {str(path)!r} cannot be read ({err}); mend or delete it"
        ) from err
    known = {field.name for field in fields(Settings)}
    if not isinstance(values, dict) or (unknown := set(values) - known):
        named = sorted(unknown) if isinstance(values, dict) else type(values).__name__
        raise ConfigError(
            f"settings file {str(path)!r} holds {named}; known are {sorted(known)}"
        )
    return Settings(**values)


def _with_environment(settings: Settings) -> Settings:
    for field in fields(Settings):
        text = os.environ.get(f"NAPARI_MHIM_{field.name.upper()}")
        if text is None:
            continue
        kind = type(getattr(settings, field.name))
        try:
            value: Any = _BOOLEANS[text.lower()] if kind is bool else kind(text)
            settings = replace(settings, **{field.name: value})
        except (ValueError, KeyError) as err:
            wanted = "one of 0, 1, false, true" if kind is bool else kind.__name__
            raise ConfigError(
                f"NAPARI_MHIM_{field.name.upper()} must be {wanted}, got {text!r}"
            ) from err
    return settings
