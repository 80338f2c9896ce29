"""Each layout against its own program, written out slowly from its tensors' names."""

from collections.abc import Callable
from math import ceil, sqrt
from pathlib import Path
from typing import Any

import pytest
import torch
from made_checkpoints import (
    CLAM_MB,
    CLAM_SB,
    DSMIL,
    DTFD,
    ORIGINAL_TRANSMIL,
    TRANSMIL,
    modules_of,
    original_dsmil,
    tensors,
)
from torch import Tensor
from torch.nn import functional as F

from napari_mhim import _parts
from napari_mhim.errors import BundleError
from napari_mhim.mil.config import MODELS
from napari_mhim.mil.official import LAYOUTS, look, read_official

Numbers = dict[str, Tensor]


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[Any], Path]:
    def save(content: Any) -> Path:
        path = tmp_path / "s_0_checkpoint.pt"
        torch.save(content, path)
        return path

    return save


def small(layout: dict[str, tuple[int, ...]], seed: int = 0) -> Numbers:
    """Weights small enough that no softmax is all on one instance."""
    return {key: value / 3 for key, value in tensors(layout, seed).items()}


def judged(path: Path, x: Tensor, **given: Any) -> tuple[Tensor, Tensor]:
    found = read_official(path, **given)
    model = _parts.load(MODELS, found.model).build(**found.options).eval()
    model.load_state_dict(found.student)
    output = model(x)
    return output.logits, model.probabilities(output)


def linear(content: Numbers, name: str, x: Tensor) -> Tensor:
    return F.linear(x, content[f"{name}.weight"], content.get(f"{name}.bias"))


def nystrom(content: Numbers, name: str, x: Tensor, heads: int, marks: int) -> Tensor:
    zeros = -len(x) % marks
    padded = torch.cat([torch.zeros(zeros, x.shape[1]), x])
    q, k, v = linear(content, f"{name}.to_qkv", padded).chunk(3, dim=1)
    q, k, v = (t.view(len(padded), heads, -1).transpose(0, 1) for t in (q, k, v))
    q = q / q.shape[-1] ** 0.5
    group = len(padded) // marks
    q_mean, k_mean = (t.view(heads, marks, group, -1).mean(2) for t in (q, k))
    middle = (q_mean @ k_mean.mT).softmax(-1)
    z = middle.mT / (middle.sum(-1).max() * middle.sum(-2).max())
    eye = torch.eye(marks)
    for _ in range(6):
        product = middle @ z
        z = z @ (13 * eye - product @ (15 * eye - product @ (7 * eye - product))) / 4
    out = (q @ k_mean.mT).softmax(-1) @ z @ ((q_mean @ k.mT).softmax(-1) @ v)
    kernel = content[f"{name}.res_conv.weight"]
    out = out + F.conv2d(v[None], kernel, padding=(16, 0), groups=heads)[0]
    merged = linear(content, f"{name}.to_out.0", out.transpose(0, 1).flatten(1))
    return merged[zeros:]


def norm(content: Numbers, name: str, x: Tensor) -> Tensor:
    return F.layer_norm(
        x, x.shape[-1:], content[f"{name}.weight"], content[f"{name}.bias"]
    )


def positions(content: Numbers, name: str, tokens: Tensor, side: int) -> Tensor:
    square = tokens.T.reshape(1, -1, side, side)
    mixed = square
    for part, reach in (("proj", 3), ("proj1", 2), ("proj2", 1)):
        weight, bias = (content[f"{name}.{part}.{leaf}"] for leaf in ("weight", "bias"))
        mixed = mixed + F.conv2d(
            square, weight, bias, padding=reach, groups=square.shape[1]
        )
    return mixed[0].flatten(1).T


