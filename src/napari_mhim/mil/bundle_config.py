"""What a trained model says of itself: a dataclass, its JSON, and the slides' salted ids."""

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

from napari_mhim.errors import BundleError, MhimError
from napari_mhim.features.config import ExtractConfig
from napari_mhim.mil.bags import Bag
from napari_mhim.mil.cutoff import Cutoff
from napari_mhim.mil.result import Role

VERSION = 1
"""Version of our part of ``config.json``; a newer one is refused."""

_WSINFER_SPEC = "1.0"


@dataclass(frozen=True)
class BundleConfig:
    """A trained model's settings, as plain values."""

    name: str
    """For people, and for folders of results."""
    model: str
    """Name of a file in ``mil/models``."""
    in_dim: int
    """Length of a feature vector."""
    classes: tuple[str, ...]
    """Names of the classes, in the model's order."""
    encoder_id: str
    """Encoder the features must be of."""
    extract: ExtractConfig
    """How slides become those features."""
    target: int = -1
    """Index of the class of interest; the last where negative."""
    model_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the model's ``build``."""
    mpp: float | None = None
    """Micrometres per pixel the encoder saw; None for features without positions."""
    patch_model_px: int | None = None
    """Patch width the encoder saw, px; None for features without positions."""
    recipe: str = "plain"
    """How it was trained."""
    recipe_settings: Mapping[str, Any] = field(default_factory=dict)
    """The recipe's settings in force, "auto" resolved."""
    has_teacher: bool = False
    """Whether the bundle holds a teacher."""
    mask_ratio_high: float = 0.0
    """Share a teacher hides as easy (β_h, undecayed), in [0, 1)."""
    head_fusion: Literal["vote", "mean"] = "vote"
    """How heads agree on what is salient."""
    cutoff: Cutoff | None = None
    """Cut-off of the class of interest; None where none was chosen."""
    calibrated: bool = False
    """Whether probabilities go through a stored calibration."""
    temperature: float = 1.0
    """What logarithms of probabilities are divided by, above 0; 1 where not calibrated."""
    calibrated_on: int = 0
    """Validation slides the temperature was fitted on; 0 where not calibrated."""
    evidence_limits: tuple[float, ...] = ()
    """Colour limits of each class's contribution, above 0; empty where not known."""
    evidence_limits_from: str = ""
    """Which slides those limits were read from, and how many."""
    aggregation: Literal["max"] = "max"
    """How a patient's slides become one score: the largest of the class of interest."""
    salt: str = ""
    """Salt of the ids in ``roles``."""
    roles: Mapping[str, str] = field(default_factory=dict)
    """Role of each slide, by salted id: no names leave with a bundle."""
    trained: Mapping[str, Any] = field(default_factory=dict)
    """How, when and on how many slides: for the card."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """Figures on the validation slides, with intervals."""
    distances: Mapping[str, Any] = field(default_factory=dict)
    """How far validation and training slides are from the training features, by role."""
    agreement_errors: Mapping[str, Any] = field(default_factory=dict)
    """Whether low teacher–student agreement went with errors on validation; empty where
    there were too few errors to tell."""
    encoder_licence: str = ""
    """Licence of the encoder's weights, "" when not stated."""
    origin: Mapping[str, Any] = field(default_factory=dict)
    """Where an imported model is from (file, sha256, layout, licence); empty for our own."""

    @property
    def target_index(self) -> int:
        """Give the index of the class of interest, 0 or more."""
        return self.target % len(self.classes)

    def extraction(
        self, device: str = "auto", slide_mpp: float | None = None
    ) -> ExtractConfig:
        """Give the extraction of the features this model was trained on.

        Parameters
        ----------
        device : str
            One of ``settings.DEVICES``.
        slide_mpp : float, optional
            Micrometres per pixel for slides that do not say theirs.

        Returns
        -------
        ExtractConfig
            The same encoder, scale, overlap and tissue share.
        """
        return replace(self.extract, device=device, slide_mpp=slide_mpp)

    def role_of(self, name: str, fingerprint: str = "") -> Role:
        """Say which role a slide had in this model's training.

        Parameters
        ----------
        name : str
            Slide's name.
        fingerprint : str
            Slide's fingerprint: finds a renamed file too.

        Returns
        -------
        str
            "unknown" where the model does not say which slides it saw.
        """
        if not self.roles:
            return "unknown"
        for text in (name, fingerprint):
            role = self.roles.get(salted(text, self.salt)) if text else None
            if role is not None:
                return cast(Role, role)
        return "not in the cohort"


