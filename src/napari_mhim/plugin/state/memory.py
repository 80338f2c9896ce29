"""What the window remembers between two days: kept in the workspace, not beside the slides."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from napari_mhim.workspace import writing

_FILE = "window.json"


@dataclass
class Memory:
    """Small facts a user should not have to give twice."""

    mpp: dict[str, float] = field(default_factory=dict)
    """Micrometres per pixel the user gave, by slide fingerprint."""
    seconds_per_patch: dict[str, float] = field(default_factory=dict)
    """How long one patch took, by ``"<encoder> on <device>"``."""
    bundle: str = ""
    """Folder of the model that was used last."""

    @classmethod
    def read(cls, workspace: Path) -> "Memory":
        """Read what a workspace remembers.

        Parameters
        ----------
        workspace : Path
            Folder of the workspace, which need not exist.

        Returns
        -------
        Memory
            Empty where nothing was kept, or what was kept cannot be read: these are
            conveniences, and never stop a user.
        """
        try:
            kept = json.loads((workspace / _FILE).read_text(encoding="utf-8"))
            return cls(
                mpp={str(k): float(v) for k, v in kept["mpp"].items()},
                seconds_per_patch={
                    str(k): float(v) for k, v in kept["seconds_per_patch"].items()
                },
                bundle=str(kept["bundle"]),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls()

    def write(self, workspace: Path) -> None:
        """Keep it.

        Parameters
        ----------
        workspace : Path
            Folder of the workspace; made where it does not exist.

        Raises
        ------
        WorkspaceError
            If the folder cannot be written or the disk is full.
        """
        with writing(workspace / _FILE) as part:
            part.write_text(json.dumps(asdict(self), indent=2), encoding="utf-8")
