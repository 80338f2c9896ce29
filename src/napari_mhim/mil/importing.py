"""A checkpoint of another program becomes a bundle: what it does not say must be said.

Imports without torch; running :func:`import_checkpoint` does import it.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_mhim.errors import BundleError, ConfigError, FeatureMismatchError
from napari_mhim.events import Note
from napari_mhim.features.config import ExtractConfig
from napari_mhim.mil.bundle import save_bundle
from napari_mhim.mil.bundle_config import BundleConfig
from napari_mhim.mil.card import card

if TYPE_CHECKING:
    from napari_mhim.mil.official import Official, Unstated

ACTIVATION = "act"
"""What a model's ``build`` calls the activation after its projection."""

_RESNET50_DIM = 1024
_RECIPES = {"MHIM-MIL, version 1": "mhim", "MHIM-MIL, version 2": "mhim_v2"}


@dataclass(frozen=True)
class ImportConfig:
    """What a checkpoint does not say of itself."""

    activation: str = ""
    """Activation after the projection, where the file does not settle it: relu, gelu, …"""
    encoder: str = ""
    """Encoder of the features it wants: a name as in extract, or a whole id with its #hash."""
    weights: str = ""
    """File (or folder) of the encoder's weights; empty takes the encoder's own."""
    mpp: float | None = None
    """Micrometres per pixel the encoder saw; None takes the encoder's own."""
    patch_px: int | None = None
    """Patch width in the pixels the encoder saw; None takes the encoder's own."""
    features: str = ""
    """A feature file of the kind it wants, in place of encoder, mpp and patch."""
    name: str = ""
    """Name of the model, for people and folders of results; empty takes the bundle's folder."""
    licence: str = ""
    """Licence of the checkpoint, for the card; empty says that it is not stated."""
    encoder_licence: str = ""
    """Licence of the encoder's weights, for the card."""
    mask_ratio_high: float = 0.0
    """Share its teacher hid as easy in training (β_h, undecayed), in [0, 1); 0 where not known."""
    classes: tuple[str, ...] = ()
    """Class names in the model's order, the class of interest last."""
    model_options: Mapping[str, Any] = field(default_factory=dict)
    """More settings of the model that the file does not hold, by name."""

    def __post_init__(self) -> None:
        if not 0 <= self.mask_ratio_high < 1:
            raise ConfigError(
                f"mask_ratio_high must be in [0, 1), got {self.mask_ratio_high}"
            )
        if self.features and (self.encoder or self.mpp or self.patch_px):
            raise ConfigError(
                f"features {self.features!r} say encoder, mpp and patch themselves; give "
                "either the file or those"
            )

    @property
    def given(self) -> dict[str, Any]:
        """Give the settings of the model that were said."""
        said = {ACTIVATION: self.activation} if self.activation else {}
        return {**said, **self.model_options}


@dataclass(frozen=True)
class ImportDone:
    """The bundle is on disk."""

    bundle_path: str
    """Its folder."""
    model: str
    """Name of the model: a file in ``mil/models``."""
    layout: str
    """Whose program the checkpoint is of."""

    @property
    def line(self) -> str:
        """Say it in one line."""
        return f"{self.layout}: {self.model}, in {self.bundle_path}"


@dataclass(frozen=True)
class _Features:
    """Features a model wants."""

    encoder_id: str
    dim: int | None
    extract: ExtractConfig
    mpp: float
    patch_px: int


def import_checkpoint(
    checkpoint: str, out: str, config: ImportConfig
) -> Iterator[Note | ImportDone]:
    """Make a bundle of a checkpoint of another program.

    Parameters
    ----------
    checkpoint : str
        The file: torch's or safetensors; tensors only, a pickle is never run.
    out : str
        Folder of the bundle, which must not exist.
    config : ImportConfig
        What the file does not say.

    Yields
    ------
    Note or ImportDone
        What was left out or taken for granted; ``ImportDone`` is the last.

    Raises
    ------
    BundleError
        If the file cannot be imported exactly, or the folder exists.
    ConfigError
        If what the file does not say was not given: nothing is guessed.
    FeatureMismatchError
        If the features are of another length than the model wants.
    UnknownPartError
        If there is no such encoder.
    StoreError
        If the feature file cannot be read.
    WorkspaceError
        If the bundle cannot be written.
    """
    from napari_mhim.mil.official import look

    path, folder = Path(checkpoint), Path(out)
    if folder.exists():
        raise BundleError(
            f"there is something at {out!r} already; choose another folder or remove it"
        )
    found = look(path, **config.given)
    _refuse_unsaid(found, config, path)
    for note in found.notes:
        yield Note(note)
    features = _features(found, config, path)
    bundle_config = _bundle_config(found, features, config, path, folder)
    tensors = {f"student.{name}": t for name, t in found.student.items()}
    for name, tensor in (found.teacher or {}).items():
        tensors[f"teacher.{name}"] = tensor
    bundle = save_bundle(folder, bundle_config, tensors, card(bundle_config))
    yield Note("No cut-off was chosen: scores are shown, no class is decided.")
    yield ImportDone(str(bundle.path), found.model, found.layout)


