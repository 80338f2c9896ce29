"""DSMIL as first published: the first class is what is left when no other speaks.

Two streams as in ``dsmil``, with an output for each class but the first, whose logit is
always 0: slides of it are labelled (0, 0, …) there. With two classes that is one output
and a sigmoid, as in the authors' code for tumour or none; with more, theirs gives each
class a sigmoid of its own, and here they compete in a softmax.

*Attention* has a row for each class but the first: how alike instances are to the one
that the class's stream puts highest. *Evidence* of an instance is the mean of both
streams' classifiers on it alone, without bias, minus the mean over classes (where the
bag stream decides alone, of that one); attention × evidence is approximate. The teacher
masks by the largest raw logit of the instance stream.

The authors' has no projection, and features as they are for values. Here there is one,
as in every model that MHIM can be put around; an imported file has the identity there.

References
----------
Li et al., "Dual-stream Multiple Instance Learning Network for Whole Slide Image
Classification", CVPR 2021, arXiv:2011.08939.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_mhim.errors import ConfigError
from napari_mhim.mil.model import MILModel, MILOutput
from napari_mhim.mil.models._layers import check_classes, initialise, projection
from napari_mhim.mil.models.dsmil import DSMILOutput, both_streams

ORIGINAL_KEYS = {
    "i_classifier.fc": "instance_classifier",
    "i_classifier.fc.0": "instance_classifier",
    "b_classifier.q": "query.0",
    "b_classifier.q.0": "query.0",
    "b_classifier.q.2": "query.2",
    "b_classifier.v.1": "value.0",
    "b_classifier.fcc": "bag_classifier",
}
"""Layers of the authors' checkpoints and what they are called here."""

Value = Literal["none", "linear", "relu"]
Streams = Literal["both", "bag"]


class OriginalDSMIL(MILModel):
    """Projection and two streams, with an output for each class but the first."""

    deciding = ("instance_classifier", "bag_classifier")

    def __init__(
        self,
        project: nn.Module,
        query: nn.Module,
        value: nn.Module,
        hidden: int,
        outputs: int,
        streams: Streams,
    ):
        super().__init__()
        self._streams = streams
        self.branches = tuple(f"class {index + 1}" for index in range(outputs))
        self.projection = project
        self.instance_classifier = nn.Linear(hidden, outputs)
        self.query = query
        self.value = value
        self.bag_classifier = nn.Conv1d(outputs, outputs, hidden)
        initialise(self)

    def aggregate(self, h: Tensor) -> DSMILOutput:
        """Pool embedded instances, shape (N, D), N ≥ 1, into one output."""
        raw = self.instance_classifier(h)  # (N, C - 1)
        queries = self.query(h)  # (N, Q)
        critical = queries[raw.argmax(dim=0)]  # (C - 1, Q)
        likeness = critical @ queries.T / queries.shape[1] ** 0.5  # (C - 1, N)
        attention = likeness.softmax(dim=1)
        values = self.value(h)  # (N, D)
        bags = attention @ values  # (C - 1, D)
        # the first class's logit is 0
        logits = F.pad(self.bag_classifier(bags[None])[0, :, 0], (1, 0))  # (C,)
        instance_logits = F.pad(raw, (1, 0))  # (N, C)
        return DSMILOutput(
            logits=logits,
            embedding=bags,
            scores=raw.detach().amax(dim=1)[None],  # (1, N)
            attention=attention.detach(),
            weigh=partial(self._evidence, h, values),
            classify=instance_logits.detach,
            instance_logits=instance_logits,
        )

    def loss(self, output: MILOutput, label: int) -> Tensor:
        """Give the mean of both streams' cross entropies."""
        assert isinstance(output, DSMILOutput)
        streams = torch.stack([output.logits, output.top_logits])  # (2, C)
        target = torch.full((2,), label, device=streams.device)
        return F.cross_entropy(streams, target)

    def probabilities(self, output: MILOutput) -> Tensor:
        """Give the bag stream's probabilities, or the mean of both streams', shape (C,)."""
        assert isinstance(output, DSMILOutput)
        return self._decided(output.logits, output.top_logits)

    def parts(self, h: Tensor) -> Callable[[Tensor], Tensor]:
        """Judge each instance once, in both streams; parts of the bag only pool anew."""
        judged = both_streams(
            self.instance_classifier(h),
            self.query(h),
            self.value(h),
            self.bag_classifier,
        )

        def decided(kept: Tensor) -> Tensor:
            bag, top = judged(kept)  # both (C - 1,)
            return self._decided(F.pad(bag, (1, 0)), F.pad(top, (1, 0)))

        return decided

    def _decided(self, bag: Tensor, top: Tensor) -> Tensor:
        """Give the probabilities, shape (C,), from both streams' logits."""
        alone = bag.softmax(dim=-1)
        if self._streams == "bag":
            return alone
        return (alone + top.softmax(dim=-1)) / 2

    def _evidence(self, h: Tensor, values: Tensor) -> Tensor:
        # a bag of this instance alone is its value, the same for every class
        judged = values @ self.bag_classifier.weight.sum(dim=1).T  # (N, C - 1)
        if self._streams == "both":
            judged = (judged + h @ self.instance_classifier.weight.T) / 2
        judged = F.pad(judged, (1, 0))  # (N, C)
        return judged - judged.mean(dim=1, keepdim=True)


