"""Weights of torchvision's models: from a file, its folder of downloads, or the network."""

from pathlib import Path

import torch
from torch import Tensor
from torchvision.models import WeightsEnum

from napari_mhim.errors import ConfigError
from napari_mhim.features._network import read_weights


def torchvision_weights(
    name: str, hub: WeightsEnum, path: str
) -> tuple[dict[str, Tensor], str]:
    """Read weights with torchvision's names.

    Parameters
    ----------
    name : str
        The encoder's, for the message.
    hub : WeightsEnum
        Which weights to take where no file is given.
    path : str
        A file, or empty.

    Returns
    -------
    state : dict of str to Tensor
        The weights.
    source : str
        Where they came from.

    Raises
    ------
    ConfigError
        If they are neither there nor to be had; the message names the file expected.
    """
    if path:
        return read_weights(path, name), path
    file = Path(torch.hub.get_dir(), "checkpoints", hub.url.rpartition("/")[2])
    if file.is_file():
        return read_weights(file, name), str(file)
    try:
        return hub.get_state_dict(progress=False, check_hash=True), hub.url
    except (OSError, RuntimeError) as err:
        raise ConfigError(
            f"encoder {name!r} wants its weights in {str(file)!r}, and they could not be "
            f"fetched from the network ({err}); fetch {hub.url} elsewhere and put it "
            "there, or name a file of them as its weights"
        ) from err
