"""A slide too large for the memory is named; a part of it can be trained on."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from made_bags import CLASSES, make_bag, make_bags, small_config

from napari_mhim.errors import StoreError, TrainingError
from napari_mhim.mil.memory import gpu_mib, keep_freed, naming, process_mib
from napari_mhim.mil.models.abmil import ABMIL
from napari_mhim.mil.train import EpochDone, fit

OUT = {
    "GPU": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB"),
    "computer": RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"),
}


@pytest.mark.parametrize("where", OUT)
def test_a_slide_that_does_not_fit_is_named_with_the_way_out(where: str):
    bag = make_bag(3, 1)
    with (
        pytest.raises(StoreError, match="choose another device") as caught,
        naming(bag, StoreError, "choose another device"),
    ):
        raise OUT[where]
    words = f"{bag.name!r} with {len(bag)} patches does not fit into the memory of the"
    assert f"{words} {where}" in str(caught.value)
    assert caught.value.__cause__ is OUT[where]


def test_other_errors_pass():
    bag = make_bag(3, 1)
    with (
        pytest.raises(RuntimeError, match="shapes cannot be multiplied"),
        naming(bag, StoreError, ""),
    ):
        raise RuntimeError("shapes cannot be multiplied")


def test_training_says_which_slide_and_which_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(self: ABMIL, h: torch.Tensor) -> None:
        raise OUT["GPU"]

    monkeypatch.setattr(ABMIL, "aggregate", full)
    config = small_config(recipe="plain", recipe_options={}, model="abmil")
    bags = make_bags(4)
    with pytest.raises(TrainingError, match=r"patches does not fit.*max_instances"):
        list(fit(bags, [], CLASSES, config, tmp_path / "run"))


def test_an_epoch_trains_on_so_many_instances_and_prediction_on_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    seen: list[tuple[bool, int]] = []
    aggregate = ABMIL.aggregate

    def spied(self: ABMIL, h: torch.Tensor):
        seen.append((self.training, len(h)))
        return aggregate(self, h)

    monkeypatch.setattr(ABMIL, "aggregate", spied)
    config = small_config(
        recipe="plain", recipe_options={}, model="abmil", max_instances=7, epochs=2
    )
    bags = make_bags(6)
    list(fit(bags[:4], bags[4:], CLASSES, config, tmp_path / "run"))
    assert {n for training, n in seen if training} == {7}
    assert {n for training, n in seen if not training} >= {len(bags[4]), len(bags[5])}


def test_freed_memory_is_kept_where_the_system_can():
    # glibc is what Linux has nearly everywhere; elsewhere nothing is changed
    is_linux = sys.platform == "linux"
    assert keep_freed() <= is_linux


# in a process of its own: what others left in the heap decides where a block lies
FAULTS = """
import resource, torch
from napari_mhim.mil.memory import keep_freed
torch.set_num_threads(1)
kept = keep_freed()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(10 << 20)  # 40 MiB, ten thousand pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
# the heap takes a few rounds to find where such a block fits
print(sum([faults() for _ in range(10)][-4:]) if kept else -1)
"""


def test_blocks_that_come_and_go_are_not_asked_of_the_system_again():
    pytest.importorskip("resource")
    command = [sys.executable, "-c", FAULTS]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    if int(done.stdout) < 0:
        pytest.skip("this system's C library cannot keep them")
    assert int(done.stdout) < 1000


def test_validation_says_which_slide_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    aggregate = ABMIL.aggregate

    def full(self: ABMIL, h: torch.Tensor):
        if not self.training:
            raise OUT["GPU"]
        return aggregate(self, h)

    monkeypatch.setattr(ABMIL, "aggregate", full)
    config = small_config(recipe="plain", recipe_options={}, model="abmil")
    bags = make_bags(6)
    words = f"slide {bags[4].name!r} with .* patches does not fit.*validation"
    with pytest.raises(TrainingError, match=words):
        list(fit(bags[:4], bags[4:], CLASSES, config, tmp_path / "run"))


def test_the_memory_of_the_process_is_told_in_mib() -> None:
    before = process_mib()
    held = np.ones(32 << 20)  # 256 MiB, written to
    assert held.nbytes / 2**20 == 256
    assert process_mib() - before == pytest.approx(256, abs=32)


def test_only_a_gpu_has_memory_of_its_own(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 3 << 30)
    assert (gpu_mib("cpu"), gpu_mib("cuda")) == (0.0, 3072.0)


def test_each_epoch_tells_its_learning_rate_and_memory(tmp_path: Path) -> None:
    bags, config = make_bags(8), small_config(recipe="plain", recipe_options={})
    events = fit(bags[:4], bags[4:], CLASSES, config, tmp_path)
    epochs = [event for event in events if isinstance(event, EpochDone)]
    falls = [config.lr * (1 + np.cos(np.pi * k / 3)) / 2 for k in range(3)]
    assert [done.lr for done in epochs] == pytest.approx(falls)
    assert all(done.memory_mib > 100 and done.gpu_mib == 0 for done in epochs)