def build(
    in_dim: int,
    n_classes: int,
    hidden: int = 512,
    query_dim: int = 128,
    deep_query: bool = True,
    value: Value = "none",
    streams: Streams = "both",
    act: str = "relu",
    dropout: float = 0.25,
) -> OriginalDSMIL:
    """Build an original DSMIL with fresh weights.

    Parameters
    ----------
    in_dim : int
        Width of the features.
    n_classes : int
        Number of classes, at least 2; the first is what is left.
    hidden : int
        Width D of the embedded instances.
    query_dim : int
        Width in which likeness is measured.
    deep_query : bool
        Whether it is measured after two layers or one.
    value : {"none", "linear", "relu"}
        What instances go through before they are pooled.
    streams : {"both", "bag"}
        Which decide; both are trained.
    act : str
        ``"relu"``, ``"gelu"``, ``"tanh"`` or ``"none"``, after the projection.
    dropout : float
        Share of the embedded instances' values dropped in train mode, in [0, 1).

    Returns
    -------
    OriginalDSMIL
        The model, on the CPU.

    Raises
    ------
    ConfigError
        If a value is out of range or a name unknown.
    """
    check_classes(n_classes)
    for name, given, known in (
        ("value", value, get_args(Value)),
        ("streams", streams, get_args(Streams)),
    ):
        if given not in known:
            raise ConfigError(
                f"{name} must be one of {', '.join(map(repr, known))}; got {given!r}"
            )
    project = projection(in_dim, hidden, act, dropout)
    query = nn.Sequential(nn.Linear(hidden, query_dim))
    if deep_query:
        query.extend([nn.ReLU(), nn.Linear(query_dim, query_dim), nn.Tanh()])
    values = nn.Sequential()
    if value != "none":
        values.append(nn.Linear(hidden, hidden))
    if value == "relu":
        values.append(nn.ReLU())
    return OriginalDSMIL(project, query, values, hidden, n_classes - 1, streams)


def official_config(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read from translated weights what :func:`build` must be told.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        Weights under this model's own names.

    Returns
    -------
    dict
        Arguments of :func:`build`; whether values go through ReLU and which streams
        decide is not stored, so not among them.
    """
    hidden, in_dim = tensors["projection.0.weight"].shape
    return {
        "in_dim": in_dim,
        "n_classes": tensors["instance_classifier.weight"].shape[0] + 1,
        "hidden": hidden,
        "query_dim": tensors["query.0.weight"].shape[0],
        "deep_query": "query.2.weight" in tensors,
        "value": "linear" if "value.0.weight" in tensors else "none",
    }
