"""What an extraction is asked for, as plain values: imports without torch."""

from dataclasses import dataclass

from napari_mhim.errors import ConfigError
from napari_mhim.slide.tiling import GridConfig


@dataclass(frozen=True)
class ExtractConfig:
    """How a slide becomes features."""

    encoder: str = "texture"
    """Name of an encoder; ``timm_hub:<model id>`` says which model of a hub."""
    weights: str = ""
    """File (or folder) of the encoder's weights; empty takes the encoder's own."""
    mpp: float | None = None
    """Micrometres per pixel the encoder sees; None takes the encoder's own."""
    patch_model_px: int | None = None
    """Patch width in the pixels the encoder sees; None takes the encoder's own."""
    overlap: float = 0.0
    """Share of a patch that it has in common with the next one, in [0, 1)."""
    min_tissue: float = 0.25
    """Least share of a patch that must be tissue, in [0, 1]."""
    slide_mpp: float | None = None
    """Micrometres per level-0 pixel where the slide does not say, or says wrongly."""
    device: str = "auto"
    """Where the encoder runs: auto, cpu, cuda or mps."""
    batch_size: int = 64
    """Patches encoded at once; more need more memory and give the same features."""
    threads: int = 0
    """Threads for decoding and for torch; 0 takes the user's setting."""

    def __post_init__(self) -> None:
        if not self.encoder:
            raise ConfigError("no encoder chosen; name one, for instance 'texture'")
        if self.batch_size < 1:
            raise ConfigError(f"batch_size must be 1 or more, got {self.batch_size}")
        if self.threads < 0:
            raise ConfigError(f"threads must be 0 or more, got {self.threads}")
        if self.slide_mpp is not None and not 0.02 <= self.slide_mpp <= 20:
            raise ConfigError(
                f"slide_mpp must be 0.02 to 20 µm per pixel, got {self.slide_mpp}"
            )
        # a slide must not be opened before what is wrong with the rest is said
        self.grid_config(0.5, 256)

    def grid_config(self, encoder_mpp: float, encoder_patch_px: int) -> GridConfig:
        """Give the grid's settings, with the encoder's own values where none are set.

        Parameters
        ----------
        encoder_mpp : float
            Micrometres per pixel the encoder was made for.
        encoder_patch_px : int
            Patch width the encoder was made for, in its pixels.

        Returns
        -------
        GridConfig
            The settings in force.

        Raises
        ------
        ConfigError
            If a value is out of range.
        """
        patch_px = self.patch_model_px
        return GridConfig(
            mpp=encoder_mpp if self.mpp is None else self.mpp,
            patch_model_px=encoder_patch_px if patch_px is None else patch_px,
            overlap=self.overlap,
            min_tissue=self.min_tissue,
        )
