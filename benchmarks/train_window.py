"""What training costs the window: stalls, memory, and how soon it stops.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/train_window.py

A real window fine-tunes the sample's model on twelve made slides, with the sample slide
open in the Train tab, so that its overlays are drawn anew each epoch. A timer of 10 ms
beats in the event loop: a stall is how much later than that it comes. Wall time counts
what other programs took of the machine; processor time of the window's thread does not,
and is what carries over. The same window at rest stands beside it. ``--where`` prints what
the window was at in each stall above ``--limit`` ms.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

BEAT_MS = 10


@dataclass
class Heart:
    """Beats in the event loop, and notes when it could not."""

    limit_ms: float
    wall: list[float] = field(default_factory=list)
    """Seconds each beat came late."""
    work: list[float] = field(default_factory=list)
    """Seconds of processor time of the window's thread between two beats."""
    where: list[str] = field(default_factory=list)
    """What the window was at in each stall."""
    _at: float = 0.0
    _spent: float = 0.0
    _told: bool = True

    def start(self) -> None:
        """Begin to beat, and to look at the window's thread from another."""
        from qtpy.QtCore import Qt, QTimer

        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._beat)
        self._timer.start(BEAT_MS)
        self._main = threading.get_ident()
        threading.Thread(target=self._watch, daemon=True).start()

    def forget(self) -> None:
        """Begin a new part."""
        self.wall, self.work, self.where = [], [], []
        self._at, self._spent, self._told = (
            time.perf_counter(),
            time.thread_time(),
            False,
        )

    def _beat(self) -> None:
        now, spent = time.perf_counter(), time.thread_time()
        self.wall.append(now - self._at - BEAT_MS / 1e3)
        self.work.append(spent - self._spent)
        self._at, self._spent, self._told = now, spent, False

    def _watch(self) -> None:
        while True:
            time.sleep(0.02)
            late = time.perf_counter() - self._at
            if late > self.limit_ms / 1e3 and not self._told:
                self._told = True
                frame = sys._current_frames().get(self._main)
                steps = traceback.extract_stack(frame)[-7:]
                self.where.append(
                    " < ".join(
                        f"{Path(s.filename).stem}.{s.name}:{s.lineno}"
                        for s in reversed(steps)
                    )
                )


@dataclass
class Memory:
    """Largest memory of the window and of its children, in MiB, looked at now and then."""

    window: float = 0.0
    child: float = 0.0

    def look(self) -> None:
        """Note what is in use now."""
        here = psutil.Process()
        self.window = max(self.window, here.memory_info().rss / 2**20)
        for child in here.children(recursive=True):
            try:
                self.child = max(self.child, child.memory_info().rss / 2**20)
            except psutil.Error:
                continue


def until(is_over: Callable[[], bool], memory: Memory, seconds: float = 600) -> float:
    """Run the event loop until something is so; give the seconds it took."""
    from qtpy.QtCore import QEventLoop, QTimer

    loop, start, looked = QEventLoop(), time.perf_counter(), 0.0

    def look() -> None:
        nonlocal looked
        now = time.perf_counter()
        if now - looked > 0.5:
            looked = now
            memory.look()
        if is_over() or now - start > seconds:
            loop.quit()

    timer = QTimer()
    timer.timeout.connect(look)
    timer.start(15)
    loop.exec()
    timer.stop()
    return time.perf_counter() - start


def open_window(folder: Path) -> Any:
    """Open napari with the sample's slide, result and model; give its dock."""
    import napari

    from napari_mhim.plugin import sample_data, show

    viewer = napari.Viewer()
    viewer.window.resize(1366, 768)
    dock = show.open_dock(viewer)
    place = sample_data.folder()
    dock.show_layers(
        show.layers(
            place / "both.tiff",
            place / "both.h5",
            bundle_path=place / "bundle",
            features_path=place / "both.features.h5",
        )
    )
    dock.runs.wanted_device = "cpu"
    dock.turn_to("Train")
    return dock


