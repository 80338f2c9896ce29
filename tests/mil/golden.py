"""Numbers the authors' code gave, and a book of which of them were compared with ours.

Everything is found by listing the golden folder: which cases there are, their models,
sizes, widths and settings come from file names, tensors and metadata. A number is read
either as *given* (an input, a recorded draw) or to be *compared*; one that was neither is
``unread``, and the tests fail on it.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from math import ceil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from napari_mhim import _parts
from napari_mhim.mil.config import MODELS
from napari_mhim.mil.model import MILModel
from napari_mhim.mil.official import mhim as layout

TOLERANCE = 2e-5
DEFAULT = Path(__file__).resolve().parents[3] / "shared"
ROOT = Path(os.environ.get("NAPARI_MHIM_TEST_DATA", DEFAULT)) / "golden"
FIRST = re.compile(r"v1_(?P<arch>[^_]+)_N(?P<n>\d+)")
SECOND = re.compile(
    r"v2_(?P<arch>[^_]+)_(?P<by>score|attn)_k(?P<k>\d+)_r(?P<share>[\d.]+)_N(?P<n>\d+)"
)
# version 2 renamed the projection, and so do its layers in our reader
RENAMED = ("patch_to_emb.", "feature.")


@dataclass(frozen=True)
class Case:
    """One file of recorded numbers."""

    path: Path
    told: Mapping[str, str]
    """What the file's name says."""
    _read: set[str] = field(default_factory=set)

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        return load_file(self.path)

    @property
    def arch(self) -> str:
        return self.told["arch"]

    @cached_property
    def x(self) -> Tensor:
        """The bag, shape (N, in_dim): version 2 shares those of version 1."""
        if "x" in self.tensors:
            return self.given("x")[0]
        return first_case(self.arch, int(self.told["n"])).x

    def __contains__(self, key: str) -> bool:
        return key in self.tensors

    def given(self, key: str) -> Tensor:
        """Take an input, or a draw that is replayed."""
        self._read.add(key)
        return self.tensors[key]

    def compare(self, key: str, ours: Tensor | int) -> None:
        """Fail unless a number is ours: whole ones exactly, others within tolerance."""
        golden = self.given(key)
        if golden.dtype == torch.int64:
            golden = golden.flatten()
            assert golden.equal(torch.as_tensor(ours).flatten().to(golden)), key
        else:
            assert_close(torch.as_tensor(ours), golden, key)

    def compare_set(self, key: str, ours: Tensor) -> None:
        """Fail unless a list of places holds those where a mask is True, in any order."""
        assert marked(self.given(key), len(ours)).equal(ours), key
        assert self.given(key).numel() == ours.sum(), key

    def unread(self) -> set[str]:
        return set(self.tensors) - self._read

    def names(self, group: str) -> list[str]:
        """Middle parts of the keys of a group: ``mask.<name>.len_keep`` -> names."""
        found = (key.split(".") for key in self.tensors)
        return sorted({part[1] for part in found if part[0] == group})


class Told:
    """A tree of recorded values that knows which of its leaves were asked for."""

    def __init__(self, tree: Any, path: str = "") -> None:
        self._path, self._read = path, set[str]()
        keys = tree.keys() if isinstance(tree, dict) else range(len(tree))
        self._inner = {
            key: Told(tree[key], f"{path}/{key}") if is_branch(tree[key]) else tree[key]
            for key in keys
        }

    def __getitem__(self, key: Any) -> Any:
        self._read.add(str(key))
        return self._inner[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._inner)

    def __contains__(self, key: Any) -> bool:
        return key in self._inner

    def values(self) -> Iterator[Any]:
        return (self[key] for key in self._inner)

    def unread(self) -> set[str]:
        """Give the paths of leaves nobody asked for."""
        found = set()
        for key, value in self._inner.items():
            if isinstance(value, Told):
                found |= value.unread()
            elif str(key) not in self._read:
                found.add(f"{self._path}/{key}")
        return found


def is_branch(value: Any) -> bool:
    return isinstance(value, dict) or (
        isinstance(value, list) and bool(value) and isinstance(value[0], dict)
    )


