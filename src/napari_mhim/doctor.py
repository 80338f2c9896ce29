"""What works on this computer, and the fix for what does not."""

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from napari_mhim.errors import ConfigError
from napari_mhim.settings import load_settings

QT_BINDINGS = ("PyQt6", "PySide6")
QT_SYSTEM = (
    "sudo apt-get install libegl1 libgl1 libopengl0 libxkbcommon-x11-0 libxcb-cursor0 "
    "libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-render-util0 libxcb-shape0"
)
LEAST_FREE_GIB = 5
CHILD_SECONDS = 120


@dataclass(frozen=True)
class Check:
    """One thing looked at."""

    status: Literal["PASS", "WARN", "FAIL"]
    """FAIL stops the main job, WARN a part of it."""
    name: str
    """What was looked at."""
    message: str
    """What was found, one sentence."""
    fix: str = ""
    """A command or a step that mends it; "" where nothing is to be done."""

    def as_dict(self) -> dict[str, str]:
        """Give the check as plain values."""
        return asdict(self)


def run_checks() -> Iterator[Check]:
    """Look at everything the program needs, one thing after another.

    What could crash or take seconds (torch, Qt, OpenGL) is tried in a child process.

    Yields
    ------
    Check
        In a fixed order.
    """
    checks: tuple[Callable[[], Check], ...] = (
        _python,
        _packages,
        _openslide,
        _codecs,
        _torch,
        _qt,
        _opengl,
        _settings,
        _workspace,
    )
    for check in checks:
        yield check()


def _python() -> Check:
    found = f"Python {platform.python_version()} on {platform.system()}"
    return Check("PASS", "python", found)


def _packages() -> Check:
    wanted = ("napari", "dask", "tifffile", "h5py", "timm", "torch")
    found, missing = [], []
    for name in wanted:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        fix = 'pip install "napari-mhim[all]"'
        return Check("FAIL", "packages", f"missing: {', '.join(missing)}", fix)
    return Check("PASS", "packages", ", ".join(found))


def _openslide() -> Check:
    try:
        import openslide
    except (ImportError, OSError) as err:
        return Check(
            "WARN",
            "openslide",
            f"vendor formats beside TIFF cannot be opened ({err})",
            "pip install openslide-bin",
        )
    return Check("PASS", "openslide", f"OpenSlide {openslide.__library_version__}")


def _codecs() -> Check:
    import imagecodecs

    wanted = ("JPEG8", "JPEG2K", "WEBP", "ZSTD")
    missing = [name for name in wanted if not getattr(imagecodecs, name).available]
    if missing:
        return Check(
            "WARN",
            "codecs",
            f"slides compressed with {', '.join(missing)} cannot be read",
            "pip install --upgrade imagecodecs",
        )
    return Check("PASS", "codecs", f"imagecodecs {imagecodecs.__version__}")


def _torch() -> Check:
    code = (
        "from napari_mhim.settings import describe_device;"
        "found = next(describe_device()); print(found.name, found.detail, sep='|')"
    )
    done = _child(code)
    if done.returncode != 0:
        return Check(
            "FAIL",
            "torch",
            f"torch does not run: {_last_line(done.stderr)}",
            "pip install --force-reinstall torch torchvision",
        )
    name, _, detail = _last_line(done.stdout).partition("|")
    if name == "cpu":
        return Check(
            "PASS", "torch", f"{detail}; no GPU found, everything runs, slower"
        )
    return Check("PASS", "torch", f"{name}: {detail}")


def _qt() -> Check:
    there = [name for name in QT_BINDINGS if importlib.util.find_spec(name)]
    if not there:
        return Check(
            "FAIL",
            "qt",
            "no Qt binding: the window cannot open, the command line works",
            'pip install "napari-mhim[all]"',
        )
    done = _child(f"from {there[0]} import QtWidgets, QtGui")
    if done.returncode != 0:
        fix = QT_SYSTEM if sys.platform == "linux" else f"pip install -U {there[0]}"
        return Check("FAIL", "qt", f"{there[0]}: {_last_line(done.stderr)}", fix)
    return Check("PASS", "qt", f"{there[0]} {version(there[0])}")


def _opengl() -> Check:
    if sys.platform == "linux" and not _has_display():
        return Check(
            "WARN",
            "display",
            "there is no display here: no window, the command line works",
            'xvfb-run -a -s "-screen 0 1600x1000x24" napari-mhim …',
        )
    code = (
        "from vispy import app, gloo;"
        "canvas = app.Canvas(show=False); canvas.set_current();"
        "print(gloo.gl.glGetParameter(gloo.gl.GL_RENDERER))"
    )
    done = _child(code)
    if done.returncode != 0:
        return Check(
            "FAIL",
            "display",
            f"napari cannot draw: {_last_line(done.stderr)}",
            "install the graphics driver, or Mesa: sudo apt-get install libgl1-mesa-dri",
        )
    renderer = _last_line(done.stdout)
    if "llvmpipe" in renderer or "softpipe" in renderer:
        return Check(
            "WARN", "display", f"drawn in software ({renderer}): slower panning"
        )
    return Check("PASS", "display", renderer)


def _settings() -> Check:
    try:
        settings = load_settings()
    except ConfigError as err:
        return Check("FAIL", "settings", str(err), "mend or delete the file")
    return Check(
        "PASS", "settings", f"device {settings.device}, cache {settings.cache_mib} MiB"
    )


def _workspace() -> Check:
    try:
        folder = Path(load_settings().workspace)
    except ConfigError:
        return Check("WARN", "workspace", "unknown while the settings cannot be read")
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(existing, os.W_OK):
        fix = "set NAPARI_MHIM_WORKSPACE to a folder of yours"
        return Check("FAIL", "workspace", f"{str(folder)!r} cannot be written", fix)
    free = shutil.disk_usage(existing).free / 2**30
    message = f"{folder}, {free:.0f} GiB free"
    if free < LEAST_FREE_GIB:
        return Check("WARN", "workspace", message, "free some space for features")
    return Check("PASS", "workspace", message)


def _has_display() -> bool:
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _child(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=CHILD_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        note = f"no answer within {CHILD_SECONDS} s"
        return subprocess.CompletedProcess(command, 1, "", note)


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no message"
