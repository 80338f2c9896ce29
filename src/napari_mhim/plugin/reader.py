"""napari's way to our slides: a path becomes layer tuples."""

from collections.abc import Callable, Sequence
from pathlib import Path

from napari_mhim.errors import SlideError
from napari_mhim.plugin.open_slides import close_with_layers, open_slide
from napari_mhim.plugin.overlays import LayerTuple, slide_layer

SUFFIXES = (
    ".svs",
    ".ndpi",
    ".scn",
    ".bif",
    ".mrxs",
    ".svslide",
    ".vms",
    ".vmu",
)
"""What only slides are called. Not .tif: every image with that name would ask which reader."""


def get_reader(
    path: str | Sequence[str],
) -> Callable[[str | Sequence[str]], list[LayerTuple]] | None:
    """Give the function that reads these files, for napari.

    Parameters
    ----------
    path : str or sequence of str
        One file, or several.

    Returns
    -------
    callable or None
        None where a path is no file: nothing is opened to find that out.
    """
    paths = _as_list(path)
    return read if paths and all(Path(one).is_file() for one in paths) else None


def read(path: str | Sequence[str]) -> list[LayerTuple]:
    """Open slides lazily.

    Parameters
    ----------
    path : str or sequence of str
        One file, or several.

    Returns
    -------
    list of LayerTuple
        One multiscale RGB image for each slide, whose file closes with its layer.

    Raises
    ------
    SlideError
        If a file is no slide that can be read; none stays open then.
    """
    opened = []
    try:
        for one in _as_list(path):
            opened.append(open_slide(one))
    except SlideError:
        for slide in opened:
            slide.close()
        raise
    _close_with_viewer()
    return [slide_layer(slide) for slide in opened]


def _as_list(path: str | Sequence[str]) -> list[str]:
    return [path] if isinstance(path, str) else list(path)


def _close_with_viewer() -> None:
    import napari

    viewer = napari.current_viewer()
    if viewer is not None:
        close_with_layers(viewer.layers)
