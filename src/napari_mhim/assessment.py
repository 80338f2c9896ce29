"""A model on labelled slides, from the table to the folder with its figures.

1. The table's slides that may judge the model are chosen (``mil.held_out``).
2. What has no features yet is extracted as the model wants it.
3. Every slide is scored; the figures follow at the model's own cut-off.
4. Tables, a report and pictures go into a folder.

A generator of events like the stages of ``pipeline``; importing it imports no torch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_mhim import pipeline
from napari_mhim.events import Progress
from napari_mhim.export.curves import write_run
from napari_mhim.export.evaluation import write_evaluation
from napari_mhim.export.report import figures_table
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.cohort import Cohort
from napari_mhim.mil.evaluation import held_against
from napari_mhim.mil.held_out import choose, refuse_known
from napari_mhim.workspace import Workspace, safe


@dataclass(frozen=True)
class EvaluateDone:
    """The figures are on disk."""

    folder: str
    """Folder with ``metrics.json``, tables, ``report.md`` and pictures."""
    text: str
    """The figures, for the terminal."""


def evaluate(
    bundle: str,
    cohort: str,
    workspace: str,
    role: str = "test",
    out: str = "",
    device: str = "auto",
    slide_mpp: float | None = None,
    features: str = "",
) -> Iterator[object]:
    """Judge a model by the slides of a label table.

    Parameters
    ----------
    bundle : str
        Folder of the bundle.
    cohort : str
        Path of the label table.
    workspace : str
        Folder of the workspace: features are reused.
    role : str
        ``"test"`` for slides the model has never seen; ``"val"``, ``"train"`` or
        ``"all"`` where that is known to be something else.
    out : str
        Folder to write; "" takes ``evaluations/<model>/<role>`` of the workspace.
    device : str
        One of ``settings.DEVICES``.
    slide_mpp : float, optional
        Micrometres per pixel for slides that do not say theirs.
    features : str
        Folder of features made elsewhere, used in place of slides; "" for none.

    Yields
    ------
    Progress, Note, ExtractDone or EvaluateDone
        ``EvaluateDone`` is the last.

    Raises
    ------
    CohortError
        If the table cannot be used, no slide of it may judge the model, or a slide
        cannot be read: figures on the rest alone could be flattering.
    BundleError, FeatureMismatchError
        If the bundle cannot be used, or wants other features.
    WorkspaceError
        If the folder cannot be written or the disk is full.
    """
    from napari_mhim.mil.predict import Predictor

    opened, place = Bundle.open(bundle), Workspace(Path(workspace))
    config = opened.config
    chosen = choose(Cohort.read(cohort, labels_required=False), config, role)
    predictor = Predictor(opened, device)
    wanted = config.extraction(predictor.device, slide_mpp)
    table = Cohort(chosen.rows, config.classes)
    bags = yield from pipeline.gather(
        workspace, table, wanted, features, leaves_out=False
    )
    scores = []
    for done, (row, known) in enumerate(zip(chosen.rows, chosen.roles, strict=True)):
        yield Progress(f"scores of {config.name}", done, len(chosen.rows), "slides")
        refuse_known(bags[row.slide], config, known)
        scores.append(predictor.probabilities(bags[row.slide]))
    found = held_against(
        config,
        opened.id,
        role,
        chosen.rows,
        chosen.roles,
        np.array(scores),
        chosen.notes,
    )
    folder = Path(out) if out else place.root / "evaluations" / safe(config.name) / role
    drawn = write_run(opened.path.parent, folder)
    write_evaluation(found, folder, {"Training": "training.png"} if drawn else {})
    yield EvaluateDone(str(folder), figures_table(found))
