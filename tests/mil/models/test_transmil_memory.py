"""TransMIL's memory grows with the bag so slowly that the largest slides fit."""

import subprocess
import sys
from pathlib import Path

import pytest
from made_bags import CLASSES, make_bag, small_config

from napari_mhim.mil.train import fit

pytest.importorskip("resource")  # what counts the memory; not on Windows
pytestmark = pytest.mark.slow

CHILD = """
import resource, sys
from dataclasses import replace
from pathlib import Path
import numpy as np, torch
sys.path.insert(0, sys.argv[3])
from made_bags import make_bag, make_grid
torch.set_num_threads(1)
n, what = int(sys.argv[1]), sys.argv[2]
x = np.random.default_rng(0).standard_normal((n, 1024), dtype=np.float32)
if what == "train":
    from napari_mhim.mil.memory import keep_freed
    from napari_mhim.mil.models import transmil
    from napari_mhim.mil.recipes.plain.training import Plain
    keep_freed()
    recipe = Plain(transmil.build(1024, 2)).train()
    optimiser = torch.optim.Adam(recipe.parameters())
    for step in range(2):
        optimiser.zero_grad()
        recipe.losses(torch.from_numpy(x), 1, step, 2).total.backward()
        optimiser.step()
else:
    from napari_mhim.mil.bundle import Bundle
    from napari_mhim.mil.predict import Predictor
    bag = replace(make_bag(1, 1, n=2), features=x, grid=make_grid(n))
    result = Predictor(Bundle.open(Path(what)), "cpu").predict(bag)
    assert result.mask.any() and result.score_source == "teacher"
status = Path("/proc/self/status")
if status.is_file():  # what getrusage says includes the parent's peak on Linux
    line = next(s for s in status.read_text().splitlines() if s.startswith("VmHWM"))
    print(int(line.split()[1]) * 1024)
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(n: int, what: str) -> int:
    """Give the peak of a process that trains, or predicts with a bundle, in bytes."""
    made = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(n), what, made],
        stdout=subprocess.PIPE,
        check=True,
    )
    return int(done.stdout)


def at(n: int, what: str, small: int, large: int) -> float:
    """Give the peak at n instances, from that at two smaller numbers."""
    low, high = peak(small, what), peak(large, what)
    return high + (n - large) * (high - low) / (large - small)


def test_training_on_50_000_instances_takes_less_than_8_gib():
    assert at(50_000, "train", 4_000, 10_000) < 8 * 2**30


def test_prediction_on_200_000_instances_takes_less_than_4_gib(tmp_path: Path):
    bags = [make_bag(i, i % 2, n=30, dim=1024) for i in range(2)]
    config = small_config(model="transmil", model_options={}, epochs=1)
    list(fit(bags, [], CLASSES, config, tmp_path / "run"))
    bundle = str(tmp_path / "run" / "bundle")
    assert at(200_000, bundle, 20_000, 50_000) < 4 * 2**30
