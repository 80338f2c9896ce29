"""Made weights: small networks with random weights, saved as users have them."""

import json
from functools import cache
from pathlib import Path

import timm
import torch
import torchvision
from safetensors.torch import save_file

TINY = "test_vit"
"""A model of timm with 0.4 million weights that takes 160 × 160 pixels and no others."""


def resnet50_file(folder: Path, **changes: object) -> str:
    """Save a whole ResNet-50, classifier included, as torchvision does."""
    return _saved({**_resnet50_state(), **changes}, folder / "resnet50.pth")


def squeezenet_file(folder: Path) -> str:
    """Save a whole SqueezeNet, classifier included."""
    torch.manual_seed(0)
    state = torchvision.models.squeezenet1_0(weights=None).state_dict()
    return _saved(state, folder / "squeezenet.pth")


def tiny_state(seed: int = 0) -> dict[str, torch.Tensor]:
    """Give the weights of the tiny model, classifier included."""
    torch.manual_seed(seed)
    state = timm.create_model(TINY, pretrained=False).state_dict()
    # what timm makes is nearly the same for every patch
    return {key: value + 0.1 * torch.randn_like(value) for key, value in state.items()}


def tiny_file(folder: Path, seed: int = 0) -> str:
    """Save the tiny model's weights alone."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tiny_state(seed), folder / "tiny.safetensors")
    return str(folder / "tiny.safetensors")


def tiny_folder(folder: Path, **config: object) -> str:
    """Save the tiny model as the Hugging Face hub has it: weights and config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tiny_state(), folder / "model.safetensors")
    net = timm.create_model(TINY, pretrained=False)
    text = {
        "architecture": TINY,
        "num_classes": 1000,
        "pretrained_cfg": {**net.pretrained_cfg, **config},
    }
    (folder / "config.json").write_text(json.dumps(text), encoding="utf-8")
    return str(folder)


@cache
def _resnet50_state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return torchvision.models.resnet50(weights=None).state_dict()


def _saved(state: object, path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)
    return str(path)
