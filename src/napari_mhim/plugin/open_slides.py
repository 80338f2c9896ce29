"""Opens slides to be looked at, and closes one's file when its last layer goes."""

from functools import partial
from pathlib import Path
from typing import Any

from napari_mhim import slide
from napari_mhim.plugin.overlays import OURS
from napari_mhim.plugin.viewing import follow, in_background
from napari_mhim.settings import load_settings
from napari_mhim.slide import Slide


def open_slide(path: str | Path, scene: int = 0) -> Slide:
    """Open a slide in the colours that the settings ask for: to be looked at only.

    The window goes on while a slow disk or share answers.

    Parameters
    ----------
    path : str or Path
        A file, a folder or a web address.
    scene : int
        Which of its scenes.

    Returns
    -------
    Slide
        To be closed, or to be shown in a layer.

    Raises
    ------
    SlideError
        If it cannot be opened, or its ICC profile is damaged and asked for.
    """
    return in_background(partial(_opened, path, scene, load_settings().srgb))


def _opened(path: str | Path, scene: int, srgb: bool) -> Slide:
    opened = slide.open_slide(path, scene, srgb=srgb)
    try:
        # read here, too: the window asks for it as soon as the slide is there
        _ = opened.fingerprint
    except BaseException:
        opened.close()
        raise
    return opened


def slide_of(layer: Any) -> Slide | None:
    """Give the open slide a layer shows.

    Parameters
    ----------
    layer : napari layer
        Any layer.

    Returns
    -------
    Slide or None
        None for a layer that is no slide of ours.
    """
    found: Slide | None = what(layer).get("open")
    return found


def what(layer: Any) -> dict[str, Any]:
    """Give what we noted of a layer: its part, slide, result; empty for others' layers."""
    noted: dict[str, Any] = layer.metadata.get(OURS, {})
    return noted


def close_with_layers(layers: Any) -> None:
    """Keep slides drawn, and close one's file when none of these layers shows it any more.

    Parameters
    ----------
    layers : napari LayerList
        A viewer's layers; telling the same list twice changes nothing.
    """
    # an emitter takes the same callback once only
    layers.events.inserted.connect(_on_inserted)
    layers.events.removed.connect(_on_removed)
    for layer in layers:
        follow(layer)


def _on_inserted(event: Any) -> None:
    follow(event.value)


def _on_removed(event: Any) -> None:
    gone = slide_of(event.value)
    # a duplicated layer shows the same file
    if gone is not None and all(slide_of(other) is not gone for other in event.source):
        gone.close()