def make_slides(folder: Path) -> Path:
    """Write slides no model has seen; give their table."""
    from napari_mhim.phantom import CohortConfig, PhantomConfig, write_cohort

    small = CohortConfig(slide=PhantomConfig(shape=(1024, 1536)))
    list(write_cohort(folder, n_slides=12, seed=9, config=small))
    table = (folder / "cohort.csv").read_text(encoding="utf-8")
    for path in sorted((folder / "slides").glob("*.tif")):
        path.rename(path.with_name(f"new-{path.name}"))
    text = table.replace("slides/case-", "slides/new-case-")
    lines = text.splitlines()
    column = lines[0].split(",").index("slide")
    rows = [lines[0]]
    for line in lines[1:]:
        cells = line.split(",")
        cells[column] = f"new-{cells[column]}"
        rows.append(",".join(cells))
    (folder / "new.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder / "new.csv"


def begin(dock: Any) -> None:
    """Press *Start*, or say why it cannot be pressed."""
    if (reason := dock.trainings.can_start()) is not None:
        raise SystemExit(reason)
    dock.train.start.click()


def parts(dock: Any, table: Path, epochs: int, heart: Heart) -> Iterator[str]:
    """Go through rest, extraction, training and results; a line of figures each."""
    from napari_mhim.plugin.state.training import TUNE, Status

    state, form = dock.trainings.state, dock.train.form
    with measured(heart) as said:
        until(lambda: False, said.memory, 8)
    yield said.line("at rest")
    form.slides.use_table(str(table))
    form.ways[TUNE].click()
    for name, value in {"epochs": epochs, "threads": 1, "patience": 0}.items():
        form.take(name, value)
    with measured(heart) as said:
        begin(dock)
        until(lambda: bool(state.epochs) or not state.status.is_at_work, said.memory)
    yield said.line("start, extraction, first epoch")
    with measured(heart) as said:
        until(lambda: len(state.epochs) >= epochs // 2, said.memory)
    yield said.line(f"learning, {epochs // 2} epochs drawn on the slide")
    with measured(heart) as said:
        dock.turn_to("Review")
        until(lambda: not state.status.is_at_work, said.memory)
    if state.status is not Status.DONE:
        raise SystemExit(f"the run ended as {state.status}: {dock.state.problem}")
    yield said.line("learning behind the Review tab, and its end")
    with measured(heart) as said:
        dock.turn_to("Train")
        view = dock.train.results.open()
        for place in range(view.role.count()):
            view.role.setCurrentIndex(place)
            until(lambda: False, said.memory, 0.3)
        until(lambda: False, said.memory, 2)
    yield said.line("results opened, each role shown")


class measured:
    """What the heart and the memory come to inside the block."""

    def __init__(self, heart: Heart) -> None:
        self.heart, self.memory = heart, Memory()

    def __enter__(self) -> "measured":
        self.heart.forget()
        return self

    def __exit__(self, *error: object) -> None:
        self.wall, self.work = list(self.heart.wall), list(self.heart.work)
        self.where = list(self.heart.where)

    def line(self, name: str) -> str:
        """Give the figures, and what stalled, as text."""
        over = sum(late > self.heart.limit_ms / 1e3 for late in self.wall)
        busy = sum(spent > self.heart.limit_ms / 1e3 for spent in self.work)
        child = f"{self.memory.child:.0f}" if self.memory.child else "none"
        text = (
            f"| {name} | {1e3 * max(self.wall):.0f} | {1e3 * max(self.work):.0f} | "
            f"{over} | {busy} | {self.memory.window:.0f} | {child} |"
        )
        return "\n".join([text, *(f"    stalled at {one}" for one in self.where)])


def pauses(dock: Any, table: Path, times: int) -> Iterator[str]:
    """Pause a run in the middle of an epoch, again and again, and give the seconds."""
    from napari_mhim.plugin import sample_data
    from napari_mhim.plugin.state.training import TUNE, Status

    state, memory, found = dock.trainings.state, Memory(), []
    dock.train.another.click()
    # the model just made has learnt from these slides
    dock.runs.choose_bundle(str(sample_data.folder() / "bundle"))
    dock.train.form.slides.use_table(str(table))
    dock.train.form.ways[TUNE].click()
    for name, value in {"epochs": 9999, "threads": 1, "patience": 0}.items():
        dock.train.form.take(name, value)
    begin(dock)
    for number in range(times):
        # in turn: while the child starts, and while it learns
        behind = len(state.epochs)
        if number % 2:
            until(lambda behind=behind: len(state.epochs) > behind, memory)
        else:
            until(lambda: False, memory, 1.0)
        dock.train.pause.click()
        found.append(until(lambda: not state.status.is_at_work, memory))
        if state.status is not Status.PAUSED:
            raise SystemExit(f"{state.status}: {dock.state.problem}")
        dock.train.resume.click()
    dock.train.pause.click()
    until(lambda: not state.status.is_at_work, memory)
    left = psutil.Process().children(recursive=True)
    after = psutil.Process().memory_info().rss / 2**20
    yield (
        f"paused {times} times: longest {max(found):.2f} s, median "
        f"{sorted(found)[len(found) // 2]:.2f} s; processes left {len(left)}, window "
        f"{after:.0f} MiB"
    )


def main() -> None:
    """Open the window, go through the parts, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--pauses", type=int, default=8)
    parser.add_argument("--limit", type=float, default=150, help="ms that are a stall")
    parser.add_argument("--where", action="store_true", help="say what stalled")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAPARI_MHIM_WORKSPACE"] = str(Path(folder) / "workspace")
        table = make_slides(Path(folder) / "slides")
        dock, heart = open_window(Path(folder)), Heart(asked.limit)
        heart.start()
        until(lambda: False, Memory(), 3)
        print(
            f"| part | longest stall, ms | of the processor, ms | stalls over "
            f"{asked.limit:.0f} ms | by the processor | window, MiB | child, MiB |"
        )
        print("|---|---|---|---|---|---|---|", flush=True)
        for text in parts(dock, table, asked.epochs, heart):
            print(text if asked.where else text.splitlines()[0], flush=True)
        for text in pauses(dock, table, asked.pauses):
            print(text)
        load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
        print(f"load of the machine {load}", flush=True)
        # children and viewer go with the process
        os._exit(0)


if __name__ == "__main__":
    main()
