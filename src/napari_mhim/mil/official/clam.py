"""CLAM, single and multi-branch, as its authors' code saves it."""

from collections.abc import Mapping

from torch import Tensor

from napari_mhim.mil.official._layout import Recognised, fit_any, without

NAME = "CLAM"
EXAMPLE = "attention_net.0.weight, classifiers.weight, instance_classifiers.0.weight"


def read(tensors: Mapping[str, Tensor], file: str) -> Recognised | None:
    """Recognise a file by its attention network; None where it is of another layout."""
    if "attention_net.0.weight" not in tensors:
        return None
    # buffers of the instances' loss
    kept = without(tensors, "instance_loss_fn.")
    if not any(key.startswith("attention_net.3.") for key in kept):
        # trained without dropout, which is a layer without weights between the two
        kept = {
            k.replace("attention_net.2.", "attention_net.3."): t
            for k, t in kept.items()
        }
    found = fit_any(kept)
    if found is None:
        return None
    model, options, weights = found
    return Recognised(
        layout=NAME, model=model, options={**options, "act": "relu"}, weights=weights
    )
