"""SqueezeNet 1.0 with ImageNet weights: 512 numbers per patch from a file of 5 MB.

Small enough for a laptop without a GPU, and a real encoder where a download is none.
Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters",
arXiv:1602.07360; its classifier is left out and the last feature map pooled.
The map's numbers run to tens (on breast tissue 10 on the average, deviation 14), and a
gated attention saturates on them: a tenth of them is given.
"""

import torchvision
from torch import nn

from napari_mhim.features._network import NetworkEncoder, load_strictly
from napari_mhim.features._torchvision import torchvision_weights
from napari_mhim.features.encoder import Encoder

MPP = 0.5
"""20-fold."""
PATCH_MODEL_PX = 224
"""As on ImageNet; the network takes patches as they are."""

SCALE = 0.1
"""What the pooled features are multiplied by."""


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
        512 numbers per patch.

    Raises
    ------
    ConfigError
        If the weights are missing or do not fit.
    """
    net = torchvision.models.squeezenet1_0(weights=None)
    net.classifier = nn.AdaptiveAvgPool2d(1)  # the net flattens what it gives: (B, 512)
    hub = torchvision.models.SqueezeNet1_0_Weights.IMAGENET1K_V1
    state, source = torchvision_weights("squeezenet", hub, weights)
    load_strictly(net, state, "squeezenet", source, ("classifier.",))
    return NetworkEncoder(
        net,
        "squeezenet",
        device,
        mpp=MPP,
        patch_model_px=PATCH_MODEL_PX,
        scale=SCALE,
    )
