"""Any model of timm or the Hugging Face hub that takes pictures, by its id or from disk.

``timm_hub:resnet18.a1_in1k`` is a model of timm, ``timm_hub:hf-hub:owner/model`` one of
the hub (``@revision`` may follow), and weights may lie in a file or in a folder that
also holds the ``config.json`` that timm writes. Mean, standard deviation and size of
the pixels are the model's own. A patch is seen whole: it is brought to the model's
size, where timm's recipe for photographs would crop it.
"""

from pathlib import Path
from typing import Any

import timm

from napari_mhim.errors import ConfigError
from napari_mhim.features._network import (
    NetworkEncoder,
    load_strictly,
    read_weights,
)
from napari_mhim.features.encoder import Encoder

MPP = 0.5
"""Most pathology models of the hub were trained at 20-fold, and none says so in a file."""

_FILES = ("model.safetensors", "pytorch_model.bin")


def build(
    device: str, source: str = "", weights: str = "", mpp: float = MPP
) -> Encoder:
    """Build the encoder.

    Parameters
    ----------
    device : str
        Where to run it.
    source : str
        The model's id; may be empty where the weights' folder says what they are of.
    weights : str
        File or folder of weights; empty takes those of the id, from the hub's cache or
        the network.
    mpp : float
        Micrometres per pixel the model is made for.

    Returns
    -------
    Encoder
        As many numbers per patch as the model gives.

    Raises
    ------
    ConfigError
        If no model has the id, or the weights are missing or do not fit.
    """
    net = _from_disk(source, weights) if weights else _from_hub(source)
    prepared = timm.data.resolve_model_data_config(net)
    height, width = prepared["input_size"][1:]
    name = source or net.pretrained_cfg["architecture"]
    return NetworkEncoder(
        net,
        f"timm_hub:{name}",
        device,
        mpp=mpp,
        patch_model_px=max(height, width),
        mean=prepared["mean"],
        std=prepared["std"],
        input_px=(height, width),
        interpolation="bicubic"
        if prepared["interpolation"] == "bicubic"
        else "bilinear",
    )


def _from_hub(source: str) -> Any:
    if not source:
        raise ConfigError(
            "encoder 'timm_hub' wants to know which model; write "
            "'timm_hub:resnet18.a1_in1k' or 'timm_hub:hf-hub:owner/model'"
        )
    try:
        return timm.create_model(source, pretrained=True, num_classes=0)
    # a hub's errors are of OSError (no network, no access) or RuntimeError (no such model)
    except (OSError, RuntimeError, ValueError, KeyError) as err:
        raise ConfigError(
            f"model {source!r} could not be had from timm or the hub "
            f"({_first_line(err)}); check the id and the network, run `hf auth login` "
            "for a gated model, or name a folder with its config.json and "
            "model.safetensors as weights"
        ) from err


def _from_disk(source: str, weights: str) -> Any:
    path = Path(weights).expanduser()
    folder = path if path.is_dir() else path.parent
    has_config = (folder / "config.json").is_file()
    file = _file_in(path) if path.is_dir() else path
    # a wrong path is said before a wrong model
    state = read_weights(file, "timm_hub")
    net = _without_weights(f"local-dir:{folder}" if has_config else source, folder)
    heads = net.pretrained_cfg.get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else heads
    unused = [f"{head}." for head in heads]
    load_strictly(net, state, "timm_hub", str(file), unused)
    return net


def _file_in(folder: Path) -> Path:
    files = [folder / name for name in _FILES if (folder / name).is_file()]
    if not files:
        raise ConfigError(
            f"encoder 'timm_hub' wants {' or '.join(_FILES)} in {str(folder)!r}, and "
            "there is none; name the file itself as weights"
        )
    return files[0]


def _without_weights(model: str, folder: Path) -> Any:
    if not model:
        raise ConfigError(
            f"there is no config.json in {str(folder)!r} to say what its weights are of; "
            "name the model too, for instance 'timm_hub:resnet18'"
        )
    try:
        return timm.create_model(model, pretrained=False, num_classes=0)
    except (OSError, RuntimeError, ValueError, KeyError) as err:
        raise ConfigError(
            f"timm cannot make model {model!r} ({_first_line(err)}); name one that "
            "`timm.list_models()` lists"
        ) from err


def _first_line(err: Exception) -> str:
    return str(err).strip().partition("\n")[0].rstrip(".")
