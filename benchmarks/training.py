"""What a training step costs, in time and in memory: MHIM, our plain models, torchmil.

    python benchmarks/training.py --out /tmp/training
    python benchmarks/training.py --quick
    python benchmarks/training.py --masks

Bags are random numbers of N × 1024. A step is the losses of one bag, their gradients,
Adam, and the teacher's move where there is one. Each step is timed in a process of its own,
one at a time, and all rows take turns, round after round: whatever slows the machine down
slows all rows, and ratios of one round can be compared. Memory is
the peak of the row's process: Python, torch and the bag included. Ours keep freed memory
as training does (``mil.memory.keep_freed``); torchmil's are also run with it on request
(``--kept``), which it does not do by itself.

MHIM has the ratios of the paper's CAMELYON16 runs. torchmil is measured where it is
installed (``pip install torchmil``; any folder on PYTHONPATH will do), and left out with
the reason where it is not: its AB-MIL behind the same projection as ours, its TransMIL with
8 heads, as published and as ours, and with its own default of 4, for which ours is built
with 4 heads of the same width.

``--masks`` times the masks alone instead, for 200 000 instances and one head: a slider asks
for them while it moves.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

from napari_mhim import _parts
from napari_mhim.mil.config import MODELS
from napari_mhim.mil.masking import hybrid_mask
from napari_mhim.mil.memory import keep_freed
from napari_mhim.mil.recipe import Recipe
from napari_mhim.mil.recipes import mhim
from napari_mhim.mil.recipes.plain.training import Plain

WIDTH = 1024
C16 = {
    "abmil": {"mask_ratio_high": 0.01, "mask_ratio_random": 0.5},
    "dsmil": {"mask_ratio_high": 0.01, "mask_ratio_random": 0.5},
    "transmil": {"mask_ratio_high": 0.03, "mask_ratio_low": 0.8},
}
RATIOS = (
    ("abmil mhim", "abmil plain", 1.15),
    ("dsmil mhim", "dsmil plain", 1.2),
    ("transmil mhim", "transmil plain", None),
    ("transmil mhim", "transmil torchmil", 0.5),
    ("transmil mhim", "transmil torchmil, 4 heads", 0.5),
    ("abmil plain", "abmil torchmil", 1.0),
    ("transmil plain", "transmil torchmil", 0.5),
    ("transmil plain, 4 heads", "transmil torchmil, 4 heads", 0.5),
    ("transmil plain", "transmil torchmil, 4 heads", None),
)
"""Row, row it is divided by, and the most the ratio is meant to be."""


@dataclass(frozen=True)
class Cell:
    """One row at one N and number of threads."""

    row: str
    n: int
    threads: int
    seconds: list[float]
    """Of each round."""
    peak_mib: float


def rows() -> list[str]:
    """List what can be measured here."""
    ours = [f"{model} {recipe}" for model in C16 for recipe in ("plain", "mhim")]
    ours.append("transmil plain, 4 heads")
    if find_spec("torchmil") is None:
        return ours
    return [*ours, *dict.fromkeys(row for _, row, _ in RATIOS if "torchmil" in row)]


def prepare(row: str, x: Tensor) -> Callable[[], None]:
    """Give a function that makes one step of a row."""
    torch.manual_seed(0)
    model, _, kind = row.partition(" ")
    heads = 4 if "4 heads" in kind else 8
    if kind.startswith("torchmil"):
        return _torchmil_step(model, heads, x)
    part = _parts.load(MODELS, model)
    options = {"heads": 4, "head_dim": 128} if heads == 4 else {}
    student = part.build(WIDTH, 2, **options)
    recipe: Recipe = Plain(student)
    if kind == "mhim":
        config = mhim.Config(
            **C16[model],
            high_keep_share=0.5,
            high_schedule="cosine",
            student_init="projection",
        )
        recipe = mhim.build(student, config, part.build(WIDTH, 2).state_dict())
    return _our_step(recipe.train(), x)


def _our_step(recipe: Recipe, x: Tensor) -> Callable[[], None]:
    trained = [p for p in recipe.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(trained, lr=2e-4, weight_decay=1e-5)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        recipe.losses(x, 1, 0, 1000).total.backward()
        optimiser.step()
        recipe.after_step(0, 1000)

    return step


def _torchmil_step(model: str, heads: int, x: Tensor) -> Callable[[], None]:
    from torchmil.models import ABMIL, TransMIL

    if model == "abmil":
        project = nn.Sequential(nn.Linear(WIDTH, 512), nn.ReLU(), nn.Dropout(0.25))
        net = ABMIL(in_shape=(WIDTH,), feat_ext=project)
    else:
        net = TransMIL(in_shape=(WIDTH,), n_heads=heads)
    optimiser = torch.optim.Adam(net.train().parameters(), lr=2e-4, weight_decay=1e-5)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        _, losses = net.compute_loss(torch.ones(1), x[None])
        sum(losses.values()).backward()
        optimiser.step()

    return step


def time_steps(row: str, n: int, clock: str, kept: bool) -> tuple[float, float]:
    """Make a step to warm up and two more: the faster's seconds, and the peak in MiB."""
    now = time.process_time if clock == "cpu" else time.perf_counter
    if kept:
        keep_freed()
    step = prepare(row, torch.randn(n, WIDTH))
    step()
    seconds = []
    for _ in range(2):
        start = now()
        step()
        seconds.append(now() - start)
    return min(seconds), _peak_mib()


