"""The states of the Train tab that are pictured."""

from pathlib import Path
from typing import Any

import numpy as np
from at_the_window import sample, scroll_to, wait

from napari_mhim.mil.cohort import Cohort, CohortRow
from napari_mhim.phantom import CohortConfig, PhantomConfig, write_cohort
from napari_mhim.plugin.overlays import EVIDENCE
from napari_mhim.plugin.state.training import NEW, Status

RUN = "first-model"


def form(viewer: Any, dock: Any, folder: Path) -> bool:
    """Show slides, split and settings before the start."""
    _ask(dock, folder)
    wait(lambda: False, 1.0)
    dock.train.form.slides.chosen.setText("~/slides/cohort.csv")
    return True


def learning(viewer: Any, dock: Any, folder: Path) -> bool:
    """Show curves and overlays in the middle of a run."""
    _ask(dock, folder)
    dock.train.start.click()
    state = dock.trainings.state
    wait(lambda: state.epochs and state.epochs[-1].stage != "baseline", 300)
    behind = len(state.epochs)
    wait(lambda: len(state.epochs) >= behind + 6, 120)
    dock.canvas.show_only(EVIDENCE)
    dock.message.hide()
    return state.status is Status.RUNNING


def results(viewer: Any, dock: Any, folder: Path) -> bool:
    """Show what came of the run that was left at work."""
    sample(dock, "both")
    dock.turn_to("Train")
    state = dock.trainings.state
    if RUN not in dock.trainings.unfinished_runs():
        _ask(dock, folder)
        dock.train.start.click()
    else:
        dock.trainings.take_up(RUN)
        dock.train.resume.click()
    wait(lambda: not state.status.is_at_work, 300)
    view = dock.train.results.open()
    dock.message.hide()
    wait(lambda: False, 1.0)
    scroll_to(dock, view.change if view.change.isVisible() else view.role)
    return state.status is Status.DONE


def _ask(dock: Any, folder: Path) -> None:
    """Choose made slides, some of them two to a patient, for a new model."""
    place = folder / "made"
    if not place.is_dir():
        small = CohortConfig(slide=PhantomConfig(shape=(1024, 1536)))
        list(write_cohort(place, n_slides=24, seed=9, config=small))
    sample(dock, "both")
    dock.turn_to("Train")
    dock.train.form.ways[NEW].click()
    dock.train.form.slides.use_table(str(place / "cohort.csv"))
    dock.trainings.state.run = RUN
    dock.train.form.take("epochs", 16)
    dock.train.form.take("threads", 1)


def hints(viewer: Any, dock: Any, folder: Path) -> bool:
    """Draw round the hard lesions of a training slide, and round what is none."""
    sample(dock, "both")
    dock.canvas.show_only("slide")
    slide = dock.state.slide
    table = folder / "cohort.csv"
    others = [
        CohortRow(f"case-{n}", label=label, patient=f"case-{n}", role=role)
        for n, (label, role) in enumerate(
            (("normal", "train"), ("normal", "val"), ("tumour", "val")), start=2
        )
    ]
    own = CohortRow(slide.name, label="tumour", patient="case-1", role="train")
    Cohort.of([own, *others]).write(table)
    dock.turn_to("Train")
    dock.train.form.slides.use_table(str(table))
    view = dock.train.hints.open()
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    circle = np.stack([np.sin(turn), np.cos(turn)], axis=1)
    drawn = [("tumour", p.mean(axis=0), 150) for p in dock.state.truth.polygons["hard"]]
    drawn.append(("normal", np.array(slide.shape) * (0.2, 0.4), 350))
    for name, middle, radius_px in drawn:
        view.named.setCurrentText(name)
        view.lasso.click()
        viewer.layers["Region hints"].add_polygons(middle + radius_px * circle)
    dock.train.switch.on.click()
    wait(lambda: False, 1.0)
    scroll_to(dock, dock.train.switch)
    return True
