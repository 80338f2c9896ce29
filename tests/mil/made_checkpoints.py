"""Small checkpoints in the layouts of other programs, by names and shapes."""

import torch
from torch import Tensor

PLAIN = {
    "patch_to_emb.0.weight": (16, 12),
    "patch_to_emb.0.bias": (16,),
    "predictor.weight": (3, 16),
    "predictor.bias": (3,),
    "online_encoder.attention.attention.0.weight": (8, 16),
    "online_encoder.attention.attention.2.weight": (1, 8),
}
GATED = {
    **{key: shape for key, shape in PLAIN.items() if "attention" not in key},
    "online_encoder.attention.attention_a.0.weight": (8, 16),
    "online_encoder.attention.attention_b.0.weight": (8, 16),
    "online_encoder.attention.attention_c.weight": (1, 8),
}
VERSION_2 = {
    **{key.replace("patch_to_emb", "feature"): shape for key, shape in PLAIN.items()},
    "merge.norm.weight": (16,),
    "merge.global_q_mm": (1, 5, 16),
}
NORMS = ("norm", "layer1.norm", "layer2.norm")
DSMIL = {
    **{key: shape for key, shape in PLAIN.items() if "attention" not in key},
    "online_encoder.i_classifier.0.weight": (3, 16),
    "online_encoder.i_classifier.0.bias": (3,),
    "online_encoder.b_classifier.q.0.weight": (8, 16),
    "online_encoder.b_classifier.q.0.bias": (8,),
    "online_encoder.b_classifier.q.2.weight": (8, 8),
    "online_encoder.b_classifier.q.2.bias": (8,),
    "online_encoder.b_classifier.v.1.weight": (16, 16),
    "online_encoder.b_classifier.v.1.bias": (16,),
    "online_encoder.b_classifier.fcc.weight": (3, 3, 16),
    "online_encoder.b_classifier.fcc.bias": (3,),
}
TRANSMIL = {
    **{key: shape for key, shape in PLAIN.items() if "attention" not in key},
    "online_encoder.cls_token": (1, 1, 16),
    "online_encoder.mask_token": (1, 1, 16),  # in files of early runs
    **{f"online_encoder.{name}.weight": (16,) for name in NORMS},
    **{f"online_encoder.{name}.bias": (16,) for name in NORMS},
    **{
        f"online_encoder.layer{layer}.attn.{name}": shape
        for layer in (1, 2)
        for name, shape in {
            "to_qkv.weight": (24, 16),
            "to_out.0.weight": (16, 8),
            "to_out.0.bias": (16,),
            "res_conv.weight": (2, 1, 33, 1),
        }.items()
    },
    **{
        f"online_encoder.pos_embedding.proj{name}.{leaf}": shape
        for name, side in (("", 7), ("1", 5), ("2", 3))
        for leaf, shape in (("weight", (16, 1, side, side)), ("bias", (16,)))
    },
}
LAYOUTS = {"plain": PLAIN, "gated": GATED, "version 2": VERSION_2}


def tensors(layout: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {k: torch.randn(s, generator=generator) for k, s in layout.items()}


def _named(
    prefix: str, shapes: dict[str, tuple[int, ...]]
) -> dict[str, tuple[int, ...]]:
    return {f"{prefix}.{key}": shape for key, shape in shapes.items()}


_CLAM = {
    "attention_net.0.weight": (16, 12),
    "attention_net.0.bias": (16,),
    **_named("attention_net.3.attention_a.0", {"weight": (8, 16), "bias": (8,)}),
    **_named("attention_net.3.attention_b.0", {"weight": (8, 16), "bias": (8,)}),
    **{
        f"instance_classifiers.{c}.{leaf}": shape
        for c in range(3)
        for leaf, shape in (("weight", (2, 16)), ("bias", (2,)))
    },
}
CLAM_SB = {
    **_CLAM,
    **_named("attention_net.3.attention_c", {"weight": (1, 8), "bias": (1,)}),
    **_named("classifiers", {"weight": (3, 16), "bias": (3,)}),
}
CLAM_MB = {
    **_CLAM,
    **_named("attention_net.3.attention_c", {"weight": (3, 8), "bias": (3,)}),
    **{
        f"classifiers.{c}.{leaf}": shape
        for c in range(3)
        for leaf, shape in (("weight", (1, 16)), ("bias", (1,)))
    },
}
_ATTENTION = {
    **_named("attention_V.0", {"weight": (8, 16), "bias": (8,)}),
    **_named("attention_U.0", {"weight": (8, 16), "bias": (8,)}),
    **_named("attention_weights", {"weight": (1, 8), "bias": (1,)}),
}
DTFD = {
    "dim_reduction.fc1.weight": (16, 12),
    **_named("attention", _ATTENTION),
    **_named("classifier.fc", {"weight": (3, 16), "bias": (3,)}),
    **_named("att_classifier.attention", _ATTENTION),
    **_named("att_classifier.classifier.fc", {"weight": (3, 16), "bias": (3,)}),
}
ORIGINAL_TRANSMIL = {
    **_named("_fc1.0", {"weight": (16, 12), "bias": (16,)}),
    "cls_token": (1, 1, 16),
    **{
        f"layer{layer}.{name}": shape
        for layer in (1, 2)
        for name, shape in {
            "norm.weight": (16,),
            "norm.bias": (16,),
            "attn.to_qkv.weight": (48, 16),
            "attn.to_out.0.weight": (16, 16),
            "attn.to_out.0.bias": (16,),
            "attn.res_conv.weight": (8, 1, 33, 1),
        }.items()
    },
    **{
        f"pos_layer.proj{name}.{leaf}": shape
        for name, side in (("", 7), ("1", 5), ("2", 3))
        for leaf, shape in (("weight", (16, 1, side, side)), ("bias", (16,)))
    },
    **_named("norm", {"weight": (16,), "bias": (16,)}),
    **_named("_fc2", {"weight": (3, 16), "bias": (3,)}),
}


def modules_of(content: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Put tensors into one dict for each module, as DTFD-MIL saves them."""
    nested: dict[str, dict[str, Tensor]] = {}
    for key, value in content.items():
        module, _, name = key.partition(".")
        nested.setdefault(module, {})[name] = value
    return nested


def original_dsmil(
    outputs: int, is_deep: bool, has_value: bool, instance: str = "fc.0"
) -> dict[str, tuple[int, ...]]:
    """Give the original DSMIL's layout, for 12 numbers a patch."""
    classify = {"weight": (outputs, 12), "bias": (outputs,)}
    query = {"weight": (8, 12), "bias": (8,)}
    deep = {**_named("0", query), **_named("2", {"weight": (8, 8), "bias": (8,)})}
    pool = {"weight": (outputs, outputs, 12), "bias": (outputs,)}
    value = _named("b_classifier.v.1", {"weight": (12, 12), "bias": (12,)})
    return {
        **_named(f"i_classifier.{instance}", classify),
        **_named("b_classifier.q", deep if is_deep else query),
        **(value if has_value else {}),
        **_named("b_classifier.fcc", pool),
    }
