"""Cross-validation, repeats, ablations and grids: from a label table to one table of figures.

:func:`study` is to :func:`napari_mhim.pipeline.train` what many runs are to one: missing
features are extracted first, and the members are runs like any other. Importing this
module imports no torch.
"""

from collections.abc import Iterator
from pathlib import Path

from napari_mhim import pipeline
from napari_mhim.errors import ConfigError
from napari_mhim.events import Note
from napari_mhim.features.config import ExtractConfig
from napari_mhim.mil.cohort import Cohort
from napari_mhim.mil.config import TrainConfig
from napari_mhim.mil.study.config import StudyConfig, settings_of
from napari_mhim.training import with_hints
from napari_mhim.workspace import Workspace


def study(
    workspace: str,
    cohort: str,
    config: TrainConfig,
    study_config: StudyConfig,
    extract_config: ExtractConfig,
    run: str = "study",
    features: str = "",
) -> Iterator[object]:
    """Compare settings on the slides of a label table; a stopped study goes on.

    Parameters
    ----------
    workspace : str
        Folder of the workspace.
    cohort : str
        Path of the label table; its column ``fold``, if it has one, gives the folds.
    config : TrainConfig
        What is repeated and varied.
    study_config : StudyConfig
        How.
    extract_config : ExtractConfig
        Encoder and scale of the features.
    run : str
        Name of the study's folder, beside those of single runs.
    features : str
        Folder of features made elsewhere, used in place of slides; "" for none.

    Yields
    ------
    Progress, Note, ExtractDone, MemberDone, MemberFailed or StudyDone
        ``StudyDone`` is the last.

    Raises
    ------
    CohortError
        If the table cannot be split as asked, or one of its slides cannot be read.
    ConfigError
        If a setting cannot be, or the folder holds another study or a single run.
    TrainingError
        If the folder holds a study of other slides, or no member could be trained.
    """
    from napari_mhim.mil.study.folds import study_folds
    from napari_mhim.mil.study.running import run_study

    folder = Workspace(Path(workspace)).run_dir(run)
    table = Cohort.read(cohort)
    if not study_config.is_study:
        raise ConfigError(
            "a study repeats or varies something: give cv, repeats, ablate or a grid"
        )
    # a table that cannot be split is refused before hours of extraction
    study_folds(table, study_config, config.seed)
    used = table.trainable()
    if study_config.cv and any(row.role for row in used.rows):
        yield Note(
            "Cross-validation tests every slide once: roles in the table are not "
            "regarded. Leave slides out of the table to keep them for a last test."
        )
    bags = yield from pipeline.gather(workspace, used, extract_config, features)
    extract = None if features else extract_config
    # a grid may vary it
    weight = max(s.config.hint_weight for s in settings_of(config, study_config))
    names, place = [row.slide for row in used.rows], Workspace(Path(workspace))
    taught = yield from with_hints(bags, used, place, weight, names)
    yield from run_study(taught, used, config, study_config, folder, extract=extract)
