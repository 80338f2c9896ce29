"""What encoders that are neural networks have in common: their weights and their pixels."""

import hashlib
import pickle
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_mhim.errors import ConfigError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# names under which training scripts put the weights among other things
_WRAPPERS = ("state_dict", "model")
# a file of half the width would otherwise be named with every layer it has
_NAMED_KEYS = 3

HALF = {"cuda": torch.float16}
"""Devices on which the matrix products of a network are taken in another precision."""


class NetworkEncoder:
    """A network that takes normalised pixels and gives one vector per patch.

    Parameters
    ----------
    net : nn.Module
        (B, 3, H, W) float32 → (B, dim), weights loaded.
    name : str
        ``name[:source]``.
    device : str
        Where to run it.
    mpp : float
        Micrometres per pixel it is made for.
    patch_model_px : int
        Patch width it is made for.
    mean, std : sequence of 3 floats
        Of red, green and blue in [0, 1], as it was trained with.
    input_px : tuple of 2 ints, optional
        Height and width that every patch is brought to; None takes patches as they are.
    interpolation : str
        How, ``"bilinear"`` or ``"bicubic"``.
    scale : float
        What the network's vectors are multiplied by. Models are trained with learning
        rates that suit numbers of about 1, and some networks give tens.
    """

    def __init__(
        self,
        net: nn.Module,
        name: str,
        device: str,
        *,
        mpp: float,
        patch_model_px: int,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        input_px: tuple[int, int] | None = None,
        interpolation: str = "bilinear",
        scale: float = 1.0,
    ) -> None:
        preparation = (tuple(mean), tuple(std), input_px, interpolation, scale)
        self.name = name
        self.id = f"{name}#{digest(net.state_dict(), repr(preparation))}"
        self.mpp = mpp
        self.patch_model_px = patch_model_px
        self.device = device
        # pixels come with their channels last, and convolutions are faster that way
        self._net = net.eval().requires_grad_(False).to(device)
        self._net.to(memory_format=torch.channels_last)
        self._half = HALF.get(torch.device(device).type)
        self._mean = torch.tensor(mean, device=device).view(1, 3, 1, 1) * 255
        self._std = torch.tensor(std, device=device).view(1, 3, 1, 1) * 255
        self._input_px = input_px
        self._interpolation = interpolation
        self._scale = scale
        # what a network calls its width is not always the length of what it gives
        grey = torch.full(
            (1, patch_model_px, patch_model_px, 3), 128, dtype=torch.uint8
        )
        self.dim = self(grey.to(device)).shape[1]

    @torch.inference_mode()
    def __call__(self, patches: Tensor) -> Tensor:
        """Encode patches.

        Parameters
        ----------
        patches : Tensor, shape (B, H, W, 3), uint8
            RGB patches on ``device``, axes (y, x).

        Returns
        -------
        Tensor, shape (B, dim), float32
            One vector per patch, on ``device``.

        Raises
        ------
        ConfigError
            If the patches are smaller than the network can take.
        """
        x = patches.permute(0, 3, 1, 2).float()  # (B, 3, H, W)
        if self._input_px not in (None, tuple(x.shape[2:])):
            x = functional.interpolate(
                x, self._input_px, mode=self._interpolation, antialias=True
            ).clamp(0, 255)  # (B, 3, *input_px)
        try:
            vectors = self._vectors((x - self._mean) / self._std)  # (B, dim)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as err:
            height, width = patches.shape[1:3]
            if min(height, width) >= self.patch_model_px:
                raise
            raise ConfigError(
                f"encoder {self.name!r} cannot take patches of {height} × {width} px, "
                f"it is made for {self.patch_model_px} × {self.patch_model_px}"
            ) from err
        assert isinstance(vectors, Tensor)
        if vectors.ndim != 2:
            raise ConfigError(
                f"encoder {self.name!r} gives values of shape {tuple(vectors.shape[1:])} "
                "for a patch and not one vector; choose a model that pools"
            )
        return vectors.float() * self._scale

    def _vectors(self, x: Tensor) -> Any:
        if self._half is None:
            return self._net(x)
        with torch.autocast(x.device.type, self._half):
            vectors = self._net(x)
        if not isinstance(vectors, Tensor):
            return vectors
        # some networks have values beyond the largest of 16 bits; patch by patch, since
        # none is to depend on its batch
        vectors = vectors.float()
        beyond = ~vectors.flatten(1).isfinite().all(1)  # (B,)
        if beyond.any():
            vectors[beyond] = self._net(x[beyond]).float()
        return vectors


