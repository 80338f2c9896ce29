"""The arrows between rooms, and which modules must import without torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "napari_mhim"
FOUNDATION = {
    "errors",
    "events",
    "_parts",
    "_compiled",
    "settings",
    "workspace",
    "_options",
}
LOWER = {
    "slide": set(),
    "phantom": {"slide"},
    "features": {"slide"},
    "mil": {"slide", "features"},
    "export": {"slide", "features", "mil"},
    "training": {"slide", "features", "mil", "export"},
    "pipeline": {"slide", "features", "mil", "export", "training"},
    "tuning": {"slide", "features", "mil", "export", "pipeline", "training"},
    "assessment": {"slide", "features", "mil", "export", "pipeline"},
    "studies": {"slide", "features", "mil", "export", "pipeline", "training"},
    "doctor": {"slide", "features", "mil", "export", "pipeline"},
    "demo": {"slide", "phantom", "features", "mil", "export", "pipeline"},
    "cli": {
        *{"slide", "phantom", "features", "mil", "export"},
        *{"pipeline", "assessment", "studies", "doctor", "demo", "tuning"},
    },
    "plugin": {
        *{"slide", "phantom", "features", "mil", "export"},
        *{"pipeline", "assessment", "studies", "doctor", "demo"},
        *{"training", "tuning"},
    },
}
"""Which rooms a room may import, beside itself and the foundation."""

WINDOW = {"napari", "qtpy", "magicgui", "superqt", "vispy", "PyQt6", "PySide6"}
FREE_OF_TORCH = (
    "napari_mhim",
    "napari_mhim.slide",
    "napari_mhim.phantom",
    "napari_mhim.features.config",
    "napari_mhim.features.store",
    "napari_mhim.mil.bags",
    "napari_mhim.mil.bundle",
    "napari_mhim.mil.cohort",
    "napari_mhim.mil.config",
    "napari_mhim.mil.hints",
    "napari_mhim.mil.importing",
    "napari_mhim.mil.kept_epochs",
    "napari_mhim.mil.questions",
    "napari_mhim.mil.result",
    "napari_mhim.mil.feature_files",
    "napari_mhim.mil.presets",
    "napari_mhim.mil.splits",
    "napari_mhim.mil.study",
    "napari_mhim.mil.study.running",
    "napari_mhim.export",
    "napari_mhim.mil.parent",
    "napari_mhim.training",
    "napari_mhim.pipeline",
    "napari_mhim.tuning",
    "napari_mhim.assessment",
    "napari_mhim.studies",
    "napari_mhim.demo",
    "napari_mhim.doctor",
    "napari_mhim.cli",
)


def _modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def _name(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _room(module: str) -> str:
    return [*module.split("."), ""][1]


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            if node.module == "napari_mhim":
                found |= {f"napari_mhim.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", _modules(), ids=_name)
def test_arrows_point_one_way(path: Path) -> None:
    room = _room(_name(path))
    own = {name for name in _imports(path) if name.startswith("napari_mhim.")}
    used = {_room(name) for name in own} - {"", "__version__"}
    allowed = LOWER.get(room, set()) | FOUNDATION | {room}
    assert used <= allowed, f"{room} may not import {sorted(used - allowed)}"


@pytest.mark.parametrize("path", _modules(), ids=_name)
def test_only_the_plugin_knows_the_window(path: Path) -> None:
    if _room(_name(path)) == "plugin":
        return
    tops = {name.partition(".")[0] for name in _imports(path)}
    assert not tops & WINDOW


@pytest.mark.parametrize("path", _modules(), ids=_name)
def test_private_modules_stay_in_their_room(path: Path) -> None:
    room = _room(_name(path))
    for name in _imports(path):
        parts = name.split(".")
        if parts[0] != "napari_mhim" or len(parts) < 3:
            continue
        is_private = any(part.startswith("_") for part in parts[2:])
        assert not is_private or parts[1] == room, f"{name} is private to {parts[1]}"


def test_every_room_is_in_the_table() -> None:
    rooms = {_room(_name(path)) for path in _modules()} - {""}
    assert rooms <= set(LOWER) | FOUNDATION


def test_manifest_names_only_the_plugin() -> None:
    text = (SOURCE / "napari.yaml").read_text(encoding="utf-8")
    targets = [
        line.partition("python_name:")[2].strip()
        for line in text.splitlines()
        if "python_name:" in line
    ]
    assert targets
    assert all(target.startswith("napari_mhim.plugin.") for target in targets)


@pytest.mark.parametrize("module", FREE_OF_TORCH)
def test_imports_without_torch_or_window(module: str) -> None:
    code = (
        f"import sys, {module}\n"
        "loaded = {'torch', 'napari', 'qtpy', 'PyQt6', 'PySide6'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(loaded)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_plugin_imports_without_torch() -> None:
    plugin = [name for path in _modules() if _room(name := _name(path)) == "plugin"]
    code = (
        f"import sys\nfor name in {plugin!r}: __import__(name)\n"
        "sys.exit('torch' if 'torch' in sys.modules else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", _modules(), ids=_name)
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef):
            continue
        docstring = ast.get_docstring(node, clean=False) or ""
        lines = node.end_lineno - node.lineno + 1 - len(docstring.splitlines())
        assert lines <= 60, f"{node.name} has {lines} lines"