def _peak_mib() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 1024 / (1024 if sys.platform == "darwin" else 1)


def in_child(
    row: str, n: int, threads: int, args: argparse.Namespace
) -> tuple[float, float]:
    """Time a row in a process of its own, that ends before the next begins."""
    told = ["--child", row, "--sizes", str(n), "--threads", str(threads)]
    command = [sys.executable, __file__, *told, "--clock", args.clock]
    kept = args.kept or "torchmil" not in row
    done = subprocess.run(
        [*command, "--kept"] if kept else command,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        stdout=subprocess.PIPE,
        check=True,
    )
    seconds, mib = json.loads(done.stdout)
    return seconds, mib


def measure(args: argparse.Namespace) -> Iterator[list[Cell]]:
    """Measure all rows in turn, round after round; give what is known after each round."""
    wanted = args.rows or rows()
    done: list[Cell] = []
    for n, threads in product(args.sizes, args.threads):
        rounds = args.rounds if n <= 10_000 else max(1, args.rounds // 3)
        seconds: dict[str, list[float]] = {row: [] for row in wanted}
        peaks: dict[str, float] = {}
        now: list[Cell] = []
        for _ in range(rounds):
            for row in wanted:
                took, mib = in_child(row, n, threads, args)
                seconds[row].append(took)
                peaks[row] = max(peaks.get(row, 0), mib)
            now = [Cell(row, n, threads, [*seconds[row]], peaks[row]) for row in wanted]
            yield done + now
        done += now


def line(cell: Cell) -> str:
    """Give a cell as a line of the table."""
    times = [1000 * min(cell.seconds), 1000 * median(cell.seconds)]
    return (
        f"| {cell.row} | {cell.n} | {cell.threads} | {times[0]:.0f} | {times[1]:.0f} "
        f"| {cell.peak_mib:.0f} |"
    )


def ratio_lines(cells: list[Cell]) -> list[str]:
    """Give the ratios: of the fastest rounds, and the median and range round by round."""
    found = {(cell.row, cell.n, cell.threads): cell.seconds for cell in cells}
    lines = []
    for (row, n, threads), seconds in found.items():
        for above, below, most in RATIOS:
            other = found.get((below, n, threads))
            if row != above or other is None:
                continue
            each = [a / b for a, b in zip(seconds, other, strict=True)]
            lines.append(
                f"| {above} / {below} | {n} | {threads} | {min(seconds) / min(other):.2f} "
                f"| {median(each):.2f} | {min(each):.2f}–{max(each):.2f} "
                f"| {'' if most is None else f'≤ {most:g}'} |"
            )
    return lines


HEAD = "| row | N | threads | ms, fastest | ms, median | peak MiB |\n|---|---|---|---|---|---|"
RATIO_HEAD = (
    "| ratio | N | threads | fastest rounds | median | range | meant |\n"
    "|---|---|---|---|---|---|---|"
)


MASKS: dict[str, dict[str, float]] = {
    "high": {"mask_ratio_high": 0.1},
    "random high": {"mask_ratio_high": 0.01, "high_keep_share": 0.5},
    "low": {"mask_ratio_low": 0.8},
    "random": {"mask_ratio_random": 0.5},
    "hybrid, C16": C16["abmil"] | {"high_keep_share": 0.5},
    "hybrid, TCGA": {
        "mask_ratio_random": 0.7,
        "mask_ratio_low": 0.2,
        "mask_ratio_high": 0.02,
    },
}
"""Name to arguments of ``hybrid_mask``."""


def mask_lines(n: int, rounds: int, clock: str) -> list[str]:
    """Time each kind of mask, in turn, round after round; give a table."""
    now = time.process_time if clock == "cpu" else time.perf_counter
    torch.set_num_threads(1)
    scores = torch.rand(1, n).softmax(dim=-1)
    seconds: dict[str, list[float]] = {name: [] for name in MASKS}
    for _, (name, ratios) in product(range(1 + rounds), MASKS.items()):
        start = now()
        hybrid_mask(scores, **ratios)
        seconds[name].append(now() - start)
    lines = ["| mask | N | ms, fastest | ms, median |", "|---|---|---|---|"]
    for name, times in seconds.items():
        each = [1000 * value for value in times[1:]]  # the first round warms up
        lines.append(f"| {name} | {n} | {min(each):.1f} | {median(each):.1f} |")
    return lines


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[2000, 8000, 50_000])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument(
        "--clock",
        choices=("wall", "cpu"),
        default="wall",
        help="cpu time of all threads tells more than wall time on a busy machine",
    )
    parser.add_argument("--rows", nargs="+", help="only these, by name")
    parser.add_argument("--kept", action="store_true", help="torchmil keeps memory too")
    parser.add_argument("--quick", action="store_true", help="N = 2000, one thread")
    parser.add_argument("--masks", action="store_true", help="masks alone, N = 200 000")
    parser.add_argument("--out", type=Path, help="folder for training.md and .json")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.quick:
        args.sizes, args.threads, args.rounds = [2000], [1], 3
    return args