@pytest.mark.parametrize("n", [1, 2, 5, 9, 30, 70])
def test_the_original_transmil_pads_to_a_square_first(
    n: int, saved: Callable[[Any], Path]
):
    content = small(ORIGINAL_TRANSMIL)
    x = torch.randn(n, 12, generator=torch.Generator().manual_seed(n))
    h = torch.relu(linear(content, "_fc1.0", x))
    side = ceil(sqrt(n))
    h = torch.cat([h, h[: side**2 - n]])
    tokens = torch.cat([content["cls_token"][0], h])
    for layer in ("layer1", "layer2"):
        normed = norm(content, f"{layer}.norm", tokens)
        tokens = tokens + nystrom(content, f"{layer}.attn", normed, heads=8, marks=8)
        if layer == "layer1":
            laid_out = positions(content, "pos_layer", tokens[1:], side)
            tokens = torch.cat([tokens[:1], laid_out])
    expected = linear(content, "_fc2", norm(content, "norm", tokens)[0])
    logits, _ = judged(saved(content), x)
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("n", [1, 5, 70])
def test_mhims_transmil_with_two_heads(n: int, saved: Callable[[Any], Path]):
    content = small(TRANSMIL)
    x = torch.randn(n, 12, generator=torch.Generator().manual_seed(n))
    own = {k.removeprefix("online_encoder."): v for k, v in content.items()}
    h = F.gelu(linear(own, "patch_to_emb.0", x))
    tokens = torch.cat([own["cls_token"][0], h])
    normed = norm(own, "layer1.norm", tokens)
    tokens = tokens + nystrom(own, "layer1.attn", normed, heads=2, marks=256)
    # the square is filled here, and to seven at least
    side = ceil(sqrt(n))
    filled = torch.cat([tokens[1:], tokens[1 : 1 + side**2 - n]])
    side = max(side, 7)
    filled = torch.cat([filled, torch.zeros(side**2 - len(filled), 16)])
    laid_out = positions(own, "pos_embedding", filled, side)[:n]
    tokens = torch.cat([tokens[:1], laid_out])
    normed = norm(own, "layer2.norm", tokens)
    tokens = tokens + nystrom(own, "layer2.attn", normed, heads=2, marks=256)
    expected = linear(own, "predictor", norm(own, "norm", tokens)[0])
    logits, _ = judged(saved(content), x, act="gelu")
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)


