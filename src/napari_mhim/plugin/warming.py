"""What the first slide and the first result need, made ready while the dock opens.

Else the window would stand still for it when the reader first does something: napari loads
its units with the first layer that has any, pandas with the first one that has features.
"""

import importlib
import sys
import threading

_LOADED_LATE = ("pandas", "dask.array", "shapely")


def warm() -> None:
    """Make napari's units ready, and load on a thread what else takes long to load."""
    import numpy as np
    from napari.layers import Image

    # at once: pint's registry must not be looked at while another thread makes it
    Image(np.zeros((1, 1), np.float32), units=("um", "um"))
    if any(name not in sys.modules for name in _LOADED_LATE):
        threading.Thread(target=_load, name="mhim-warming", daemon=True).start()


def _load() -> None:
    for name in _LOADED_LATE:
        importlib.import_module(name)
