"""The original DSMIL: features as they are, an output and a sigmoid for each class.

A file with one output is exact here: tumour or none. One with several gives each class a
probability of its own, by labels such as [1, 0], [0, 1] or [0, 0]; these do not sum to 1
and are no model of ours.
"""

from collections.abc import Mapping
from typing import get_args

import torch
from torch import Tensor

from napari_mhim.errors import BundleError
from napari_mhim.mil.models import dsmil_original
from napari_mhim.mil.official._layout import Recognised, Unstated, fit, without

NAME = "DSMIL"
EXAMPLE = "i_classifier.fc.0.weight, b_classifier.fcc.weight"

_EMBEDDER = "i_classifier.feature_extractor."
_PROJECTION = "projection.0"


def read(tensors: Mapping[str, Tensor], file: str) -> Recognised | None:
    """Recognise a file by its bag classifier; None where it is of another layout."""
    fcc = tensors.get("b_classifier.fcc.weight")
    if fcc is None or fcc.ndim != 3:
        return None
    outputs, _, width = fcc.shape
    kept = without(tensors, _EMBEDDER)
    found = fit(
        # features go in as they are
        {
            **kept,
            f"{_PROJECTION}.weight": torch.eye(width),
            f"{_PROJECTION}.bias": torch.zeros(width),
        },
        {**dsmil_original.ORIGINAL_KEYS, _PROJECTION: _PROJECTION},
        "dsmil_original",
    )
    if found is None:
        return None
    if outputs > 1:
        raise BundleError(
            f"{file!r} ({NAME}) gives each of its {outputs} classes a probability of its "
            "own (a sigmoid), which do not sum to 1, so it cannot be imported exactly; "
            "files with one output can: for several classes train a 'dsmil' here"
        )
    options, weights = found
    unstated = [Unstated("streams", "both", get_args(dsmil_original.Streams))]
    if options["value"] == "linear":
        # a layer without weights that later code puts after the values
        del options["value"]
        unstated.append(Unstated("value", "linear", ("linear", "relu")))
    notes = []
    if len(kept) < len(tensors):
        notes.append(
            "The weights of its encoder (feature_extractor.*) are left out: features "
            "come from the encoder you name."
        )
    return Recognised(
        layout=f"{NAME}, as first published",
        model="dsmil_original",
        options={**options, "act": "none"},
        weights=weights,
        unstated=tuple(unstated),
        notes=tuple(notes),
    )