def encoder_hint(found: "Official") -> str:
    """Say which of our encoders fits a checkpoint, as far as it can be known.

    Parameters
    ----------
    found : Official
        The checkpoint.

    Returns
    -------
    str
        Part of a sentence.
    """
    if found.in_dim != _RESNET50_DIM:
        return f"it wants {found.in_dim} numbers a patch"
    return (
        f"it wants {_RESNET50_DIM} numbers a patch; those of the MHIM, CLAM, TransMIL and "
        "DTFD papers are of 'resnet50', cut after its third layer, on patches of 256 px at "
        "0.5 µm per px, but other encoders give as many"
    )


def _refuse_unsaid(found: "Official", config: ImportConfig, path: Path) -> None:
    missing = [_wanted(unstated) for unstated in found.unstated]
    names, count = config.classes, found.n_classes
    if not names:
        missing.append(
            f"classes (names of its {count}, in its order, the class of interest last)"
        )
    if not (config.encoder or config.features):
        missing.append(f"encoder ({encoder_hint(found)})")
    if missing:
        raise ConfigError(
            f"{path.name!r} ({found.layout}) does not say everything, and nothing is "
            f"guessed; give {' and '.join(missing)}"
        )
    if len(names) != count:
        raise ConfigError(
            f"{path.name!r} has {count} classes, and {len(names)} were named "
            f"({', '.join(names)}); name each, in its order, the class of interest last"
        )
    if len(set(names)) < len(names) or not all(name.strip() for name in names):
        raise ConfigError(
            f"class names must be different and not empty, got {', '.join(names)!r}"
        )


def _wanted(unstated: "Unstated") -> str:
    known = f"one of {', '.join(unstated.choices)}, " if unstated.choices else ""
    is_activation = unstated.option == ACTIVATION
    name = "activation" if is_activation else f"model option {unstated.option}"
    return f"{name} ({known}usually {unstated.usual})"


def _features(found: "Official", config: ImportConfig, path: Path) -> _Features:
    if config.features:
        features = _of_store(config.features)
    elif "#" in config.encoder:
        features = _of_id(config)
    else:
        features = _of_encoder(config)
    if features.dim not in (None, found.in_dim):
        raise FeatureMismatchError(
            f"encoder {features.encoder_id!r} gives {features.dim} numbers a patch, "
            f"{path.name!r} wants {found.in_dim}; name the encoder it was trained on"
        )
    return features


def _of_store(path: str) -> _Features:
    from napari_mhim.features.store import FeatureStore

    with FeatureStore.open(path) as store:
        extract = _extract(store.encoder_id, store.grid.mpp, store.grid.patch_model_px)
        return _Features(
            store.encoder_id,
            store.dim,
            extract,
            store.grid.mpp,
            store.grid.patch_model_px,
        )


def _of_id(config: ImportConfig) -> _Features:
    if config.mpp is None or config.patch_px is None:
        raise ConfigError(
            f"encoder {config.encoder!r} is taken by its id and not built, so give mpp "
            "and patch_px too"
        )
    extract = _extract(config.encoder, config.mpp, config.patch_px, config.weights)
    return _Features(config.encoder, None, extract, config.mpp, config.patch_px)


def _of_encoder(config: ImportConfig) -> _Features:
    from napari_mhim.features.encoder import build_encoder

    encoder = build_encoder(config.encoder, "cpu", weights=config.weights)
    mpp = encoder.mpp if config.mpp is None else config.mpp
    patch_px = encoder.patch_model_px if config.patch_px is None else config.patch_px
    extract = _extract(config.encoder, mpp, patch_px, config.weights)
    return _Features(encoder.id, encoder.dim, extract, mpp, patch_px)


def _extract(
    encoder: str, mpp: float, patch_px: int, weights: str = ""
) -> ExtractConfig:
    name = encoder.partition("#")[0].partition("@")[0]
    return ExtractConfig(
        encoder=name, weights=weights, mpp=mpp, patch_model_px=patch_px
    )


def _bundle_config(
    found: "Official",
    features: _Features,
    config: ImportConfig,
    path: Path,
    folder: Path,
) -> BundleConfig:
    options = dict(found.options)
    in_dim, n_classes = options.pop("in_dim"), options.pop("n_classes")
    from napari_mhim.mil.building import refuse_unbuildable

    # settings that cannot be are refused here, not at the first slide
    refuse_unbuildable(found.model, options, in_dim, n_classes)
    has_teacher = found.teacher is not None
    return BundleConfig(
        name=config.name or folder.name,
        model=found.model,
        model_options=options,
        in_dim=in_dim,
        classes=config.classes,
        target=n_classes - 1,
        encoder_id=features.encoder_id,
        extract=features.extract,
        mpp=features.mpp,
        patch_model_px=features.patch_px,
        # a file without teacher does not say how it was trained
        recipe=_RECIPES.get(found.layout, "unknown") if has_teacher else "unknown",
        has_teacher=has_teacher,
        mask_ratio_high=config.mask_ratio_high,
        origin={
            "file": path.name,
            "sha256": sha256_of(path),
            "layout": found.layout,
            "licence": config.licence,
            "imported": datetime.now(UTC).isoformat(timespec="seconds"),
        },
        encoder_licence=config.encoder_licence,
    )


def sha256_of(path: Path) -> str:
    """Give the SHA-256 of a file, 64 hexadecimal digits; OSError if it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
