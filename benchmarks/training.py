"""What a training step costs, in time and in memory: MHIM, our plain models, torchmil.

    python benchmarks/training.py --out /tmp/training
    python benchmarks/training.py --quick

Bags are random numbers of N × 1024. A step is the losses of one bag, their gradients,
Adam, and the teacher's move where there is one. For each number of threads and each N all
rows are timed in one process, in turn, round after round: whatever slows the machine down
slows all rows, and ratios of one round can be compared. Memory is the peak of a process
that makes two steps of one row alone: Python, torch and the bag included.

MHIM has the ratios of the paper's CAMELYON16 runs. torchmil is measured where it is
installed (``pip install torchmil``; any folder on PYTHONPATH will do), and left out with
the reason where it is not: its AB-MIL behind the same projection as ours, its TransMIL with
8 heads, as published and as ours, and with its own default of 4.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

from napari_mhim import _parts
from napari_mhim.mil.config import MODELS
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
    peak_mib: float = float("nan")


def rows() -> list[str]:
    """List what can be measured here."""
    ours = [f"{model} {recipe}" for model in C16 for recipe in ("plain", "mhim")]
    if find_spec("torchmil") is None:
        return ours
    return [*ours, *(row for _, row, _ in RATIOS if "torchmil" in row)]


def prepare(row: str, x: Tensor) -> Callable[[], None]:
    """Give a function that makes one step of a row."""
    torch.manual_seed(0)
    model, _, kind = row.partition(" ")
    if kind.startswith("torchmil"):
        return _torchmil_step(model, 4 if "4 heads" in kind else 8, x)
    part = _parts.load(MODELS, model)
    student = part.build(WIDTH, 2)
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


def time_rounds(wanted: list[str], n: int, rounds: int, clock: str) -> dict:
    """Time all rows in turn, round after round, in this process."""
    now = time.process_time if clock == "cpu" else time.perf_counter
    x = torch.randn(n, WIDTH)
    steps = {row: prepare(row, x) for row in wanted}
    seconds: dict[str, list[float]] = {row: [] for row in wanted}
    for done in range(rounds + 1):  # the first is for warming up
        for row, step in steps.items():
            start = now()
            step()
            if done:
                seconds[row].append(now() - start)
    return seconds


def peak(row: str, n: int) -> float:
    """Make two steps and give the peak of this process, in MiB."""
    step = prepare(row, torch.randn(n, WIDTH))
    step()
    step()
    return _peak_mib()


def _peak_mib() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 1024 / (1024 if sys.platform == "darwin" else 1)


def in_child(threads: int, *arguments: str) -> object:
    """Run this file in a process of its own and give the JSON it prints."""
    command = [sys.executable, __file__, "--child", "--threads", str(threads)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [*command, *arguments], env=environment, stdout=subprocess.PIPE, check=True
    )
    return json.loads(done.stdout)


def measure(args: argparse.Namespace) -> list[Cell]:
    """Measure every cell; one line each as it comes."""
    cells = []
    for threads in args.threads:
        for n in args.sizes:
            rounds = args.rounds if n <= 10_000 else max(2, args.rounds // 3)
            call = ("--sizes", str(n), "--rounds", str(rounds), "--clock", args.clock)
            times = in_child(threads, *call)
            for row, seconds in times.items():
                # threads change the time and hardly the memory
                is_first = threads == args.threads[0] and not args.no_memory
                mib = in_child(threads, *call, "--peak", row) if is_first else None
                cell = Cell(row, n, threads, seconds, mib or float("nan"))
                cells.append(cell)
                print(line(cell), flush=True)
    return cells


def line(cell: Cell) -> str:
    """Give a cell as a line of the table."""
    times = [1000 * min(cell.seconds), 1000 * median(cell.seconds)]
    return (
        f"| {cell.row} | {cell.n} | {cell.threads} | {times[0]:.0f} | {times[1]:.0f} "
        f"| {'' if cell.peak_mib != cell.peak_mib else f'{cell.peak_mib:.0f}'} |"
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


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[2000, 8000, 50_000])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument(
        "--clock",
        choices=("wall", "cpu"),
        default="wall",
        help="cpu time of all threads tells more than wall time on a busy machine",
    )
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--quick", action="store_true", help="N = 2000, one thread")
    parser.add_argument("--out", type=Path, help="folder for training.md and .json")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.quick:
        args.sizes, args.threads, args.rounds = [2000], [1], 3
    return args


def main() -> None:
    """Run the benchmark, or one process of it."""
    args = arguments()
    if args.child:
        torch.set_num_threads(args.threads[0])
        n = args.sizes[0]
        times = None if args.peak else time_rounds(rows(), n, args.rounds, args.clock)
        print(json.dumps(peak(args.peak, n) if args.peak else times))
        return
    if "transmil torchmil" not in rows():
        print(
            "torchmil is not installed (pip install torchmil): its rows are left out\n"
        )
    print(HEAD)
    cells = measure(args)
    ratios = ratio_lines(cells)
    print("\n".join(["", RATIO_HEAD, *ratios]))
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        table = [HEAD, *map(line, cells), "", RATIO_HEAD, *ratios, ""]
        (args.out / "training.md").write_text("\n".join(table), encoding="utf-8")
        found = json.dumps([asdict(cell) for cell in cells], indent=1)
        (args.out / "training.json").write_text(found, encoding="utf-8")


if __name__ == "__main__":
    main()
