"""What a part of the dock works with: state, canvas, jobs and questions, together."""

from dataclasses import dataclass, field

from napari_mhim.plugin.canvas import Canvas
from napari_mhim.plugin.runs import Runs
from napari_mhim.plugin.state.desk import DeskState
from napari_mhim.plugin.state.worklist import WorklistState
from napari_mhim.plugin.talk import Talk


@dataclass(frozen=True)
class Desk:
    """One dock's working parts."""

    state: DeskState
    """What the dock knows."""
    canvas: Canvas
    """The viewer as the dock uses it."""
    runs: Runs
    """Long jobs."""
    talk: Talk
    """Short questions to the model."""
    slides: WorklistState = field(default_factory=WorklistState)
    """The list of slides, and what the reader may see of it."""
