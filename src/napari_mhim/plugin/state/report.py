"""What leaves the desk: which files of the result on screen, where to, and the same as a line."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from psygnal import SignalGroupDescriptor

from napari_mhim.errors import StoreError
from napari_mhim.export.command import command_line
from napari_mhim.export.options import ExportOptions
from napari_mhim.mil.result import SlideResult
from napari_mhim.workspace import Workspace

KINDS: dict[str, str] = {
    "report": "Report (HTML)",
    "picture": "Picture (PNG)",
    "csv": "Table (CSV)",
    "parquet": "Table (Parquet)",
    "geojson": "QuPath GeoJSON",
    "ometiff": "OME-TIFF",
}
"""What a result can leave as, in the order of the window, and its name there."""
ABOUT: dict[str, str] = {
    "report": "One page to keep or print: picture, score, hard patches, exclusions, versions.",
    "picture": "The slide with the overlay, its colour scale and a scale bar.",
    "csv": "A row for each patch, for a spreadsheet.",
    "parquet": "A row for each patch with its types, for pandas, R or DuckDB.",
    "geojson": "Patches as QuPath tiles with measurements, and regions as annotations.",
    "ometiff": "A heatmap that lies over the slide, for QuPath, Fiji or napari.",
}
"""What each is for."""
_OF_PATCHES = {"csv", "parquet", "geojson"}
_OF_OVERLAYS = {"picture", "ometiff", "report"}


@dataclass(frozen=True)
class Files:
    """Where the result on screen and what belongs to it are, "" where there is none."""

    result: str
    """Result file."""
    slide: str
    """Slide file."""
    regions: str = ""
    """Regions drawn on the slide."""
    model: str = ""
    """Folder of the model the result is of."""
    features: str = ""
    """The slide's features."""


@dataclass(frozen=True)
class Asked:
    """One export, ready to run or to be copied."""

    result: str
    """Result file."""
    slide: str
    """Slide file."""
    folder: str
    """Where to write."""
    kinds: tuple[str, ...]
    """Some of ``KINDS``."""
    options: ExportOptions
    """How they leave."""

    @property
    def line(self) -> str:
        """Give the line of the command line that does the same."""
        return command_line(
            self.result, self.slide, self.folder, self.kinds, self.options
        )


@dataclass
class ReportState:
    """What the reader wants to take away; writes nothing itself."""

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    kinds: tuple[str, ...] = ("report",)
    """Some of ``KINDS``."""
    patches: str = "all"
    """Which patches tables and GeoJSON hold."""
    overlay: str = "evidence"
    """What pictures show over the slide."""
    blinded: bool = False
    """Whether name and path of the slide are left out."""
    case: str = ""
    """What a blinded slide is called."""
    folder: str = ""
    """Where to write."""
    written: tuple[str, ...] = ()
    """Files of the last export, in the order of writing."""

    def why_not(self, is_busy: bool = False) -> str | None:
        """Say why nothing can be exported now.

        Parameters
        ----------
        is_busy : bool
            Whether a job is at work.

        Returns
        -------
        str or None
            One sentence with the way out; None when it can.
        """
        if is_busy:
            return "A job is running: wait for it, or cancel it below."
        if not self.kinds:
            return "Choose at least one kind of file."
        if not self.folder.strip():
            return "Choose a folder first."
        return None

    def asked(self, files: Files) -> Asked:
        """Give the export as it stands.

        Parameters
        ----------
        files : Files
            What it is made of.

        Returns
        -------
        Asked
            Exclusions go along, with the score without them where it can be worked out.
        """
        options = ExportOptions(
            patches=self.patches if self.has_patches else "all",
            overlay=self.overlay if self.has_overlay else "evidence",
            blinded=self.blinded,
            case=self.case.strip() if self.blinded else "",
            regions=files.regions,
            model=files.model,
            features=files.features if files.model else "",
        )
        folder = str(Path(self.folder.strip()).expanduser())
        return Asked(files.result, files.slide, folder, self.kinds, options)

    @property
    def has_patches(self) -> bool:
        """Tell whether what is chosen lists patches."""
        return bool(_OF_PATCHES.intersection(self.kinds))

    @property
    def has_overlay(self) -> bool:
        """Tell whether what is chosen shows an overlay."""
        return bool(_OF_OVERLAYS.intersection(self.kinds))


def result_file(result: SlideResult, noted: str, workspace: Workspace) -> Path:
    """Find the file of a result on screen; written anew where it is gone.

    Parameters
    ----------
    result : SlideResult
        What is on screen.
    noted : str
        The file it was read from, "" where nobody noted it.
    workspace : Workspace
        Where results are kept.

    Returns
    -------
    Path
        A file that holds this result.

    Raises
    ------
    StoreError
        If another result stands in its place.
    WorkspaceError
        If it is gone and cannot be written.
    """
    kept = workspace.result_path(result.bundle, result.slide)
    if noted and _holds(Path(noted), result):
        return Path(noted)
    if kept.is_file():
        holds = _holds(kept, result)
        if holds is False:
            raise StoreError(
                f"another result is at {str(kept)!r} now; run the model on the slide "
                "again"
            )
        if holds:
            return kept
    result.save(kept)
    return kept


def _holds(path: Path, result: SlideResult) -> bool | None:
    """Tell whether a file holds a result; None where it is gone or damaged."""
    try:
        found = SlideResult.load(path)
    except StoreError:
        return None
    return (found.bundle_id, found.fingerprint, len(found)) == (
        result.bundle_id,
        result.fingerprint,
        len(result),
    )
