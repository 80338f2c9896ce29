"""What the dock knows: slide, model, device, result, and why it cannot run just now."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from psygnal import SignalGroupDescriptor

from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.result import HardInstances, SlideResult, hard_instances
from napari_mhim.phantom.truth import PhantomTruth
from napari_mhim.plugin import words
from napari_mhim.plugin.measures import FIRST, MEASURES, Measure
from napari_mhim.plugin.overlays import MAX_RINGS
from napari_mhim.plugin.state.progress import JobProgress, number
from napari_mhim.slide import GridConfig, Slide

_PATH = re.compile(r"""(['"])([^'"\n]*[/\\])([^'"/\\\n]*)\1""")
"""A quoted path: its quote, its folder, its last part."""


@dataclass(frozen=True)
class OpenSlide:
    """The slide on screen, as plain values."""

    path: str
    """Its file."""
    name: str
    """File name without suffix."""
    fingerprint: str
    """Says whether two files are the same slide."""
    mpp: tuple[float, float] | None
    """(y, x) µm per level-0 pixel as the file says; None when it does not."""
    mpp_reason: str
    """Why it does not."""
    shape: tuple[int, int]
    """Level-0 pixels, (y, x)."""
    notes: tuple[str, ...] = ()
    """Which scene and focal plane it is, where the file has several."""
    scenes: tuple[str, ...] = ("",)
    """Names of the scenes in the file."""
    scene: int = 0
    """Which of them it is."""

    @classmethod
    def of(cls, slide: Slide) -> "OpenSlide":
        """Note what is known of an open slide."""
        return cls(
            path=str(slide.path),
            name=slide.name,
            fingerprint=slide.fingerprint,
            mpp=slide.mpp,
            mpp_reason=slide.mpp_reason,
            shape=slide.shape,
            notes=slide.notes,
            scenes=slide.scenes,
            scene=slide.scene,
        )

    def is_of(self, slide: Slide) -> bool:
        """Tell whether these are the values of an open slide: its file and its scene."""
        return (self.path, self.scene) == (str(slide.path), slide.scene)


@dataclass
class DeskState:
    """One slide, one model, one result: what every tab of the dock reads and shows."""

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    slide: OpenSlide | None = None
    """The slide on screen."""
    given_mpp: float | None = None
    """µm per pixel the user gave for a slide that does not say its own."""
    bundle: Bundle | None = None
    """The model that *Run* will use."""
    device: str = ""
    """Where models run, for people; empty until it is known."""
    n_patches: int | None = None
    """How many patches a run will look at; None until they are counted."""
    features_note: str = ""
    """That the slide's features were made with other tissue settings, "" where not."""
    seconds_per_patch: float | None = None
    """How long one took last time; None before the first run."""
    result: SlideResult | None = None
    """What the model saw on this slide."""
    baseline: SlideResult | None = None
    """What a model trained without hiding saw on it."""
    compared: SlideResult | None = None
    """Another result to flip with; None where that is the baseline."""
    live: SlideResult | None = None
    """What a model in training says of this slide; drawn before any other while there."""
    truth: PhantomTruth | None = None
    """Where a made slide's lesions are."""
    features_path: str = ""
    """Where the slide's features are, "" where the workspace must be looked through."""
    shows_baseline: bool = False
    """Whether the layers show :attr:`other`: the baseline, or what is compared."""
    measure: str = FIRST
    """Which of ``MEASURES`` the attention layer shows."""
    ring: int = -1
    """Number of the ring in view, from 0; -1 before the first."""
    problem: str = ""
    """One sentence on what went wrong, empty when nothing did."""
    details: str = ""
    """What stands behind the problem, for whoever mends it."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """What to say in place of names of slides and patients; empty where names show."""
    regions: int = 0
    """Counts up whenever the open slide's regions are written."""
    held_back: bool = False
    """Whether the slide's result waits for the reader's label."""
    job: JobProgress = field(default_factory=JobProgress)
    """The job bar."""

    def __setattr__(self, name: str, value: Any) -> None:
        # what was seen on one slide says nothing of another
        if name == "slide" and value != getattr(self, "slide", None):
            super().__setattr__(name, value)
            self.forget_result()
            self.n_patches, self.given_mpp = None, None
            return
        super().__setattr__(name, value)

    def forget_result(self) -> None:
        """Let go of result, baseline, truth and features."""
        self.live = self.result = self.baseline = self.compared = None
        self.truth, self.features_path = None, ""
        self.measure = FIRST
        self.shows_baseline, self.ring = False, -1

    @property
    def mpp(self) -> tuple[float, float] | None:
        """Give (y, x) µm per pixel: the slide's own, else the user's, else None."""
        if self.slide is not None and self.slide.mpp is not None:
            return self.slide.mpp
        return None if self.given_mpp is None else (self.given_mpp, self.given_mpp)

    @property
    def shown(self) -> SlideResult | None:
        """Give the result that the layers show: the model's, or the other one."""
        if self.live is not None:
            return self.live
        return self.other if self.shows_baseline else self.result

    @property
    def other(self) -> SlideResult | None:
        """Give what the result can be flipped with, None where there is nothing."""
        return self.baseline if self.compared is None else self.compared

    @property
    def measured(self) -> Measure:
        """Give what the attention layer shows."""
        return MEASURES[self.measure]

    def rings(self) -> HardInstances | None:
        """Give the ringed patches of the result that is shown, None without a result."""
        shown = self.shown
        return None if shown is None else hard_instances(shown, k=MAX_RINGS)

    def can_run(self) -> str | None:
        """Say why the model cannot run now.

        Returns
        -------
        str or None
            One sentence with the way out; None when it can run.
        """
        if self.job.is_busy:
            return "A job is running: wait for it, or cancel it below."
        if self.slide is None:
            return "Open a slide first."
        if self.slide.scene:
            return "Models run on the first scene of a file: choose it above."
        if self.bundle is None:
            return "Choose a model first."
        if self.mpp is None:
            return "Give the slide's µm per pixel first: it does not say them itself."
        return None

    def cost(self) -> str:
        """Say what a run will cost, "" while nothing is known."""
        if self.n_patches is None:
            return ""
        patches = f"{number(self.n_patches)} patch{'' if self.n_patches == 1 else 'es'}"
        where = self.device or "this computer"
        if self.seconds_per_patch is None:
            return f"{patches}; how long one takes on {where} is known after a run."
        time = words.duration(self.n_patches * self.seconds_per_patch)
        return f"{patches}, about {time} on {where}."

    def rate_key(self) -> str:
        """Name what the time of one patch depends on."""
        encoder = "" if self.bundle is None else self.bundle.config.encoder_id
        return f"{encoder} on {self.device}"

    def grid_config(self) -> GridConfig | None:
        """Give the model's patch grid, None without a model or where it has none."""
        if self.bundle is None:
            return None
        config = self.bundle.config
        if config.mpp is None or config.patch_model_px is None:
            return None
        extract = config.extract
        return GridConfig(
            config.mpp, config.patch_model_px, extract.overlap, extract.min_tissue
        )

    def headline(self) -> str:
        """Give the header's first line: the slide and its role in the model."""
        if self.slide is None:
            return "No slide open"
        role = self._role()
        return self.slide_name() + (f" · {role}" if role else "")

    def slide_name(self) -> str:
        """Give the name to show for the slide: its number where names are hidden."""
        if self.slide is None:
            return ""
        hidden = "slide without a number" if self.aliases else self.slide.name
        return self.aliases.get(self.slide.name, hidden)

    def without_names(self, text: str) -> str:
        """Give a sentence with numbers for the names and folders in it, where names are hidden.

        Parameters
        ----------
        text : str
            What was to be said.

        Returns
        -------
        str
            The same where names show.
        """
        if not self.aliases:
            return text
        # folders first: a patient's name may stand in any of them
        text = _PATH.sub(lambda found: found[1] + found[3] + found[1], text)
        names = dict(self.aliases)
        if self.slide is not None:
            names.setdefault(self.slide.name, self.slide_name())
        # a short number is a count more often than a name
        there = [n for n in names if n in text and not (n.isdecimal() and len(n) < 3)]
        if not there:
            return text
        longest_first = sorted(there, key=len, reverse=True)
        either = "|".join(map(re.escape, longest_first))
        # a whole name only: a slide "a" must not be found in every word
        whole = re.compile(rf"(?<![A-Za-z0-9])(?:{either})(?![A-Za-z0-9])")
        return whole.sub(lambda found: names[found[0]], text)

    def _role(self) -> str:
        if self.result is not None:
            return words.SHORT_ROLES[self.result.role]
        if self.bundle is None or self.slide is None:
            return ""
        config = self.bundle.config
        role = config.role_of(self.slide.name, self.slide.fingerprint)
        return words.SHORT_ROLES[role]

    def model_name(self) -> str:
        """Give the model's name for the header."""
        if self.result is not None:
            return self.result.bundle
        return "no model" if self.bundle is None else self.bundle.name

    def tell(self, error: Exception) -> None:
        """Show an error: its sentence, and what stands behind it.

        Parameters
        ----------
        error : Exception
            What was raised; its ``__notes__`` are the details.
        """
        notes = "\n".join(getattr(error, "__notes__", ()))
        self.details = self.without_names(notes)
        sentence = self.without_names(str(error))
        self.problem = sentence[:1].upper() + sentence[1:]

    def ring_labels(self) -> dict[str, int] | None:
        """Count the rings inside hard lesions, easy lesions and none.

        Returns
        -------
        dict or None
            None without a result, or for a slide whose truth nobody knows.
        """
        rings, shown = self.rings(), self.shown
        if rings is None or shown is None or self.truth is None:
            return None
        kinds = self.truth.patch_labels(shown.grid)[rings.index].tolist()
        return {
            name: kinds.count(number)
            for name, number in (("hard", 2), ("easy", 1), ("none", 0))
        }


def bundle_folder(text: str) -> Path:
    """Give a model's folder, also where the user chose a file in it."""
    path = Path(text)
    return path.parent if path.is_file() else path
