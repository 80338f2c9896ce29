"""From a slide to its features: read, encode and write at once, and go on after a stop.

Imports without torch, since the window's process receives its events; running it does
import torch.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from napari_mhim.errors import FeatureMismatchError
from napari_mhim.events import Note, Progress
from napari_mhim.features._encoding import encoded
from napari_mhim.features._part import forget_other_part
from napari_mhim.features.config import ExtractConfig
from napari_mhim.features.cut import Cut, settings_of
from napari_mhim.features.encoder import Encoder, build_encoder
from napari_mhim.features.store import FeatureStore, StoreMeta, StoreWriter
from napari_mhim.settings import cpu_threads, resolve_device
from napari_mhim.slide import open_slide
from napari_mhim.slide.patches import read_patches
from napari_mhim.slide.tiling import grid_mpp
from napari_mhim.slide.tissue import TissueConfig
from napari_mhim.slide.tissue_file import as_text

if TYPE_CHECKING:
    from napari_mhim.slide import Slide


@dataclass(frozen=True)
class ExtractDone:
    """The features of one slide are on disk."""

    path: str
    """Path of the store."""
    slide: str
    """The slide's name."""
    n_patches: int
    """How many patches it has."""
    skipped: bool = False
    """True when they were there before."""


def scale_of(config: ExtractConfig) -> tuple[float, int]:
    """Give the scale an extraction works at.

    Parameters
    ----------
    config : ExtractConfig
        Where it leaves mpp or patch to the encoder, the encoder is built.

    Returns
    -------
    mpp : float
        Micrometres per pixel the encoder sees.
    patch_model_px : int
        Patch width in the pixels the encoder sees.

    Raises
    ------
    UnknownPartError, ConfigError
        If the encoder has to be built and cannot be.
    """
    if config.mpp is not None and config.patch_model_px is not None:
        return config.mpp, config.patch_model_px
    encoder = _encoder_of(config)
    grid = config.grid_config(encoder.mpp, encoder.patch_model_px)
    return grid.mpp, grid.patch_model_px


def extract(
    slide_path: str | Path,
    store_path: str | Path,
    config: ExtractConfig,
    tissue: TissueConfig | Path | None = None,
    renew: bool = False,
) -> Iterator[Progress | Note | ExtractDone]:
    """Extract the features of one slide; goes on where an earlier run was stopped.

    Parameters
    ----------
    slide_path : str or Path
        The slide's file.
    store_path : str or Path
        Where the features are to be; the file appears when they are complete.
    config : ExtractConfig
        Encoder, grid, device.
    tissue : TissueConfig or Path, optional
        How tissue is found, or the file in which that may be saved with the slide; the
        defaults where not given or not saved.
    renew : bool
        Whether features of other tissue settings are made anew, and not refused; those
        that are there stay until the new ones are complete.

    Yields
    ------
    Progress, Note or ExtractDone
        What was counted is on disk before it is yielded; ``ExtractDone`` is the last.

    Raises
    ------
    SlideError
        If the file is no slide.
    UnknownMppError
        If the slide does not say its micrometres per pixel, and ``config`` neither.
    NoTissueError
        If no patch holds enough tissue.
    UnknownPartError, ConfigError
        If the encoder cannot be built or not one patch fits the device's memory.
    FeatureMismatchError
        If features of another slide, encoder, grid or tissue lie there.
    StoreError
        If a damaged file lies there, another process is at it, or the encoder gives
        numbers that are none.
    WorkspaceError
        If the disk is full or the folder cannot be written; what is done is kept.
    """
    path = Path(store_path)
    with open_slide(slide_path) as slide:
        # a slide that cannot be used is refused before weights are fetched
        mpp = grid_mpp(slide, config.slide_mpp)
        yield from map(Note, slide.notes)
        yield Progress(f"encoder {config.encoder}", 0, 0)
        encoder = _encoder_of(config)
        grid_config = config.grid_config(encoder.mpp, encoder.patch_model_px)
        cut = Cut(slide, mpp, grid_config, settings_of(tissue, slide))
        if path.exists():
            with FeatureStore.open(path) as store:
                store.check(slide, encoder.id, grid_config, mpp)
                other = cut.differs_from(store)
                if other and not renew:
                    raise FeatureMismatchError(other)
                if not other:
                    yield ExtractDone(str(path), slide.name, len(store), skipped=True)
                    return
            yield Note(f"The features of slide {slide.name!r} are made anew.")
        yield Progress(f"tissue of {slide.name}", 0, 0)
        grid = cut.grid()
        meta = StoreMeta(
            slide_name=slide.name,
            fingerprint=slide.fingerprint,
            slide_shape=slide.shape,
            slide_mpp=mpp,
            encoder_id=encoder.id,
            dim=encoder.dim,
            grid=grid,
            overlap=grid_config.overlap,
            min_tissue=grid_config.min_tissue,
            tissue=as_text(cut.tissue),
        )
        if renew:
            forget_other_part(path, meta.identity())
        with StoreWriter(path, meta, config.batch_size) as writer:
            yield from _fill(writer, slide, encoder, config)
            missing = writer.missing_tiles
            writer.finish()
        if missing:
            yield Note(
                f"{missing} tiles of slide {slide.name!r} are missing or "
                "damaged; the model saw them as white, and the features say where"
            )
        yield ExtractDone(str(path), slide.name, len(grid))


def _fill(
    writer: StoreWriter, slide: "Slide", encoder: Encoder, config: ExtractConfig
) -> Iterator[Progress | Note]:
    """Encode the patches that are not yet on disk."""
    total, stage = len(writer.meta.grid), f"features of {slide.name}"
    if writer.n_rows:
        yield Note(
            f"The features of slide {slide.name!r} go on at patch {writer.n_rows} "
            f"of {total}"
        )
    yield Progress(stage, writer.n_rows, total)
    # an earlier sitting has counted what the tissue mask met; a tile that both sittings'
    # patches touch counts twice, so a resumed count can be too high and never too low
    before = writer.missing_tiles - (slide.missing_tiles if writer.n_rows else 0)
    threads = config.threads or cpu_threads()
    patches = read_patches(
        slide, writer.meta.grid, config.batch_size, threads, writer.n_rows
    )
    with _torch_threads(threads):
        for rows in encoded(encoder, patches):
            if isinstance(rows, Note):
                yield rows
                continue
            writer.note_missing(slide.missing_boxes)
            missing = before + slide.missing_tiles
            writer.append(rows.index, rows.features, missing)
            yield Progress(stage, writer.n_rows, total)


@contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _encoder_of(config: ExtractConfig) -> Encoder:
    device = resolve_device(config.device)
    return _build(config.encoder, config.weights, _stamp(config.weights), device)


# one slide after another is encoded by one encoder, and its weights may take seconds
@lru_cache(maxsize=1)
def _build(name: str, weights: str, stamp: object, device: str) -> Encoder:
    return build_encoder(name, device, weights=weights)


def _stamp(weights: str) -> object:
    """Give what changes when a file of weights is replaced by another."""
    path = Path(weights).expanduser()
    if not weights or not path.exists():
        return None
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return tuple((f.name, f.stat().st_mtime_ns, f.stat().st_size) for f in files)
