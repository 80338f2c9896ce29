"""What an encoder is, and how one is built by its name."""

import inspect
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from napari_mhim import _parts
from napari_mhim.errors import ConfigError

if TYPE_CHECKING:  # torch takes seconds to import, and names are listed without it
    from torch import Tensor

FOLDER = "napari_mhim.features.encoders"
"""Where the encoders are: one file, one encoder."""


@runtime_checkable
class Encoder(Protocol):
    """Turns patches into vectors; the same patch gives the same vector in any batch."""

    id: str
    """``name[:source@revision]#hash``, where the hash is of what the vectors come from:
    weights and preparation of the pixels. Two encoders of one id give equal features."""
    name: str
    """The id without its hash: what the user typed, and what a folder is called."""
    dim: int
    """Length of a vector."""
    mpp: float
    """Micrometres per pixel the encoder was made for."""
    patch_model_px: int
    """Width and height of the patch it was made for, in its pixels."""
    device: str
    """Where it runs: cpu, cuda or mps."""

    def __call__(self, patches: "Tensor") -> "Tensor":
        """Encode patches.

        Parameters
        ----------
        patches : Tensor, shape (B, H, W, 3), uint8
            RGB patches on ``device``, axes (y, x).

        Returns
        -------
        Tensor, shape (B, dim), float32
            One vector per patch, on ``device``.
        """
        ...


def encoder_names() -> tuple[str, ...]:
    """List the encoders there are, without importing any."""
    return _parts.names(FOLDER)


def build_encoder(name: str, device: str = "cpu", **config: Any) -> Encoder:
    """Build an encoder by its name.

    Parameters
    ----------
    name : str
        One of :func:`encoder_names`; what follows a colon is its source, for instance
        ``"timm_hub:hf-hub:bioptimus/H-optimus-0"``.
    device : str
        ``"cpu"``, ``"cuda"`` or ``"mps"``.
    **config
        Settings of the encoder, such as ``weights``; empty ones are left out.

    Returns
    -------
    Encoder
        Ready to be called.

    Raises
    ------
    UnknownPartError
        If there is no encoder of that name.
    ConfigError
        If the encoder does not take one of the settings, or its weights are missing or
        do not fit.
    """
    part_name, _, source = name.partition(":")
    build = _parts.load(FOLDER, part_name).build
    config = {key: value for key, value in config.items() if value not in ("", None)}
    if source:
        config["source"] = source
    _refuse_unknown(part_name, build, config)
    encoder: Encoder = build(device, **config)
    return encoder


def licence_of(name: str) -> str:
    """Give the licence of an encoder's weights.

    Parameters
    ----------
    name : str
        As for :func:`build_encoder`, or an encoder's id.

    Returns
    -------
    str
        What the encoder's file says (its ``LICENCE``); "" where it takes weights from
        elsewhere, or where there is no encoder of that name here.
    """
    part_name = name.partition("#")[0].partition("@")[0].partition(":")[0]
    if part_name not in encoder_names():
        return ""
    return str(getattr(_parts.load(FOLDER, part_name), "LICENCE", ""))


def _refuse_unknown(name: str, build: Any, config: dict[str, Any]) -> None:
    taken = inspect.signature(build).parameters.values()
    if any(param.kind is param.VAR_KEYWORD for param in taken):
        return
    known = [param.name for param in taken if param.name != "device"]
    if unknown := sorted(set(config) - set(known)):
        raise ConfigError(
            f"encoder {name!r} takes no {' or '.join(unknown)}; "
            f"it takes: {', '.join(known) or 'nothing'}"
        )
