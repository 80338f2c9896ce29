"""A trained model on disk: weights, settings and card; read without torch until it is built.

::

    model.safetensors   student.* and, where there is one, teacher.*; features.mean, features.std
    config.json         wsinfer-mil's keys, and ours under "napari_mhim"
    README.md           the card
"""

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from napari_mhim import _parts
from napari_mhim.errors import (
    BundleError,
    FeatureMismatchError,
    MhimError,
    WorkspaceError,
)
from napari_mhim.mil.bags import Bag
from napari_mhim.mil.bundle_config import BundleConfig, from_json, to_json
from napari_mhim.mil.config import MODELS
from napari_mhim.workspace import why_unwritable

if TYPE_CHECKING:
    from torch import Tensor

    from napari_mhim.features.store import FeatureStore
    from napari_mhim.mil.model import MILModel

__all__ = ["Bundle", "BundleConfig", "save_bundle"]

_WEIGHTS, _CONFIG, _CARD = "model.safetensors", "config.json", "README.md"


class Bundle:
    """One trained model; made by :meth:`open`.

    Attributes
    ----------
    path : Path
        Its folder.
    config : BundleConfig
        What it is and what it wants.
    id : str
        Hash of weights and settings, 16 hexadecimal digits: two bundles that differ
        anywhere differ in it.
    """

    def __init__(self, path: Path, config: BundleConfig, bundle_id: str) -> None:
        self.path = path
        self.config = config
        self.id = bundle_id

    @classmethod
    def open(cls, path: str | Path) -> "Bundle":
        """Read a bundle's settings and see that its weights are whole.

        Parameters
        ----------
        path : str or Path
            The folder.

        Returns
        -------
        Bundle
            The bundle; imports no torch.

        Raises
        ------
        BundleError
            If a file is missing, damaged, from a newer version, or without class names.
        """
        folder = Path(path)
        if not folder.is_dir():
            raise BundleError(f"no model folder at {str(folder)!r}; choose a bundle")
        for name in (_CONFIG, _WEIGHTS):
            if not (folder / name).is_file():
                raise BundleError(
                    f"model {str(folder)!r} has no {name}; it is not a bundle, or was "
                    "copied in part"
                )
        text = (folder / _CONFIG).read_bytes()
        config = from_json(text, folder)
        digest = _sha256(folder / _WEIGHTS)
        bundle = cls(folder, config, hashlib.sha256(text + digest).hexdigest()[:16])
        if config.has_teacher and not bundle._has("teacher."):
            raise BundleError(
                f"model {str(folder)!r} says it has a teacher, but {_WEIGHTS} holds "
                "none; it was copied in part: copy it again"
            )
        if not bundle._has("student."):
            raise BundleError(f"model {str(folder)!r} holds no student's weights")
        return bundle

    @property
    def name(self) -> str:
        """Give the model's name, for people and folders."""
        return self.config.name

    @cached_property
    def card(self) -> str:
        """Give the card as Markdown, "" where there is none."""
        card = self.path / _CARD
        return card.read_text(encoding="utf-8") if card.is_file() else ""

    def student(self, device: str = "cpu") -> "MILModel":
        """Build what predicts, in eval mode; imports torch.

        Parameters
        ----------
        device : str
            ``"cpu"``, ``"cuda"`` or ``"mps"``.

        Returns
        -------
        MILModel
            The student.

        Raises
        ------
        BundleError
            If the weights are not of the model that ``config.json`` names.
        """
        return self._build("student.", device)

    def teacher(self, device: str = "cpu") -> "MILModel | None":
        """Build what hid the easy instances; None where there was none. As :meth:`student`."""
        return self._build("teacher.", device) if self.config.has_teacher else None

    def tensors(self) -> "dict[str, Tensor]":
        """Read all weights and statistics, for a bundle that differs in its settings alone.

        Returns
        -------
        dict of str to Tensor
            By name in the file; BundleError where it is damaged.
        """
        with _weights(self.path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118

    def statistics(self) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        """Give mean and standard deviation of the training features.

        Returns
        -------
        tuple of two ndarrays, shape (D,), or None
            None where the bundle has none.
        """
        if not self._has("features."):
            return None
        with _weights(self.path, "numpy") as file:
            return file.get_tensor("features.mean"), file.get_tensor("features.std")

    def check(self, features: "FeatureStore | Bag") -> None:
        """Refuse features this model was not made for.

        Parameters
        ----------
        features : FeatureStore or Bag
            Features of a slide.

        Raises
        ------
        FeatureMismatchError
            If they are of another encoder, scale or length; both sides are named.
        """
        config, grid = self.config, features.grid
        whose = features.name if isinstance(features, Bag) else features.slide_name
        pairs: list[tuple[str, object, object]] = [
            ("encoder", features.encoder_id, config.encoder_id),
            ("length", features.dim, config.in_dim),
        ]
        if grid is not None:
            pairs += [
                ("µm per pixel", grid.mpp, config.mpp),
                ("patch width in pixels", grid.patch_model_px, config.patch_model_px),
            ]
        for what, ours, wanted in pairs:
            if wanted is not None and ours != wanted:
                raise FeatureMismatchError(
                    f"features of slide {whose!r} are of {what} {ours!r}, model "
                    f"{self.name!r} wants {wanted!r}; extract the slide for this model, "
                    "or choose another one"
                )

    def _build(self, prefix: str, device: str) -> "MILModel":
        config = self.config
        try:
            with _weights(self.path, "pt") as file:
                weights = {
                    name.removeprefix(prefix): file.get_tensor(name)
                    for name in file.keys()  # noqa: SIM118 - the file is no mapping
                    if name.startswith(prefix)
                }
            part = _parts.load(MODELS, config.model)
            options = dict(config.model_options)
            model: MILModel = part.build(config.in_dim, len(config.classes), **options)
            model.load_state_dict(weights)
        except BundleError:
            raise
        except (RuntimeError, TypeError, MhimError) as err:
            raise BundleError(
                f"weights of model {self.name!r} are not of a {config.model!r} with "
                f"{config.in_dim} features and {len(config.classes)} classes: "
                f"{str(err).splitlines()[0]}"
            ) from err
        return model.to(device).eval().requires_grad_(False)

    def _has(self, prefix: str) -> bool:
        with _weights(self.path, "numpy") as file:
            return any(name.startswith(prefix) for name in file.keys())  # noqa: SIM118


def save_bundle(
    path: Path, config: BundleConfig, tensors: Mapping[str, "Tensor"], card: str
) -> Bundle:
    """Write a bundle, whole or not at all.

    Parameters
    ----------
    path : Path
        Its folder, which must not exist: a bundle is never overwritten.
    config : BundleConfig
        What it is.
    tensors : mapping of str to Tensor
        Weights under ``student.``, ``teacher.`` and ``features.`` names.
    card : str
        The card, Markdown.

    Returns
    -------
    Bundle
        The bundle, opened.

    Raises
    ------
    BundleError
        If the folder exists.
    WorkspaceError
        If it cannot be written or the disk is full; nothing is left behind.
    """
    from safetensors.torch import save

    path = Path(path)
    if path.exists():
        raise BundleError(
            f"there is a model at {str(path)!r} already; choose another name or remove it"
        )
    # cloned: safetensors refuses tensors that share memory
    plain = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        draft.mkdir(parents=True, exist_ok=True)
        (draft / _WEIGHTS).write_bytes(save(plain, {"format": "pt"}))
        (draft / _CONFIG).write_text(to_json(config), encoding="utf-8")
        (draft / _CARD).write_text(card, encoding="utf-8")
        os.replace(draft, path)
    except OSError as err:
        raise WorkspaceError(why_unwritable(path, err)) from err
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Bundle.open(path)


@contextmanager
def _weights(folder: Path, framework: str) -> Iterator[Any]:
    try:
        with safe_open(folder / _WEIGHTS, framework) as file:
            yield file
    except (SafetensorError, OSError) as err:
        raise BundleError(
            f"weights of model {str(folder)!r} are damaged ({err}); copy it again"
        ) from err


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