@dataclass(frozen=True)
class Recorded:
    """One mask the authors' code made, with everything it drew and ranked on the way."""

    case: Case
    stem: str
    """What its keys start with, ``"mask.low_high."`` for instance."""
    ratios: Mapping[str, float]
    """Keyword arguments of ``hybrid_mask``."""

    @property
    def scores(self) -> Tensor:
        first = self.case.given(f"{self.stem}topk0.in")
        return first.reshape(-1, first.shape[-1])  # (H, N)

    @property
    def kept(self) -> Tensor:
        """What the authors' student sees, in their order."""
        return self.case.given(f"{self.stem}keep")

    def keys(self) -> Tensor:
        """Turn recorded permutations into random keys that mark the same instances."""
        keys = torch.full((2, self.scores.shape[1]), 1e6)
        draws = iter(range(2))
        for row, stage in ((0, "random"), (1, "high")):
            if stage in self.stages and self.is_drawn(stage):
                order = self.case.given(f"{self.stem}randperm{next(draws)}")
                picks = self.topk(stage, "out").flatten()[order]
                keys[row, picks] = torch.arange(len(picks), dtype=torch.float32)
        return keys

    @property
    def stages(self) -> list[str]:
        """The parts of the mask in the authors' order."""
        parts = ("random", "low", "high")
        return [part for part in parts if self.ratios[f"mask_ratio_{part}"] > 0]

    def can_be(self, stage: str, mask: Tensor) -> bool:
        """Tell whether a part is the authors', up to instances of equal votes."""
        k = int(self.topk(stage, "k"))
        votes = self.topk(stage, "in").flatten()
        least = votes.sort(descending=True).values[k - 1]
        if self.is_drawn(stage):
            wanted = min(ceil(k * self._share(stage)), len(votes))
            return bool((votes[mask] >= least).all()) and int(mask.sum()) == wanted
        theirs = marked(self.topk(stage, "out"), len(votes))
        same_size = bool(mask.sum() == theirs.sum())
        return same_size and bool((votes[mask ^ theirs] == least).all())

    def is_drawn(self, stage: str) -> bool:
        return stage == "random" or (stage == "high" and self._share("high") < 1)

    def topk(self, stage: str, what: str, call: int = -1) -> Tensor:
        """Give what was ranked for a part; several heads rank first, then their votes."""
        calls = self.calls
        index = calls * self.stages.index(stage) + call % calls
        return self.case.given(f"{self.stem}topk{index}.{what}")

    @property
    def calls(self) -> int:
        return 1 if len(self.scores) == 1 else 2

    def _share(self, stage: str) -> float:
        # a random part is drawn from all instances: its candidates are the whole bag
        name = "mask_ratio_random" if stage == "random" else "high_keep_share"
        return self.ratios[name]


def ratios_of(name: str) -> dict[str, float]:
    """Give the settings of a mask of version 1 by its name."""
    random, low, high, share = manifest()["masks_v1"][name]
    return {
        "mask_ratio_random": random,
        "mask_ratio_low": low,
        "mask_ratio_high": high,
        "high_keep_share": share,
    }


def marked(indices: Tensor, n: int) -> Tensor:
    mask = torch.zeros(n, dtype=torch.bool)
    mask[indices.flatten()] = True
    return mask


def case_files() -> list[Path]:
    return sorted((ROOT / "cases").iterdir()) if ROOT.is_dir() else []


def cases(name: re.Pattern[str]) -> list[Any]:
    matches = [(path, name.fullmatch(path.stem)) for path in case_files()]
    return [
        pytest.param(Case(path, match.groupdict()), id=path.stem)
        for path, match in matches
        if match
    ]


def first_case(arch: str, n: int) -> Case:
    found = (param.values[0] for param in cases(FIRST))
    (case,) = (c for c in found if (c.arch, int(c.told["n"])) == (arch, n))
    return case


def archs() -> list[str]:
    return sorted(manifest()["v1"]) if ROOT.is_dir() else []


@cache
def manifest() -> dict[str, Any]:
    return json.loads((ROOT / "manifest.json").read_text(encoding="utf-8"))


@cache
def scalars() -> dict[str, Any]:
    return json.loads((ROOT / "scalars.json").read_text(encoding="utf-8"))


def model(arch: str, role: str, version: int = 1, **options: Any) -> MILModel:
    """Build our model with the golden weights of a role, as the importer would."""
    tensors = load_file(ROOT / "weights" / f"v1_{arch}_{role}.safetensors")
    if version == 2:
        tensors = {key.replace(*RENAMED): value for key, value in tensors.items()}
    found = layout.read(tensors, arch)
    assert found is not None, f"no model in mil/models knows the layers of {arch!r}"
    usual = {setting.option: setting.usual for setting in found.unstated}
    part = _parts.load(MODELS, found.model)
    built: MILModel = part.build(**found.options, **found.assumed, **usual, **options)
    built.load_state_dict(found.weights)
    return without_dropout(built).eval()


def without_dropout(module: nn.Module) -> Any:
    for inner in module.modules():
        if isinstance(inner, nn.Dropout):
            inner.p = 0.0
    return module


def official_keys(built: MILModel) -> dict[str, str]:
    """Our parameter name -> the authors' name, for those the golden files speak of."""
    module = __import__(type(built).__module__, fromlist=["OFFICIAL_KEYS"])
    ours = {mine: theirs for theirs, mine in reversed(module.OFFICIAL_KEYS.items())}
    named = {}
    for key, _ in built.named_parameters():
        layer, _, leaf = key.rpartition(".")
        if key in ours:  # a bare parameter, no layer
            named[key] = ours[key]
        elif layer in ours:
            named[key] = f"{ours[layer]}.{leaf}"
    return named


def assert_close(ours: Tensor, golden: Tensor, what: str = "") -> None:
    """Compare within the tolerance of the golden folder's README: of the largest value."""
    golden = golden.reshape(ours.shape).to(ours.dtype)
    worst = (ours.detach() - golden).abs().max().item()
    assert worst <= TOLERANCE * golden.abs().max().item(), what
