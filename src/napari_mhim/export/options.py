"""What is exported, and how: plain values, the command line's options too."""

from dataclasses import dataclass

from napari_mhim.errors import ConfigError

PATCHES = ("all", "hard", "hidden", "top")
"""Which patches a table or a GeoJSON file can hold."""
OVERLAYS = ("evidence", "attention", "percentile", "hidden", "none")
"""What a picture can show over the slide."""
PIXELS = ("values", "colours")
"""What an OME-TIFF can hold."""


@dataclass(frozen=True)
class ExportOptions:
    """How a result leaves."""

    patches: str = "all"
    """Patches of tables and GeoJSON: all, hard, hidden (by teacher) or top (attention)."""
    top: int = 20
    """How many patches "hard" and "top" are at most, and how many are ringed."""
    class_name: str = ""
    """Class whose evidence and hard patches are shown; the class of interest where empty."""
    overlay: str = "evidence"
    """Over the slide in pictures: evidence, attention, percentile, hidden or none."""
    pixels: str = "values"
    """OME-TIFF: values (float, a channel each) or colours (RGB, the overlay on the slide)."""
    blinded: bool = False
    """Leave out the slide's name and path, and what was written beside regions; its
    fingerprint stays, which names nobody."""
    case: str = ""
    """What a blinded slide is called instead, for instance "Case 07"."""
    regions: str = ""
    """GeoJSON of regions drawn on the slide: exclusions and hints go along."""
    model: str = ""
    """Folder of the model: the report names its licence and what it was trained on."""
    features: str = ""
    """Feature file of the slide: with model and regions, the score without exclusions."""

    def __post_init__(self) -> None:
        for name, known in (
            ("patches", PATCHES),
            ("overlay", OVERLAYS),
            ("pixels", PIXELS),
        ):
            if (value := getattr(self, name)) not in known:
                raise ConfigError(f"{name} must be {', '.join(known)}, got {value!r}")
        if self.top < 1:
            raise ConfigError(f"top must be 1 or more, got {self.top}")
