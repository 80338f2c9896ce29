"""DTFD-MIL: four modules, each saved by itself, in one file."""

from collections.abc import Mapping
from typing import get_args

from torch import Tensor

from napari_mhim.mil.models import dtfd
from napari_mhim.mil.official._layout import Recognised, Unstated, fit

NAME = "DTFD-MIL"
EXAMPLE = "dim_reduction.fc1.weight, attention.attention_V.0.weight, att_classifier.*"

_MODULES = ("dim_reduction.", "attention.", "classifier.", "att_classifier.")


def read(tensors: Mapping[str, Tensor], file: str) -> Recognised | None:
    """Recognise a file by its modules; None where it is of another layout."""
    if "dim_reduction.fc1.weight" not in tensors:
        return None
    kept = {key: t for key, t in tensors.items() if key.startswith(_MODULES)}
    found = fit(kept, dtfd.OFFICIAL_KEYS, "dtfd")
    if found is None:
        return None
    options, weights = found
    return Recognised(
        layout=NAME,
        model="dtfd",
        options={**options, "act": "relu"},
        weights=weights,
        unstated=(
            Unstated("distil", "aggregated", get_args(dtfd.Distil)),
            Unstated("pseudo_bags", "4"),
        ),
        notes=(
            "The authors' program deals a slide's patches into pseudo-bags by chance each "
            "time it looks; here they are dealt in turn, so a slide is always judged alike.",
        ),
    )
