"""Tissue settings of the slide on screen: kept in the workspace, and held against features."""

from pathlib import Path

from napari_mhim import pipeline
from napari_mhim.errors import MhimError
from napari_mhim.features.store import FeatureStore
from napari_mhim.plugin.state.desk import DeskState
from napari_mhim.slide import TissueConfig
from napari_mhim.slide.tissue_file import (
    as_text,
    differences,
    read_tissue,
    write_tissue,
)
from napari_mhim.workspace import Workspace


def saved(state: DeskState, workspace: Path) -> TissueConfig:
    """Give the settings saved with the slide, the defaults where there are none.

    Raises
    ------
    ConfigError
        If they are damaged, or of another slide.
    """
    if state.slide is None:
        return TissueConfig()
    path = Workspace(workspace).tissue_path(state.slide.name)
    return read_tissue(path, state.slide.fingerprint) or TissueConfig()


def save(state: DeskState, workspace: Path, config: TissueConfig) -> None:
    """Save settings with the slide on screen.

    Raises
    ------
    WorkspaceError
        If the workspace cannot be written.
    """
    if state.slide is not None:
        path = Workspace(workspace).tissue_path(state.slide.name)
        write_tissue(path, config, state.slide.fingerprint)


def why_anew(state: DeskState, workspace: Path) -> str:
    """Say that a run will not find the slide's features as it wants them.

    Parameters
    ----------
    state : DeskState
        The slide and the model.
    workspace : Path
        Where features are kept.

    Returns
    -------
    str
        One sentence; "" where there are none yet, or they were made as wanted.
    """
    if state.slide is None or state.bundle is None or state.grid_config() is None:
        return ""
    wanted = state.bundle.config.extraction()
    path = pipeline.features_path(Workspace(workspace), state.slide.path, wanted)
    if not path.is_file():
        return ""
    try:
        config = saved(state, workspace)
        with FeatureStore.open(path) as store:
            theirs = store.meta.tissue
    except MhimError:
        return ""  # the run says what is wrong with them, and what to do
    ours = as_text(config)
    if theirs == ours or (not theirs and config == TissueConfig()):
        return ""
    told = differences(theirs, ours) if theirs else ""
    return (
        "This slide's features were made with other tissue settings"
        f"{f' ({told})' if told else ''}. Where that changes its patches, Run makes them "
        "anew."
    )