def main() -> None:
    """Run the benchmark, or one process of it."""
    args = arguments()
    if args.child:
        torch.set_num_threads(args.threads[0])
        times = time_steps(args.child, args.sizes[0], args.clock, args.kept)
        print(json.dumps(times))
        return
    if args.masks:
        print("\n".join(mask_lines(200_000, 20, args.clock)))
        return
    if "transmil torchmil" not in rows():
        print(
            "torchmil is not installed (pip install torchmil): its rows are left out\n"
        )
    cells: list[Cell] = []
    for cells in measure(args):
        said = len(cells[-1].seconds)
        print(
            f"N = {cells[-1].n}, {cells[-1].threads} threads: round {said}", flush=True
        )
        if args.out:
            write(cells, args.out)  # a run cut short leaves what it has
    print(table(cells))


def table(cells: list[Cell]) -> str:
    """Give both tables."""
    return "\n".join([HEAD, *map(line, cells), "", RATIO_HEAD, *ratio_lines(cells), ""])


def write(cells: list[Cell], folder: Path) -> None:
    """Write the tables and every round's seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "training.md").write_text(table(cells), encoding="utf-8")
    found = json.dumps([asdict(cell) for cell in cells], indent=1)
    (folder / "training.json").write_text(found, encoding="utf-8")


if __name__ == "__main__":
    main()
