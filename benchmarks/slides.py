"""How fast slides are read and shown, as ratios against named peers in one run.

    python benchmarks/slides.py --folder /tmp/mhim-slides
    python benchmarks/slides.py --folder /tmp/mhim-slides --quick --rows patches threads

Slides of 40 960 x 32 768 px (JPEG, and JPEG 2000) are written into the folder once. Every
row is measured in rounds; in a round each contestant runs once, whoever began last time
going last. A ratio is the peer's time over ours, of the same round; the table has the
median of the rounds, and the range. Processor time tells more than wall time where other
work shares the machine. Cold means that the file's pages were dropped from the system's
cache before each run (``posix_fadvise``); a disk of a virtual machine can have a cache of
its own below that.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from slides_made import JPEG, JPEG_2000, JPEG_BY_FOUR, MPP, Made, written
from slides_reading import Read, reader, shifted, some_patches

OFF_GRID_PX = 77
"""How far patches off the tile grid lie from it, level-0 px."""


@dataclass(frozen=True)
class Row:
    """One comparison: who reads what, and what is meant to come out."""

    key: str
    """Short name for the command line."""
    what: str
    """In words."""
    made: Made
    """The slide."""
    ours: str
    """Whose time is below the line."""
    peer: str
    """Whose time is above it."""
    threads: int
    """Of each."""
    least: float
    """The ratio that is meant."""
    mpp: float = MPP
    """Micrometres per pixel of the patches."""
    overlap: float = 0.0
    """Of the patches."""
    off_px: float = 0.0
    """How far the patches lie off the tile grid."""
    share: int = 1
    """A slow codec is tried on one patch in so many."""


ROWS = (
    Row("patches", "patches, own scale", JPEG, "ours", "openslide", 1, 5),
    Row("threads", "patches, own scale", JPEG, "ours", "openslide", 2, 5),
    Row("bare", "patches, own scale", JPEG, "ours", "bare decode", 2, 0.85),
    Row(
        "half",
        "patches, twice the mpp",
        JPEG_BY_FOUR,
        "ours",
        "openslide",
        1,
        2,
        2 * MPP,
    ),
    Row(
        "half-own",
        "patches, twice the mpp",
        JPEG_BY_FOUR,
        "ours",
        "ours, read_region",
        1,
        2,
        2 * MPP,
    ),
    Row(
        "off",
        "patches off the tiles, a quarter in common",
        JPEG,
        "ours",
        "openslide",
        1,
        3,
        overlap=0.25,
        off_px=OFF_GRID_PX,
    ),
    Row("texture", "texture encoder", JPEG, "texture", "bare decode", 2, 0.5),
    Row("jp2", "patches, own scale", JPEG_2000, "ours", "openslide", 1, 5, share=8),
    Row(
        "jp2-threads",
        "patches, own scale",
        JPEG_2000,
        "ours",
        "openslide",
        2,
        5,
        share=8,
    ),
    Row(
        "jp2-bare",
        "patches, own scale",
        JPEG_2000,
        "ours",
        "bare decode",
        2,
        0.85,
        share=8,
    ),
)
"""The comparisons of reading."""


@dataclass(frozen=True)
class Took:
    """Seconds of one run."""

    wall: float
    """By the clock."""
    processor: float
    """Of all threads together."""


def timed(read: Callable[[], None]) -> Took:
    """Run something once and give what it took."""
    wall, processor = time.perf_counter(), time.process_time()
    read()
    return Took(time.perf_counter() - wall, time.process_time() - processor)


def drop_from_cache(path: Path) -> None:
    """Have the system forget a file's pages, so that it is read from the disk."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def rounds(
    contestants: Sequence[Read], count: int, before: Callable[[], None]
) -> Iterator[list[Took]]:
    """Run all contestants, again and again, in turning order.

    Parameters
    ----------
    contestants : sequence of callable
        What is timed.
    count : int
        How many rounds.
    before : callable
        Done before each run, and not timed.

    Yields
    ------
    list of Took
        What each took in this round, in the order given.
    """
    for number in range(count):
        order = list(range(len(contestants)))
        turn = number % len(order)
        took: dict[int, Took] = {}
        for index in order[turn:] + order[:turn]:
            before()
            took[index] = timed(contestants[index])
        yield [took[index] for index in order]


def row_lines(row: Row, folder: Path, patches: int, count: int) -> Iterator[str]:
    """Measure one row, warm and cold, and give its lines of the table."""
    path = written(folder, row.made)
    grid = some_patches(path, patches // row.share, row.mpp, row.overlap)
    grid = shifted(grid, row.off_px)
    contestants = [
        reader(name, path, grid, row.threads) for name in (row.ours, row.peer)
    ]
    for contestant in contestants:
        contestant()  # the first run pays for imports, and warms the cache
    caches: dict[str, Callable[[], None]] = {"warm": lambda: None}
    if row.ours != "texture":
        caches["cold"] = lambda: drop_from_cache(path)
    for name, before in caches.items():
        found = list(rounds(contestants, count, before))
        wall, processor = (
            sorted(getattr(peer, kind) / getattr(ours, kind) for ours, peer in found)
            for kind in ("wall", "processor")
        )
        rate = len(grid) / min(ours.wall for ours, _ in found)
        yield (
            f"| {row.key} | {row.what} | {row.made.codec} | {row.threads} | {name} | "
            f"{row.peer} | {_spread(processor)} | {_spread(wall)} | {row.least:g} | "
            f"{rate:.0f} |"
        )


def _spread(values: Sequence[float]) -> str:
    middle = statistics.median(values)
    return f"{middle:.2f} ({values[0]:.2f} to {values[-1]:.2f})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("mhim-slides"))
    parser.add_argument("--rows", nargs="+", choices=[row.key for row in ROWS])
    parser.add_argument("--patches", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="512 patches, 3 rounds")
    asked = parser.parse_args()
    patches, count = (512, 3) if asked.quick else (asked.patches, asked.rounds)
    print(f"load {os.getloadavg()[0]:.1f}; {patches} patches; {count} rounds")
    print(
        "| row | what | codec | threads | cache | peer | peer / ours, CPU | "
        "peer / ours, wall | meant | ours, per s |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for row in ROWS:
        if not asked.rows or row.key in asked.rows:
            for line in row_lines(row, asked.folder, patches, count):
                print(line, flush=True)


if __name__ == "__main__":
    main()