def easy_share(config: BundleConfig) -> str:
    """Say how the share hidden as easy was found, and what validation slides said of it.

    Parameters
    ----------
    config : BundleConfig
        The model's settings.

    Returns
    -------
    str
        A clause; "" where the share was given, or nothing was hidden.
    """
    found = config.recipe_settings.get("mask_ratio_high_found", "")
    if found in ("", "given"):
        return ""
    confirmed = config.recipe_settings.get("mask_ratio_high_confirmed", "")
    return f"{found}; {confirmed}" if confirmed else str(found)


def salted_roles(
    bags_by_role: Mapping[str, Iterable[Bag]], parent: BundleConfig | None = None
) -> tuple[str, dict[str, str]]:
    """Give a salt, and the role of each slide by salted name and fingerprint.

    The ids keep names out of a shared folder. They are no secret from somebody who already
    has a list of candidate names to try.

    Parameters
    ----------
    bags_by_role : mapping of str to bags
        Slides of each role.
    parent : BundleConfig, optional
        Model this one goes on from: its salt is kept and its slides are remembered, since
        what it learnt from has been learnt.

    Returns
    -------
    tuple of str and dict
        The salt, a fresh one without a parent's, and id to role.
    """
    inherited = {} if parent is None else dict(parent.roles)
    salt = (parent.salt if parent else "") or secrets.token_hex(16)
    roles = {
        salted(text, salt): role
        for role, bags in bags_by_role.items()
        for bag in bags
        for text in (bag.name, bag.fingerprint)
        if text
    }
    learnt = {key: role for key, role in inherited.items() if role == "train"}
    return salt, {**inherited, **roles, **learnt}


def salted(text: str, salt: str) -> str:
    """Give a salted id of a name or fingerprint, 16 hexadecimal digits."""
    return hashlib.sha256(f"{salt}:{text}".encode()).hexdigest()[:16]


def to_json(config: BundleConfig) -> str:
    """Give ``config.json``: wsinfer-mil's keys for other readers, all of ours beside them."""
    ours = {**asdict(config), "version": VERSION}
    known = config.mpp is not None and config.patch_model_px is not None
    patch_um = config.mpp * config.patch_model_px if known else None  # type: ignore[operator]
    values = {
        "spec_version": _WSINFER_SPEC,
        "type": config.model,
        "patch_size_um": patch_um,
        "feature_extractor": config.encoder_id,
        "num_classes": len(config.classes),
        "class_names": list(config.classes),
        "napari_mhim": ours,
    }
    return json.dumps(values, indent=2, allow_nan=False) + "\n"


def from_json(text: bytes, folder: Path) -> BundleConfig:
    """Read ``config.json``.

    Parameters
    ----------
    text : bytes
        Its content.
    folder : Path
        Whose it is, for the message.

    Returns
    -------
    BundleConfig
        The settings.

    Raises
    ------
    BundleError
        If it is damaged, newer than this program, or names no classes.
    """
    try:
        values = json.loads(text)
    except ValueError as err:
        raise BundleError(
            f"config.json of model {str(folder)!r} is damaged ({err}); copy it again"
        ) from err
    names = values.get("class_names") if isinstance(values, dict) else None
    if not isinstance(names, list) or len(names) < 2:
        raise BundleError(
            f"model {str(folder)!r} does not name its classes (class_names in "
            "config.json); its scores would mean nothing: ask who made it"
        )
    if not isinstance(ours := values.get("napari_mhim"), dict):
        raise BundleError(
            f"model {str(folder)!r} was made by another program (no 'napari_mhim' in "
            "config.json); import it first"
        )
    if ours.get("version", 0) > VERSION:
        raise BundleError(
            f"model {str(folder)!r} is of version {ours['version']}, this program reads "
            f"up to {VERSION}; update napari-mhim"
        )
    try:
        return _of(ours)
    except (TypeError, ValueError, KeyError, MhimError) as err:
        raise BundleError(
            f"config.json of model {str(folder)!r} cannot be understood ({err})"
        ) from err


def _of(ours: dict[str, Any]) -> BundleConfig:
    values = {name: value for name, value in ours.items() if name != "version"}
    cutoff = values["cutoff"]
    return BundleConfig(
        **{
            **values,
            "classes": tuple(values["classes"]),
            "extract": ExtractConfig(**values["extract"]),
            "evidence_limits": tuple(values["evidence_limits"]),
            "cutoff": None if cutoff is None else Cutoff(**cutoff),
        }
    )
