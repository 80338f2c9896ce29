"""What a phantom slide is to hold."""

from dataclasses import dataclass

from napari_mhim.errors import ConfigError

INKS = {
    "blue": (12, 82, 168),
    "green": (30, 120, 70),
    "black": (35, 35, 40),
    "red": (205, 30, 45),
}
"""Colour of each pen's ink, RGB."""


@dataclass(frozen=True)
class PhantomConfig:
    """One made slide; the same values give the same pixels."""

    shape: tuple[int, int] = (3072, 4096)
    """Height and width, level-0 px."""
    mpp: tuple[float, float] = (0.5, 0.5)
    """Micrometres per pixel, (y, x)."""
    easy: bool = False
    """Whether it holds easy lesions: large, dark, crowded nests."""
    hard: bool = False
    """Whether it holds hard lesions: few, small, close to normal."""
    pen: bool = False
    """Whether somebody drew on the glass."""
    ink: str = ""
    """Colour of that pen: blue, green, black or red; "" draws one of the first three."""
    blur: bool = False
    """Whether a region is out of focus."""
    bubble: bool = False
    """Whether air was caught under the coverslip."""
    fold: bool = False
    """Whether the tissue lies doubled in a strip."""
    stain: tuple[float, float] = (1.0, 1.0)
    """How many times as strong as usual haematoxylin and eosin are."""
    easy_share: tuple[float, float] = (0.02, 0.07)
    """Least and largest share of the tissue that easy lesions fill."""
    hard_share: tuple[float, float] = (0.025, 0.05)
    """Least and largest share of the tissue that hard lesions fill."""
    hard_contrast: float = 1.0
    """How far hard lesions are from normal tissue; 0 makes them normal."""
    seed: int = 0
    """Seed of everything that is drawn at random."""

    def __post_init__(self) -> None:
        if min(self.shape) < 256:
            raise ConfigError(
                f"a phantom needs 256 pixels or more a side, got shape {self.shape}"
            )
        if not all(0.2 <= value <= 2 for value in self.mpp):
            raise ConfigError(
                f"a phantom's mpp must be 0.2 to 2 µm per pixel, got {self.mpp}"
            )
        for name in ("easy_share", "hard_share"):
            low, high = getattr(self, name)
            if not 0 < low <= high <= 0.3:
                raise ConfigError(
                    f"{name} must be two rising shares in (0, 0.3], got {(low, high)}"
                )
        if self.ink not in ("", *INKS):
            raise ConfigError(
                f"ink must be one of {', '.join(INKS)} or empty, got {self.ink!r}"
            )
        if not all(0.1 <= value <= 3 for value in self.stain):
            raise ConfigError(
                f"stain must be two strengths from 0.1 to 3, got {self.stain}"
            )
        if self.hard_contrast < 0:
            raise ConfigError(
                f"hard_contrast must be 0 or more, got {self.hard_contrast}"
            )

    @property
    def label(self) -> str:
        """Give the slide's class, ``"tumour"`` if it holds any lesion, else ``"normal"``."""
        return "tumour" if self.easy or self.hard else "normal"
