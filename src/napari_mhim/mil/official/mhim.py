"""MHIM-MIL, version 1 and 2: students, teachers and baselines of the authors' code.

Both have the same layers; version 2 calls the projection ``feature``. Neither stores its
activations: version 1 has ReLU unless told otherwise, version 2's settings say GELU.
"""

from collections.abc import Mapping

from torch import Tensor

from napari_mhim.mil.models._layers import ACTIVATIONS
from napari_mhim.mil.official._layout import Recognised, Unstated, fit_any, without

NAME = "MHIM-MIL"
EXAMPLE = "patch_to_emb.0.weight, predictor.weight (version 2: feature.0.weight)"

_RECYCLE = "merge."
# in files of early runs, never used
_MASK_TOKEN = "online_encoder.mask_token"


def read(tensors: Mapping[str, Tensor], file: str) -> Recognised | None:
    """Recognise a file by its projection; None where it is of another layout."""
    is_second = any(key.startswith("feature.") for key in tensors)
    if not is_second and not any(key.startswith("patch_to_emb.") for key in tensors):
        return None
    found = fit_any(without(tensors, _RECYCLE, _MASK_TOKEN))
    if found is None:
        return None
    model, options, weights = found
    notes = []
    if any(key.startswith(_RECYCLE) for key in tensors):
        notes.append(
            "The recycle network (merge.*) is left out: the authors' code does not use "
            "it on new slides."
        )
    # version 2 averages DSMIL's streams before the softmax, version 1 after it
    settled = {"combine": "logits" if is_second else "probabilities"}
    return Recognised(
        layout=f"{NAME}, version {2 if is_second else 1}",
        model=model,
        options={**options, **(settled if model == "dsmil" else {})},
        weights=weights,
        unstated=(
            Unstated("act", "gelu" if is_second else "relu", tuple(ACTIVATIONS)),
        ),
        assumed={"attention_act": "relu"} if model == "abmil" else {},
        notes=tuple(notes),
    )
