"""``napari-mhim extract``."""

from napari_mhim import pipeline
from napari_mhim.cli.app import app
from napari_mhim.cli.fields import Slides, WorkspaceDir, takes, workspace_of
from napari_mhim.cli.screen import fail_if_any, show
from napari_mhim.features.config import ExtractConfig
from napari_mhim.slide.files import slide_files


@app.command()
@takes(ExtractConfig, "config")
def extract(
    slides: Slides, config: ExtractConfig, workspace: WorkspaceDir = None
) -> None:
    """Turn slides into features on disk; goes on where it was stopped."""
    found = slide_files(slides)
    done = show(pipeline.extract_slides(found, workspace_of(workspace), config))
    fail_if_any(done, len(found))
