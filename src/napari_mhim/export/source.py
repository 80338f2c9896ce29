"""What an export is made of: a result, its slide, its regions; checked, and blinded if asked."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_mhim.errors import BundleError, ConfigError, FeatureMismatchError
from napari_mhim.export.options import ExportOptions
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.result import SlideResult, hard_instances
from napari_mhim.slide import Slide, open_slide
from napari_mhim.slide.regions import (
    REASONS,
    Region,
    SlideIdentity,
    cells_excluded,
    read_regions,
)

if TYPE_CHECKING:
    from napari_mhim.mil.bundle_config import BundleConfig


@dataclass(frozen=True, eq=False)
class Source:
    """All that one export may use; nothing else of the slide leaves."""

    result: SlideResult
    """What the model saw; without name and path where blinded."""
    slide: Slide
    """The open slide: only its pixels are used, never label or macro image."""
    identity: SlideIdentity
    """Whose regions and tiles these are, for a file that says so."""
    options: ExportOptions
    """What was asked for."""
    class_index: int
    """Class shown."""
    rows: NDArray[np.int64]
    """Patches asked for, shape (M,), rows of the bag, in its order or best first."""
    regions: tuple[Region, ...] = ()
    """Regions drawn on the slide."""
    excluded: NDArray[np.bool_] | None = None
    """True for patches in an excluded region, shape (N,); None where none is excluded."""
    without: NDArray[np.float32] | None = None
    """Class scores without the excluded patches, shape (C,); None where not worked out."""
    model: "BundleConfig | None" = None
    """What the model says of itself, where its folder was given."""
    notes: tuple[str, ...] = ()
    """What was left out of the regions, a sentence each."""

    @property
    def class_name(self) -> str:
        """Give the name of the class shown."""
        return self.result.classes[self.class_index]


@contextmanager
def open_source(
    result: SlideResult | str | Path,
    slide: Slide | str | Path,
    options: ExportOptions,
    without: NDArray[np.float32] | None = None,
) -> Iterator[Source]:
    """Open what an export needs, and see that it belongs together.

    Parameters
    ----------
    result : SlideResult or path
        What the model saw, or its file.
    slide : Slide or path
        The slide it saw; one given open stays open.
    options : ExportOptions
        How it leaves.
    without : ndarray, shape (C,), optional
        Class scores without the excluded patches, where somebody worked them out.

    Yields
    ------
    Source
        Ready to be written.

    Raises
    ------
    StoreError, SlideError
        If result or slide cannot be read.
    FeatureMismatchError
        If the result is of another slide.
    RegionError
        If the regions are of another slide.
    BundleError
        If the model is not the one the result is of.
    ConfigError
        If the result knows no class of that name.
    """
    found = (
        result if isinstance(result, SlideResult) else SlideResult.load(Path(result))
    )
    with ExitStack() as stack:
        opened = (
            slide
            if isinstance(slide, Slide)
            else stack.enter_context(open_slide(slide))
        )
        check_slide(found, opened)
        yield _source(found, opened, options, without)


def check_slide(result: SlideResult, slide: Slide) -> None:
    """Refuse a result of another slide.

    Parameters
    ----------
    result : SlideResult
        What the model saw.
    slide : Slide
        The slide it is to be shown on.

    Raises
    ------
    FeatureMismatchError
        If size or fingerprint differ.
    """
    (h, w), (height, width) = result.slide_shape, slide.shape
    if (h, w) != (height, width):
        raise FeatureMismatchError(
            f"the result is of slide {result.slide!r} ({w} × {h} px), but "
            f"{slide.path.name!r} has {width} × {height} px; choose the slide that the "
            "model was run on"
        )
    if result.fingerprint and result.fingerprint != slide.fingerprint:
        raise FeatureMismatchError(
            f"the result is of another file than {slide.path.name!r} (slide "
            f"{result.slide!r}; their fingerprints differ); choose the slide that the "
            "model was run on, or run it again"
        )


def _source(
    result: SlideResult,
    slide: Slide,
    options: ExportOptions,
    without: NDArray[np.float32] | None,
) -> Source:
    index = _class_index(result, options.class_name)
    regions: tuple[Region, ...] = ()
    notes: tuple[str, ...] = ()
    identity = SlideIdentity.of(slide)
    if options.regions:
        read = read_regions(Path(options.regions), identity)
        regions, notes = read.regions, read.notes
    model = _model(result, options.model)
    excluded = _excluded(result, regions, options)
    if excluded is None:
        without = None
    elif without is None:
        without = _without(result, excluded, options, model is not None)
    shown = result
    if options.blinded:
        shown = _blinded(result, options.case)
        identity = replace(identity, name=shown.slide)
        regions = tuple(_unnamed(one) for one in regions)
        notes = ()
    return Source(
        result=shown,
        slide=slide,
        identity=identity,
        options=options,
        class_index=index,
        rows=_rows(result, options, index),
        regions=regions,
        excluded=excluded,
        without=without,
        model=model,
        notes=notes,
    )


def _excluded(
    result: SlideResult, regions: tuple[Region, ...], options: ExportOptions
) -> NDArray[np.bool_] | None:
    """Tell which patches are left out: by the regions given, else as the result knows."""
    if not options.regions:
        return result.excluded
    excluded = cells_excluded(regions, result.grid)
    return excluded if excluded.any() else None


def _without(
    result: SlideResult,
    excluded: NDArray[np.bool_],
    options: ExportOptions,
    has_model: bool,
) -> NDArray[np.float32] | None:
    """Give the scores without the excluded patches, where they are known or can be."""
    if result.excluded is not None and np.array_equal(excluded, result.excluded):
        return result.excluding
    if has_model and options.features:
        return score_without(options.model, options.features, excluded, result)
    return None


def score_without(
    model: str, features: str, excluded: NDArray[np.bool_], result: SlideResult
) -> NDArray[np.float32] | None:
    """Work out a slide's scores without some of its patches; imports torch.

    Parameters
    ----------
    model, features : str
        Folder of the bundle, and the slide's feature file.
    excluded : ndarray, shape (N,), bool
        True for the patches left out.
    result : SlideResult
        What the model saw.

    Returns
    -------
    ndarray, shape (C,), float32, or None
        None where no patch is left.

    Raises
    ------
    FeatureMismatchError
        If the features are not those that the result was made from.
    StoreError, BundleError
        If features or model cannot be read.
    """
    from napari_mhim.features.store import FeatureStore
    from napari_mhim.mil.questions import Score, Without, open_reading

    if excluded.all():
        return None
    with FeatureStore.open(Path(features)) as store:
        is_other = store.fingerprint != result.fingerprint or len(store.grid) != len(
            result
        )
    if is_other:
        raise FeatureMismatchError(
            f"features {Path(features).name!r} are not those of the result of slide "
            f"{result.slide!r}; choose its feature file"
        )
    answers = open_reading(model, features, "cpu")(Without(excluded))
    scores = [a for a in answers if isinstance(a, Score)]
    return scores[-1].probabilities


def _class_index(result: SlideResult, name: str) -> int:
    if not name:
        return result.target
    if name not in result.classes:
        raise ConfigError(
            f"the model knows no class {name!r}; there are: {', '.join(result.classes)}"
        )
    return result.classes.index(name)


def _model(result: SlideResult, folder: str) -> "BundleConfig | None":
    if not folder:
        return None
    bundle = Bundle.open(folder)
    if bundle.id != result.bundle_id:
        raise BundleError(
            f"model {bundle.name!r} ({bundle.id}) is not the one the result is of, "
            f"{result.bundle!r} ({result.bundle_id}); choose that, or run this one"
        )
    return bundle.config


def _rows(result: SlideResult, options: ExportOptions, index: int) -> NDArray[np.int64]:
    if options.patches == "hard":
        return hard_instances(result, index, options.top).index
    if options.patches == "hidden":
        return np.flatnonzero(result.mask)
    weight = result.attention.mean(axis=0)
    order = np.argsort(-weight, kind="stable")
    return order[: options.top] if options.patches == "top" else np.arange(len(result))


def _blinded(result: SlideResult, case: str) -> SlideResult:
    # without a number of the reader's own, one that tells slides apart and names none
    name = case or " ".join(["Case", result.fingerprint[:6]]).strip()
    return replace(result, slide=name, path="")


def _unnamed(one: Region) -> Region:
    reason = one.reason if one.reason in (*REASONS, "") else "other"
    return replace(one, name="", reason=reason, other={})
