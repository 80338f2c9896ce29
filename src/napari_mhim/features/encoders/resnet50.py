"""ResNet-50 with ImageNet weights, cut after its third layer: 1024 numbers per patch.

The encoder of the MHIM paper (Tang et al., ICCV 2023), after Lu et al. (CLAM, Nature
Biomedical Engineering 2021): the last stage, whose features are the most bound to
ImageNet's classes, is left out, and what comes before it is pooled over the patch.
"""

import torchvision
from torch import nn

from napari_mhim.features._network import NetworkEncoder, load_strictly
from napari_mhim.features._torchvision import torchvision_weights
from napari_mhim.features.encoder import Encoder

MPP = 0.5
"""20-fold, as in the paper."""
PATCH_MODEL_PX = 256
"""As in the paper; the network takes patches as they are."""

_UNUSED = ("layer4.", "fc.")


def build(device: str, weights: str = "") -> Encoder:
    """Build the encoder.

    Parameters
    ----------
    device : str
        Where to run it.
    weights : str
        File with torchvision's names; empty takes torchvision's ``IMAGENET1K_V1``, from
        its folder of downloads or the network.

    Returns
    -------
    Encoder
        1024 numbers per patch.

    Raises
    ------
    ConfigError
        If the weights are missing or do not fit.
    """
    net = torchvision.models.resnet50(weights=None)
    net.layer4 = nn.Identity()
    net.fc = nn.Identity()
    hub = torchvision.models.ResNet50_Weights.IMAGENET1K_V1
    state, source = torchvision_weights("resnet50", hub, weights)
    load_strictly(net, state, "resnet50", source, _UNUSED)
    return NetworkEncoder(
        net, "resnet50", device, mpp=MPP, patch_model_px=PATCH_MODEL_PX
    )
