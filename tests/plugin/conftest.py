"""A display where there is one, and what the window's tests share."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # children import job_generators by name

HAS_DISPLAY = sys.platform != "linux" or bool(
    os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
)
if not HAS_DISPLAY:
    # enough for timers and widgets; napari's canvas wants OpenGL, which this has not
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
