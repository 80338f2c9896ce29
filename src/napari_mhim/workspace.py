"""Where a user's things are: cohort, features, results, regions and runs.

Side files live in the workspace and never beside the slides, whose folders can be
read-only::

    cohort.csv                                  slide, path, label, patient, role, site
    features/<encoder>_<mpp>um_<px>px/<slide>.h5
    results/<bundle>/<slide>.h5
    regions/<slide>.geojson
    tissue/<slide>.json                         how its tissue is found, where not by default
    labels.jsonl                                what readers said, line by line, never rewritten
    viewed/<slide>/<reader>.npz                 what a reader saw of it at 10× or more
    slides.json                                 where each slide lies, by fingerprint
    locked_test.txt                             slides that never train, a name a line
    runs/<id>/                                  settings, splits, events, checkpoints, bundle
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from napari_mhim.errors import MhimError, WorkspaceError


@dataclass(frozen=True)
class Workspace:
    """A folder that holds everything made from one set of slides."""

    root: Path
    """The folder; made on the first write."""

    @property
    def cohort_path(self) -> Path:
        """Give the path of the cohort table."""
        return self.root / "cohort.csv"

    def features_dir(self, encoder: str, mpp: float, patch_px: int) -> Path:
        """Give the folder of features of one encoder at one scale.

        Parameters
        ----------
        encoder : str
            Encoder's name, without its weights' hash.
        mpp : float
            Micrometres per pixel the encoder sees.
        patch_px : int
            Patch width in the encoder's pixels.

        Returns
        -------
        Path
            For instance ``features/texture_0.5um_256px``.
        """
        return self.root / "features" / f"{safe(encoder)}_{mpp:g}um_{patch_px}px"

    def result_path(self, bundle: str, slide: str) -> Path:
        """Give the path of one slide's result under one bundle."""
        return self.root / "results" / safe(bundle) / f"{safe(slide)}.h5"

    def regions_path(self, slide: str) -> Path:
        """Give the path of the regions drawn on one slide."""
        return self.root / "regions" / f"{safe(slide)}.geojson"

    def tissue_path(self, slide: str) -> Path:
        """Give the path of the tissue settings saved with one slide."""
        return self.root / "tissue" / f"{safe(slide)}.json"

    @property
    def labels_path(self) -> Path:
        """Give the path of what readers said of the slides."""
        return self.root / "labels.jsonl"

    def viewed_path(self, slide: str, reader: str) -> Path:
        """Give the path of what one reader has seen closely of one slide."""
        return self.root / "viewed" / safe(slide) / f"{safe(reader)}.npz"

    @property
    def index_path(self) -> Path:
        """Give the path of the list of where slides lie, and their fingerprints."""
        return self.root / "slides.json"

    @property
    def locked_path(self) -> Path:
        """Give the path of the list of test slides that no model may learn from."""
        return self.root / "locked_test.txt"

    def run_dir(self, run: str) -> Path:
        """Give the folder of one training run."""
        return self.root / "runs" / safe(run)


def safe(name: str) -> str:
    """Make a name that every file system takes, and that cannot leave its folder.

    Parameters
    ----------
    name : str
        Any text, for instance a hub id with slashes.

    Returns
    -------
    str
        The name with separators and reserved characters as ``-``; never empty, never
        only dots.
    """
    text = "".join("-" if char in '/\\:*?"<>|\0\n\r\t' else char for char in name)
    return text if text.strip(". ") else f"_{text}"


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Write a file whole or not at all.

    Gives a temporary path in the same folder, made on demand; on leaving the block
    without an error the file is renamed to ``path``, otherwise it is removed.

    Parameters
    ----------
    path : Path
        Where the file is to be.

    Yields
    ------
    Path
        Where to write it meanwhile.

    Raises
    ------
    WorkspaceError
        If the folder cannot be written or the disk is full.
    """
    # the process id keeps two writers of one file apart: the last to finish wins
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        os.replace(part, path)
    except MhimError:
        raise  # also one of ours that is an OSError, such as a slide that cannot be read
    except OSError as err:
        raise WorkspaceError(why_unwritable(path, err)) from err
    finally:
        # a parent that is a file, or a share that is gone, must not hide the reason
        with suppress(OSError):
            part.unlink(missing_ok=True)


def why_unwritable(path: Path, err: OSError) -> str:
    """Say in one sentence why a file could not be written, and the way out.

    Parameters
    ----------
    path : Path
        What was to be written.
    err : OSError
        What the system said.

    Returns
    -------
    str
        The sentence.
    """
    if err.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"the disk of {str(path.parent)!r} is full; free some space and start again"
        )
    if err.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{str(path.parent)!r} cannot be written; choose another folder"
    return f"{str(path)!r} cannot be written: {err.strerror or err}"
