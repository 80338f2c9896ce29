"""What the window remembers between two days: kept in the workspace, not beside the slides."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from napari_mhim.workspace import writing

_FILE = "window.json"


@dataclass(frozen=True)
class Left:
    """The desk as it was left."""

    source: str = ""
    """Folder or table of the list, "" without one."""
    slide: str = ""
    """Path of the slide on screen, "" without one."""
    centre: tuple[float, float] = (0.0, 0.0)
    """Middle of the view, (y, x), world units."""
    zoom: float = 0.0
    """Screen pixels per world unit; 0 where nothing was in view."""
    units: str = ""
    """Unit of the world."""
    is_whole: bool = True
    """Whether the whole slide was in view."""
    looks: dict[str, tuple[bool, float]] = field(default_factory=dict)
    """Which overlays were shown, and their opacity."""
    reader: str = ""
    """Who read."""
    reads_first: bool = False
    """Whether the score waited for the reader's label."""
    hides_names: bool = False
    """Whether names were hidden."""

    @classmethod
    def of(cls, kept: object) -> "Left":
        """Make it of what JSON gives; nothing was left where that cannot be understood."""
        try:
            values = dict(kept)  # type: ignore[call-overload]
            y, x = values["centre"]
            values["centre"] = (float(y), float(x))
            values["looks"] = {
                str(part): (bool(is_shown), float(opacity))
                for part, (is_shown, opacity) in values["looks"].items()
            }
            return cls(**values)
        except (TypeError, ValueError, KeyError, AttributeError):
            return cls()


@dataclass
class Memory:
    """Small facts a user should not have to give twice."""

    mpp: dict[str, float] = field(default_factory=dict)
    """Micrometres per pixel the user gave, by slide fingerprint."""
    seconds_per_patch: dict[str, float] = field(default_factory=dict)
    """How long one patch took, by ``"<encoder> on <device>"``."""
    bundle: str = ""
    """Folder of the model that was used last."""
    left: Left = field(default_factory=Left)
    """The desk as it was left."""

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
                left=Left.of(kept.get("left")),
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
