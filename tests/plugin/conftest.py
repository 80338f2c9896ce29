"""A display where there is one, and one real window for every test that clicks."""

import contextlib
import importlib
import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # children import job_generators by name

from window_pictures import HAS_DISPLAY, settle  # noqa: E402

if not HAS_DISPLAY:
    # enough for timers and widgets; napari's canvas wants OpenGL, which this has not
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


@pytest.fixture(scope="session")
def window():
    """One window for all files: opening one takes seconds."""
    # Mesa's software renderer and triton each bring an LLVM, and the process dies when
    # triton's comes second; later tests train in this process, so it comes first
    with contextlib.suppress(ImportError):
        importlib.import_module("torch._dynamo")
    import napari

    viewer = napari.Viewer()
    viewer.window.resize(1366, 768)
    yield viewer
    viewer.close()


@pytest.fixture
def viewer(window, qtbot, tmp_path: Path, monkeypatch):
    from napari_mhim.plugin.widgets.dock import MhimDock

    monkeypatch.setenv("NAPARI_MHIM_WORKSPACE", str(tmp_path / "workspace"))
    yield window
    for widget in list(window.window.dock_widgets.values()):
        if isinstance(widget, MhimDock):
            window.window.remove_dock_widget(widget)
    window.layers.clear()
    settle()
