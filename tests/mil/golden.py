"""Cases of the golden folder: found by listing it, named and sized by its files."""

import json
import os
import re
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from napari_mhim import _parts
from napari_mhim.mil.model import MILModel
from napari_mhim.mil.official import MODELS, recognise

TOLERANCE = 2e-5
DEFAULT = Path(__file__).resolve().parents[3] / "shared"
ROOT = Path(os.environ.get("NAPARI_MHIM_TEST_DATA", DEFAULT)) / "golden"
NAME = re.compile(r"v1_(?P<arch>\w+)_N\d+")

SCHEDULE = re.compile(
    r"(?P<kind>mrh|mm)_sche\((?P<start>[\d.]+),[01],epochs=(?P<epochs>\d+),niter=(?P<steps>\d+)\)"
)


@dataclass(frozen=True)
class Case:
    """One v1 case: an architecture's weights and one bag."""

    path: Path
    arch: str

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        return load_file(self.path)

    @cached_property
    def x(self) -> Tensor:
        return self.tensors["x"][0]  # (N, in_dim)

    def __getitem__(self, key: str) -> Tensor:
        return self.tensors[key]

    def names(self, group: str) -> list[str]:
        """Middle parts of the keys of a group: ``mask.<name>.len_keep`` -> names."""
        found = (key.split(".") for key in self.tensors)
        return sorted({part[1] for part in found if part[0] == group})


@dataclass(frozen=True)
class Recorded:
    """One mask the authors' code made, with everything it drew and ranked on the way."""

    case: Case
    name: str

    @property
    def scores(self) -> Tensor:
        first = self.case[f"mask.{self.name}.topk0.in"]
        return first.reshape(-1, first.shape[-1])  # (H, N)

    @property
    def masked(self) -> Tensor:
        return marked(self.case[f"mask.{self.name}.masked"], self.scores.shape[1])

    @cached_property
    def ratios(self) -> dict[str, float]:
        random, low, high, share = manifest()["masks_v1"][self.name]
        return {
            "mask_ratio_random": random,
            "mask_ratio_low": low,
            "mask_ratio_high": high,
            "high_keep_share": share,
        }

    def keys(self) -> Tensor:
        """Turn recorded permutations into random keys that mark the same instances."""
        keys = torch.full((2, self.scores.shape[1]), 1e6)
        draws = iter(range(2))
        for row, stage in ((0, "random"), (1, "high")):
            if stage in self.stages and self._is_drawn(stage):
                order = self._draw(next(draws))
                picks = self._topk(stage, "out").flatten()[order]
                keys[row, picks] = torch.arange(len(picks), dtype=torch.float32)
        return keys

    @property
    def stages(self) -> list[str]:
        """The parts of the mask in the authors' order."""
        parts = ("random", "low", "high")
        return [part for part in parts if self.ratios[f"mask_ratio_{part}"] > 0]

    def can_be(self, stage: str, mask: Tensor) -> bool:
        """Tell whether a part is the authors', up to instances of equal votes."""
        k = int(self._topk(stage, "k"))
        votes = self._topk(stage, "in").flatten()
        least = votes.sort(descending=True).values[k - 1]
        if self._is_drawn(stage):
            wanted = min(ceil(k * self._share(stage)), len(votes))
            return bool((votes[mask] >= least).all()) and int(mask.sum()) == wanted
        theirs = marked(self._topk(stage, "out"), len(votes))
        same_size = bool(mask.sum() == theirs.sum())
        return same_size and bool((votes[mask ^ theirs] == least).all())

    def _share(self, stage: str) -> float:
        # a random part is drawn from all instances: its candidates are the whole bag
        name = "mask_ratio_random" if stage == "random" else "high_keep_share"
        return self.ratios[name]

    def _is_drawn(self, stage: str) -> bool:
        return stage == "random" or (stage == "high" and self._share("high") < 1)

    def _draw(self, index: int) -> Tensor:
        return self.case[f"mask.{self.name}.randperm{index}"]

    def _topk(self, stage: str, what: str) -> Tensor:
        # several heads rank twice: each for itself, then their votes
        calls = 1 if len(self.scores) == 1 else 2
        index = calls * self.stages.index(stage) + calls - 1
        return self.case[f"mask.{self.name}.topk{index}.{what}"]


def marked(indices: Tensor, n: int) -> Tensor:
    mask = torch.zeros(n, dtype=torch.bool)
    mask[indices.flatten()] = True
    return mask


def cases() -> list[Any]:
    paths = sorted((ROOT / "cases").glob("v1_*.safetensors"))
    matches = [(path, NAME.fullmatch(path.stem)) for path in paths]
    return [
        pytest.param(Case(path, match["arch"]), id=path.stem)
        for path, match in matches
        if match
    ]


def archs() -> list[str]:
    return sorted(manifest().get("v1", {})) if ROOT.is_dir() else []


def manifest() -> dict[str, Any]:
    return json.loads((ROOT / "manifest.json").read_text(encoding="utf-8"))


def scalars() -> dict[str, Any]:
    return json.loads((ROOT / "scalars.json").read_text(encoding="utf-8"))


def model(arch: str, role: str, **options: Any) -> MILModel:
    """Build our model with the golden weights of a role; skip where there is none yet."""
    tensors = load_file(ROOT / "weights" / f"v1_{arch}_{role}.safetensors")
    found = recognise({key: tensor.float() for key, tensor in tensors.items()})
    if found is None:
        pytest.skip(f"no model in mil/models knows the layers of {arch!r}")
    name, config, weights = found
    part = _parts.load(MODELS, name)
    built: MILModel = part.build(**config, act="relu", **options)
    built.load_state_dict(weights)
    for module in built.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return built.eval()


def official_keys(built: MILModel) -> dict[str, str]:
    """Our parameter name -> the authors' name, for those the golden files speak of."""
    module = __import__(type(built).__module__, fromlist=["OFFICIAL_KEYS"])
    ours = {mine: theirs for theirs, mine in reversed(module.OFFICIAL_KEYS.items())}
    named = {}
    for key, _ in built.named_parameters():
        layer, _, leaf = key.rpartition(".")
        named[key] = ours[key] if key in ours else f"{ours[layer]}.{leaf}"
    return named


def assert_close(ours: Tensor, golden: Tensor) -> None:
    """Compare within the tolerance of the golden folder's README: of the largest value."""
    golden = golden.reshape(ours.shape).to(ours.dtype)
    worst = (ours.detach() - golden).abs().max().item()
    assert worst <= TOLERANCE * golden.abs().max().item()