def dual_stream(content: Numbers, h: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Give the bag's and the instances' logits of DSMIL's two streams."""
    name = (
        "i_classifier.fc.0"
        if "i_classifier.fc.0.weight" in content
        else "i_classifier.fc"
    )
    name = "i_classifier.0" if "i_classifier.0.weight" in content else name
    each = linear(content, name, h)
    if "b_classifier.q.weight" in content:
        q = linear(content, "b_classifier.q", h)
    else:
        q = torch.relu(linear(content, "b_classifier.q.0", h))
        q = torch.tanh(linear(content, "b_classifier.q.2", q))
    bags = []
    for c in range(each.shape[1]):
        weights = (q @ q[each[:, c].argmax()] / q.shape[1] ** 0.5).softmax(dim=0)
        bags.append(weights @ value)
    fcc, bias = (content[f"b_classifier.fcc.{leaf}"] for leaf in ("weight", "bias"))
    bag = torch.einsum("ocd,cd->o", fcc, torch.stack(bags)) + bias
    return bag, each.amax(dim=0)


@pytest.mark.parametrize("version", [1, 2])
def test_mhims_dsmil_averages_as_its_version_does(
    version: int, saved: Callable[[Any], Path]
):
    content = small(DSMIL)
    own = {k.removeprefix("online_encoder."): v for k, v in content.items()}
    x = torch.randn(20, 12, generator=torch.Generator().manual_seed(0))
    h = torch.relu(linear(own, "patch_to_emb.0", x))
    value = torch.relu(linear(own, "b_classifier.v.1", h))
    bag, top = dual_stream(own, h, value)
    if version == 1:
        expected = (bag.softmax(0) + top.softmax(0)) / 2
    else:
        expected = ((bag + top) / 2).softmax(0)
        content = {k.replace("patch_to_emb", "feature"): v for k, v in content.items()}
    _, probabilities = judged(saved(content), x, act="relu")
    torch.testing.assert_close(probabilities, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("streams", ["both", "bag"])
@pytest.mark.parametrize("query", ["deep", "linear"])
@pytest.mark.parametrize("value", ["none", "linear", "relu"])
@pytest.mark.parametrize("name", ["fc", "fc.0"])
def test_the_original_dsmil_with_one_output(
    streams: str, query: str, value: str, name: str, saved: Callable[[Any], Path]
):
    shapes = original_dsmil(1, query == "deep", value != "none", name)
    content = small(shapes)
    x = torch.randn(20, 12, generator=torch.Generator().manual_seed(0))  # of both signs
    values = x
    if value != "none":
        values = linear(content, "b_classifier.v.1", x)
        values = torch.relu(values) if value == "relu" else values
    bag, top = (logit.sigmoid() for logit in dual_stream(content, x, values))
    expected = (bag + top) / 2 if streams == "both" else bag
    said = {"value": value} if value != "none" else {}
    _, probabilities = judged(saved(content), x, streams=streams, **said)
    torch.testing.assert_close(probabilities[1:], expected, atol=1e-5, rtol=1e-4)


def test_the_original_dsmil_does_not_say_what_its_values_go_through(
    saved: Callable[[Any], Path],
):
    found = look(saved(tensors(original_dsmil(1, True, True))), streams="bag")
    assert [(u.option, u.choices) for u in found.unstated] == [
        ("value", ("linear", "relu"))
    ]


def test_the_original_dsmil_of_several_outputs_is_refused(
    saved: Callable[[Any], Path],
):
    with pytest.raises(
        BundleError, match=r"each of its 2 classes a probability of its own"
    ):
        look(saved(tensors(original_dsmil(2, True, False))))


def test_the_original_dsmils_encoder_is_left_out_and_told(
    saved: Callable[[Any], Path],
):
    content = tensors(original_dsmil(1, True, False))
    content["i_classifier.feature_extractor.conv1.weight"] = torch.ones(4, 3, 7, 7)
    found = look(saved(content))
    assert found.model == "dsmil_original"
    assert any("feature_extractor" in note for note in found.notes)


def gated(
    content: Numbers, name: str, x: Tensor, parts: tuple[str, str, str]
) -> Tensor:
    signal = torch.tanh(linear(content, f"{name}.{parts[0]}", x))
    gate = torch.sigmoid(linear(content, f"{name}.{parts[1]}", x))
    return linear(content, f"{name}.{parts[2]}", signal * gate).softmax(dim=0)


@pytest.mark.parametrize("layout", ["sb", "mb"])
@pytest.mark.parametrize("has_dropout", [True, False])
def test_clam(layout: str, has_dropout: bool, saved: Callable[[Any], Path]):
    content = small(CLAM_SB if layout == "sb" else CLAM_MB)
    x = torch.randn(30, 12, generator=torch.Generator().manual_seed(0))
    h = torch.relu(linear(content, "attention_net.0", x))
    parts = ("attention_a.0", "attention_b.0", "attention_c")
    pooled = gated(content, "attention_net.3", h, parts).T @ h  # (1 or C, D)
    if layout == "sb":
        expected = linear(content, "classifiers", pooled[0])
    else:
        each = [linear(content, f"classifiers.{c}", pooled[c]) for c in range(3)]
        expected = torch.cat(each)
    if not has_dropout:
        content = {k.replace("net.3.", "net.2."): v for k, v in content.items()}
    content["instance_loss_fn.labels"] = torch.arange(2)
    path = saved(content)
    assert look(path).model == f"clam_{layout}"
    logits, _ = judged(path, x)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-4)


def test_clam_without_a_gate_is_refused(saved: Callable[[Any], Path]):
    content = {
        k.replace("attention_a.0", "module.0").replace("attention_c", "module.3"): v
        for k, v in tensors(CLAM_SB).items()
        if "attention_b" not in k
    }
    with pytest.raises(BundleError, match="no layout known here, or in part"):
        look(saved(content))


@pytest.mark.parametrize("is_parallel", [True, False])
def test_dtfd(is_parallel: bool, saved: Callable[[Any], Path]):
    content = small(DTFD)
    x = torch.randn(23, 12, generator=torch.Generator().manual_seed(0))
    h = torch.relu(linear(content, "dim_reduction.fc1", x))
    parts = ("attention_V.0", "attention_U.0", "attention_weights")
    bags = [h[first::4] for first in range(4)]  # dealt in turn
    pooled = [gated(content, "attention", bag, parts).T @ bag for bag in bags]
    given = torch.cat(pooled)
    slide = gated(content, "att_classifier.attention", given, parts).T @ given
    expected = linear(content, "att_classifier.classifier.fc", slide[0])
    nested = modules_of(content)
    if is_parallel:
        nested = {
            module: {f"module.{k}": v for k, v in inner.items()}
            for module, inner in nested.items()
        }
    path = saved({**nested, "epoch": 3})
    logits, _ = judged(path, x, distil="aggregated", pseudo_bags=4)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-4)
    assert any("by chance" in note for note in look(path).notes)


def test_lightnings_container_is_read(saved: Callable[[Any], Path]):
    content = tensors(ORIGINAL_TRANSMIL)
    path = saved(
        {"epoch": 3, "state_dict": {f"model.{k}": v for k, v in content.items()}}
    )
    assert look(path).options["square_first"]


@pytest.mark.parametrize("name", _parts.names(LAYOUTS))
def test_a_layout_knows_nothing_of_others_tensors(name: str):
    layout = _parts.load(LAYOUTS, name)
    assert layout.NAME
    assert layout.EXAMPLE
    assert layout.read({"conv1.weight": torch.ones(3)}, "a.pt") is None
    assert layout.read({}, "a.pt") is None


def test_every_layout_is_told_to_whom_has_another(saved: Callable[[Any], Path]):
    with pytest.raises(BundleError) as caught:
        look(saved({f"layer{i}.weight": torch.ones(2) for i in range(9)}))
    said = str(caught.value)
    assert "'layer0.weight', 'layer1.weight', 'layer2.weight' and 6 more" in said
    for name in ("CLAM", "DSMIL", "DTFD-MIL", "MHIM-MIL", "TransMIL"):
        assert f"{name} (" in said
