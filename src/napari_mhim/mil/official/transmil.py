"""The original TransMIL, which fills the list up to a square before its first layer."""

from collections.abc import Mapping

from torch import Tensor

from napari_mhim.mil.models import transmil
from napari_mhim.mil.official._layout import Recognised, fit

NAME = "TransMIL"
EXAMPLE = "_fc1.0.weight, cls_token, _fc2.weight"

_OUTER = {
    "patch_to_emb": "_fc1",
    "predictor": "_fc2",
    "online_encoder.pos_embedding": "pos_layer",
    "online_encoder": "",
}
"""What MHIM-MIL put around TransMIL's layers, and what they were called before."""


def read(tensors: Mapping[str, Tensor], file: str) -> Recognised | None:
    """Recognise a file by its first layer; None where it is of another layout."""
    if "_fc1.0.weight" not in tensors:
        return None
    keys = {_before(theirs): ours for theirs, ours in transmil.OFFICIAL_KEYS.items()}
    found = fit(tensors, keys, "transmil")
    if found is None:
        return None
    options, weights = found
    return Recognised(
        layout=f"{NAME}, as first published",
        model="transmil",
        options={
            **options,
            "landmarks": max(1, options["hidden"] // 2),
            "square_first": True,
            "act": "relu",
        },
        weights=weights,
    )


def _before(name: str) -> str:
    for now, then in _OUTER.items():
        if f"{name}.".startswith(f"{now}."):
            return f"{then}{name.removeprefix(now)}".removeprefix(".")
    return name
