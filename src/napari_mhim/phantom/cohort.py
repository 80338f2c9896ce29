"""A cohort of phantoms: patients, roles, and lesions that make MHIM's case fairly."""

import csv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from napari_mhim.errors import ConfigError, WorkspaceError
from napari_mhim.events import Progress
from napari_mhim.phantom.config import PhantomConfig
from napari_mhim.phantom.write import is_written, write_phantom
from napari_mhim.workspace import why_unwritable, writing

ROLES = ("train", "val", "test")
COLUMNS = ("slide", "path", "label", "patient", "role")


@dataclass(frozen=True)
class CohortConfig:
    """How a cohort of phantoms is made up."""

    slide: PhantomConfig = field(default_factory=lambda: PhantomConfig((2560, 3328)))
    """What all slides have in common; lesions, pen and seed are set for each."""
    role_shares: tuple[float, float, float] = (0.45, 0.2, 0.35)
    """Shares of the slides that are for training, validation and testing."""
    positive_share: float = 0.5
    """Share of the slides that hold a lesion."""
    hard_only_share: float = 0.25
    """Share of those that hold hard lesions only; the rest hold both kinds."""
    pen_share: float = 0.1
    """Share of the slides with a pen mark, whatever their label."""
    threads: int = 2
    """Slides written at a time."""


@dataclass(frozen=True)
class DemoCohort:
    """The cohort of the demo and of the benchmark, and how its slides are to be cut."""

    seed: int = 1
    """Seed of the demo, the first of the benchmark's; 0 was used to set the phantom up."""
    n_slides: int = 60
    """Slides: 27 to train on, 12 to validate, 21 held out; half of each hold lesions."""
    encoder: str = "texture"
    """Encoder of the patches."""
    mpp: float = 0.5
    """Micrometres per pixel the encoder sees: the slides' own."""
    patch_model_px: int = 128
    """Patch width, px: 64 µm, about the size of a hard focus, 270 to 380 a slide."""


DEMO = DemoCohort()
"""Its defaults."""


@dataclass(frozen=True)
class CohortSlide:
    """One slide that is to be written."""

    name: str
    """``"case-01"`` and so on."""
    patient: str
    """``"patient-01"`` and so on; one or two slides each, all of one role."""
    role: str
    """``"train"``, ``"val"`` or ``"test"``."""
    config: PhantomConfig
    """What it holds."""


def cohort_plan(
    n_slides: int, seed: int, config: CohortConfig | None = None
) -> tuple[CohortSlide, ...]:
    """Decide what each slide of a cohort is, without making any.

    Parameters
    ----------
    n_slides : int
        Number of slides, 12 or more.
    seed : int
        Seed of everything drawn at random.
    config : CohortConfig, optional
        How the cohort is made up; the default if None.

    Returns
    -------
    tuple of CohortSlide
        Slides by name. Every role holds normal slides, slides with both kinds of
        lesion, and slides with hard ones only; a patient's slides have one role and
        one label.

    Raises
    ------
    ConfigError
        If there are too few slides to hold each kind in each role.
    """
    config = config or CohortConfig()
    if n_slides < 12:
        raise ConfigError(
            f"a cohort needs 12 slides or more, so that each role has each kind, got {n_slides}"
        )
    rng = np.random.default_rng([seed, 2])
    positive = round(config.positive_share * n_slides)
    hard_only = max(round(config.hard_only_share * positive), len(ROLES))
    kinds = (
        (n_slides - positive, replace(config.slide, easy=False, hard=False)),
        (positive - hard_only, replace(config.slide, easy=True, hard=True)),
        (hard_only, replace(config.slide, easy=False, hard=True)),
    )
    # (kind, role, number of the patient within them)
    drawn = [
        (kind, role, patient)
        for count, kind in kinds
        for role, n in zip(ROLES, _apportion(count, config.role_shares), strict=True)
        for patient in _patients(n, rng)
    ]
    pens = rng.random(n_slides) < config.pen_share
    order = rng.permutation(n_slides)
    known: dict[tuple[PhantomConfig, str, int], str] = {}
    slides = []
    for number, at in enumerate(order.tolist(), start=1):
        kind, role, _ = drawn[at]
        patient = known.setdefault(drawn[at], f"patient-{len(known) + 1:02d}")
        slide = replace(kind, pen=bool(pens[at]), seed=seed * 10_000 + number)
        slides.append(CohortSlide(f"case-{number:02d}", patient, role, slide))
    return tuple(slides)


def write_cohort(
    folder: str | Path,
    n_slides: int = 60,
    seed: int = 0,
    config: CohortConfig | None = None,
) -> Iterator[Progress]:
    """Write a cohort of phantoms: ``slides/``, their truth, and ``cohort.csv``.

    Slides that lie there already, made from the same settings, are kept.

    Parameters
    ----------
    folder : path
        Where the cohort goes; made on demand.
    n_slides : int
        Number of slides, 12 or more.
    seed : int
        Seed of the whole cohort.
    config : CohortConfig, optional
        How the cohort is made up; the default if None.

    Yields
    ------
    Progress
        After each slide; the table is on disk before the last.

    Raises
    ------
    ConfigError
        If there are too few slides to hold each kind in each role.
    WorkspaceError
        If the folder cannot be written or the disk is full.
    """
    config = config or CohortConfig()
    folder = Path(folder)
    plan = cohort_plan(n_slides, seed, config)
    _make_folder(folder / "slides")
    with ThreadPoolExecutor(config.threads) as threads:
        waiting = [threads.submit(_write_slide, folder, slide) for slide in plan]
        try:
            for done, future in enumerate(waiting, start=1):
                future.result()
                if done == n_slides:
                    _write_table(folder, plan)
                yield Progress("phantom slides", done, n_slides, "slides")
        finally:
            # who stops asking does not wait for the slides not yet begun
            threads.shutdown(cancel_futures=True)


def _apportion(count: int, shares: tuple[float, ...]) -> list[int]:
    """Split a count by shares, at least one each, by the largest remainder."""
    exact = np.array(shares) / sum(shares) * count
    parts = np.maximum(np.floor(exact).astype(int), 1)
    while parts.sum() < count:
        parts[np.argmax(exact - parts)] += 1
    while parts.sum() > count:
        parts[np.argmax(parts - exact)] -= 1
    return [int(part) for part in parts]


def _patients(n_slides: int, rng: np.random.Generator) -> list[int]:
    """Give each slide the number of its patient: one or two slides a patient."""
    starts = rng.random(n_slides) < 0.75
    numbers: list[int] = []
    for at in range(n_slides):
        is_second = at > 0 and not starts[at] and numbers.count(numbers[-1]) < 2
        numbers.append(numbers[-1] if is_second else at)
    return numbers


def _slide_path(slide: CohortSlide) -> str:
    return f"slides/{slide.name}.tif"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise WorkspaceError(why_unwritable(folder, err)) from err


def _write_slide(folder: Path, slide: CohortSlide) -> None:
    path = folder / _slide_path(slide)
    if not is_written(path, slide.config):
        write_phantom(path, slide.config)


def _write_table(folder: Path, plan: tuple[CohortSlide, ...]) -> None:
    with writing(folder / "cohort.csv") as part, part.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for slide in plan:
            table.writerow(
                (
                    slide.name,
                    _slide_path(slide),
                    slide.config.label,
                    slide.patient,
                    slide.role,
                )
            )