def digest(state: Mapping[str, Tensor], preparation: str = "") -> str:
    """Give a short hash of weights, the same from whatever file they came.

    Parameters
    ----------
    state : mapping of str to Tensor
        The weights in use.
    preparation : str
        What else the vectors depend on, such as mean and size of the pixels.

    Returns
    -------
    str
        12 hexadecimal digits.
    """
    sha = hashlib.sha256(preparation.encode())
    for key in sorted(state):
        # a counter of training steps, without effect on what comes out
        if key.endswith("num_batches_tracked"):
            continue
        value = state[key].detach().cpu().contiguous()
        sha.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        sha.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()[:12]


def read_weights(path: str | Path, wanted_by: str) -> dict[str, Tensor]:
    """Read a file of weights; only tensors are ever taken from it.

    Parameters
    ----------
    path : str or Path
        A ``.safetensors``, ``.pth``, ``.pt`` or ``.bin`` file.
    wanted_by : str
        Name of the encoder, for the messages.

    Returns
    -------
    dict of str to Tensor
        The weights, on the CPU.

    Raises
    ------
    ConfigError
        If there is no such file, or it holds something else or more than tensors.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise ConfigError(
            f"encoder {wanted_by!r} wants its weights in {str(path)!r}, which is no file; "
            "correct the path, or leave weights empty to fetch them from the network"
        )
    try:
        found = _load(path)
    except (OSError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError) as err:
        raise ConfigError(
            f"{str(path)!r} cannot be read as weights of encoder {wanted_by!r}: it is "
            "damaged, or holds more than tensors; fetch it again, or save its state_dict"
        ) from err
    for wrapper in _WRAPPERS:
        if isinstance(inner := found.get(wrapper), dict):
            found = inner
    state = {key: value for key, value in found.items() if isinstance(value, Tensor)}
    if not state or len(state) < len(found):
        raise ConfigError(
            f"{str(path)!r} holds no weights for encoder {wanted_by!r}: wanted is a "
            "state_dict, names with tensors"
        )
    return state


def load_strictly(
    net: nn.Module,
    state: Mapping[str, Tensor],
    wanted_by: str,
    source: str,
    unused: Iterable[str] = (),
) -> None:
    """Put weights into a network: each of its names must be there, in its shape.

    Parameters
    ----------
    net : nn.Module
        The network.
    state : mapping of str to Tensor
        The weights.
    wanted_by : str
        Name of the encoder, for the message.
    source : str
        Where the weights came from, for the message.
    unused : iterable of str
        Beginnings of names that may be there and are left out, such as a classifier's.

    Raises
    ------
    ConfigError
        If names are missing, unknown, or of another shape.
    """
    unused = tuple(unused)
    state = {key: value for key, value in state.items() if not key.startswith(unused)}
    own = {key: tuple(value.shape) for key, value in net.state_dict().items()}
    theirs = {key: tuple(value.shape) for key, value in state.items()}
    wrong = {
        "lack": [key for key in own if key not in theirs],
        "also hold": [key for key in theirs if key not in own],
        "have another shape of": [
            key for key in own if key in theirs and own[key] != theirs[key]
        ],
    }
    faults = [f"{verb} {_some(keys)}" for verb, keys in wrong.items() if keys]
    if faults:
        raise ConfigError(
            f"weights in {source!r} do not fit encoder {wanted_by!r}: they "
            f"{' and '.join(faults)}"
        )
    net.load_state_dict(state)


def _load(path: Path) -> dict[str, object]:
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return dict(load_file(path))
        except SafetensorError as err:
            raise ValueError(str(err)) from err
    found = torch.load(path, map_location="cpu", weights_only=True)
    return found if isinstance(found, dict) else {}


def _some(keys: Sequence[str]) -> str:
    named = ", ".join(repr(key) for key in keys[:_NAMED_KEYS])
    more = len(keys) - _NAMED_KEYS
    return f"{named} and {more} more" if more > 0 else named
