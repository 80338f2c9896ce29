"""*File → Open Sample*: three made slides with their results, there in a few seconds."""

from importlib.resources import files
from pathlib import Path

from napari_mhim.errors import SlideError
from napari_mhim.plugin import show
from napari_mhim.plugin.overlays import LayerTuple

BOTH, HARD_ONLY, NEGATIVE = "both", "hard", "negative"
"""Stems of the files in the package's ``sample`` folder."""


def folder() -> Path:
    """Give the folder of the bundled slides, results and model."""
    return Path(str(files("napari_mhim"))) / "sample"


def both() -> list[LayerTuple]:
    """Open the slide with easy and hard lesions."""
    return _open(BOTH)


def hard_only() -> list[LayerTuple]:
    """Open the slide with hard lesions only."""
    return _open(HARD_ONLY)


def negative() -> list[LayerTuple]:
    """Open the slide without a lesion: there is no ring on it."""
    return _open(NEGATIVE)


def _open(name: str) -> list[LayerTuple]:
    place = folder()
    slide = place / f"{name}.tiff"
    if not slide.is_file():
        raise SlideError(
            f"the sample slide {slide.name!r} is not in this installation; install "
            "napari-mhim again, or make slides with 'napari-mhim demo'"
        )
    truth, baseline = place / f"{name}.truth.json", place / f"{name}.baseline.h5"
    found = show.layers(
        slide,
        place / f"{name}.h5",
        truth if truth.is_file() else None,
        baseline if baseline.is_file() else None,
        place / "bundle",
        place / f"{name}.features.h5",
    )
    _open_dock()
    return found


def _open_dock() -> None:
    import napari

    viewer = napari.current_viewer()
    if viewer is None:
        return
    # the slide before goes: one slide at a time, as after *Open slide*
    show.open_dock(viewer).make_room()
