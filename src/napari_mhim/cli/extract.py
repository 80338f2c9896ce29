"""``napari-mhim extract``."""

from napari_mhim import pipeline
from napari_mhim.cli.app import app
from napari_mhim.cli.fields import (
    Renew,
    Slides,
    WorkspaceDir,
    asked,
    takes,
    workspace_of,
)
from napari_mhim.cli.screen import fail_if_any, show
from napari_mhim.features.config import ExtractConfig
from napari_mhim.slide.files import slide_files
from napari_mhim.slide.tissue import TissueConfig


@app.command()
@takes(ExtractConfig, "config")
@takes(TissueConfig, "tissue")
def extract(
    slides: Slides,
    config: ExtractConfig,
    tissue: TissueConfig,
    workspace: WorkspaceDir = None,
    renew: Renew = False,
) -> None:
    """Turn slides into features on disk; goes on where it was stopped."""
    found = slide_files(slides)
    place = workspace_of(workspace)
    events = pipeline.extract_slides(found, place, config, asked(tissue), renew)
    done = show(events)
    fail_if_any(done, len(found))
