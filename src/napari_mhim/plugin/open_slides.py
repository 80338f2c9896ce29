"""Keeps an open slide's file with its layer, and closes it when the last such layer goes."""

from typing import Any

from napari_mhim.plugin.overlays import OURS
from napari_mhim.slide import Slide


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
    """Close a slide's file as soon as none of these layers shows it any more.

    Parameters
    ----------
    layers : napari LayerList
        A viewer's layers; telling the same list twice changes nothing.
    """
    # an emitter takes the same callback once only
    layers.events.removed.connect(_on_removed)


def _on_removed(event: Any) -> None:
    slide = slide_of(event.value)
    # a duplicated layer shows the same file
    if slide is not None and all(
        slide_of(other) is not slide for other in event.source
    ):
        slide.close()
