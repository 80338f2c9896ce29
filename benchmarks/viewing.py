"""How a slide is looked at: opened, panned and zoomed, on a slow disk, and what memory it takes.

    xvfb-run -a -s "-screen 0 2000x1200x24" python benchmarks/viewing.py \
        --folder /tmp/mhim-slides --napari-wsi DIR

``steps``: opening and 24 steps at full resolution and about it, 1600 x 1000 px of canvas,
each to the sharp pixels on screen, by this plugin, by napari-wsi, and by napari with the
same pyramid in memory, which is the floor. In turn, round by round. ``memory``: what an
open slide adds to napari's own, for a slide of 40 960 x 32 768 px and one of 200 192 x
150 016 px whose tiles are all the same few bytes. ``slow``: a disk of 200 ms a read; the
longest the event loop was held up, and when the view was first coarse and when sharp.
Frames are drawn by whatever OpenGL there is; a software renderer makes each of them last,
for all three alike. Each part is a process of its own.

napari-wsi is no dependency: ``pip install --no-deps --target DIR napari-wsi
universal-pathlib pathlib-abc``. ``steps`` holds some 5.4 GB for the pyramid in memory.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from slides_made import JPEG, written, written_huge

WINDOW = (1890, 1050)
"""Leaves a canvas of 1600 x 1000 px beside napari's own docks."""
READ_SECONDS = 0.2
"""What a read takes on the slow disk."""
_OURS, _WSI, _FLOOR = "ours", "napari-wsi", "in memory"


def open_viewer() -> Any:
    """Open napari, with the canvas at its size."""
    import napari
    from qtpy.QtWidgets import QApplication

    from napari_mhim.plugin.open_slides import close_with_layers

    viewer = napari.Viewer()
    viewer.window.resize(*WINDOW)
    for _ in range(20):
        QApplication.processEvents()
        time.sleep(0.02)
    close_with_layers(viewer.layers)
    return viewer


def openers(path: Path, names: Sequence[str]) -> dict[str, Callable[[Any], None]]:
    """Give how each contestant opens a slide in a viewer."""
    from napari.layers import Layer

    from napari_mhim.plugin.open_slides import open_slide
    from napari_mhim.plugin.overlays import slide_layer

    held: list[Any] = []
    if _FLOOR in names:
        with open_slide(path) as slide:
            held += [level.compute() for level in slide.levels]

    def ours(viewer: Any) -> None:
        viewer.add_layer(Layer.create(*slide_layer(open_slide(path))))

    def theirs(viewer: Any) -> None:
        from napari_wsi.reader import wsi_reader_openslide

        for layer in wsi_reader_openslide(str(path))(str(path)):
            viewer.add_layer(Layer.create(*layer))

    def floor(viewer: Any) -> None:
        viewer.add_image(held, multiscale=True, rgb=True, scale=(0.5, 0.5))

    found = {_OURS: ours, _WSI: theirs, _FLOOR: floor}
    return {name: found[name] for name in names}


def is_sharp(viewer: Any) -> bool:
    """Tell whether all slides of ours are sharp; others read before they draw."""
    from napari_mhim.plugin.viewing import views

    return all(view.is_sharp for view in views(viewer.layers))


def seconds_to_sharp(viewer: Any, act: Callable[[], object]) -> tuple[float, float]:
    """Give how long until what an action shows is sharp, and drawn.

    Returns
    -------
    tuple of float
        Seconds by the clock, and of the window's thread's processor time.
    """
    from qtpy.QtWidgets import QApplication

    start, held = np.array([time.perf_counter(), time.thread_time()]), 0
    act()
    # the first frame has napari ask for other pixels, the next one shows them
    while held < 2:
        QApplication.processEvents()
        held = held + 1 if is_sharp(viewer) else 0
        if not held:
            time.sleep(0.001)
    wall, processor = [time.perf_counter(), time.thread_time()] - start
    return float(wall), float(processor)


def walk(viewer: Any) -> Iterator[Callable[[], None]]:
    """Give 16 pans at full resolution and 8 zooms out and in again."""
    camera, layer = viewer.scene.camera, viewer.layers[0]
    by = np.asarray(layer.scale)[-2:]
    view = np.asarray(viewer.canvas.size) * by
    low, high = np.asarray(viewer.layers.extent.world)[:, -2:]
    at = low + (high - low) * 0.3
    camera.zoom = 1 / by[-1]
    camera.center = (0.0, *at.tolist())
    yield lambda: None
    for number in range(16):
        at = at + view * ((0.2, 0.6) if number < 8 else (0.45, -0.5))
        yield partial(setattr, camera, "center", (0.0, *at.tolist()))
    for number in range(8):
        zoom = camera.zoom * (0.5 if number < 4 else 2)
        yield partial(setattr, camera, "zoom", zoom)


def steps(path: Path, rounds: int, names: Sequence[str]) -> None:
    """Print opening and steps of all contestants, round by round, and the ratios."""
    viewer = open_viewer()
    contestants = openers(path, names)
    size = " x ".join(str(n) for n in reversed(viewer.canvas.size))
    print(f"canvas {size} px; load {os.getloadavg()[0]:.1f}")
    found: dict[str, list[list[float]]] = {name: [] for name in names}
    # the first round pays for imports and shaders
    for number in range(rounds + 1):
        for name, read in contestants.items():
            viewer.layers.clear()
            opened = seconds_to_sharp(viewer, partial(read, viewer))
            took = [seconds_to_sharp(viewer, act) for act in walk(viewer)][1:]
            if number:
                middle, worst = np.median(took, axis=0), np.max(took, axis=0)
                found[name].append([*opened, *middle, *worst])
    viewer.close()
    for name, one in found.items():
        told = " | ".join(f"{1e3 * seconds:.0f}" for seconds in np.median(one, axis=0))
        print(f"| {name} | {told} |", flush=True)
    if set(names) == {_OURS, _WSI, _FLOOR}:
        for title, index in (("open", 0), ("step", 2)):
            _print_shares(title, index, found)


def _print_shares(title: str, index: int, found: dict[str, list[list[float]]]) -> None:
    ours, theirs, floor = (
        np.array([one[index] for one in found[name]]) for name in (_OURS, _WSI, _FLOOR)
    )
    each = (ours - floor) / (theirs - floor)
    whole = (np.median(ours) - np.median(floor)) / (
        np.median(theirs) - np.median(floor)
    )
    listed = ", ".join(f"{one:.2f}" for one in each)
    print(
        f"{title}: (ours - floor) / (napari-wsi - floor) {whole:.2f}; by round {listed}; "
        f"napari-wsi / ours {np.median(theirs / ours):.2f}"
    )


def memory(path: Path) -> None:
    """Print what napari takes with a small picture, and what an open slide adds."""
    viewer = open_viewer()
    process = psutil.Process()
    viewer.add_image(np.zeros((1000, 1600, 3), np.uint8), rgb=True)
    seconds_to_sharp(viewer, lambda: None)
    before = process.memory_info().rss
    viewer.layers.clear()
    openers(path, [_OURS])[_OURS](viewer)
    seconds_to_sharp(viewer, lambda: None)
    opened = process.memory_info().rss
    for act in walk(viewer):
        seconds_to_sharp(viewer, act)
    walked = process.memory_info().rss
    shape = viewer.layers[0].data[0].shape
    print(
        f"| {shape[1]} x {shape[0]} px | {(opened - before) >> 20} MiB | "
        f"{(walked - before) >> 20} MiB |"
    )
    viewer.close()


def slow(path: Path, rounds: int) -> None:
    """Print how the window fares on a slow disk, beside napari with a pyramid in memory."""
    from napari_mhim.plugin.open_slides import open_slide
    from napari_mhim.slide.formats import _tiff_page

    viewer = open_viewer()
    contestants = openers(path, [_OURS, _FLOOR])
    read = _tiff_page.PositionedFile._read
    with open_slide(path):
        pass  # imports are no part of a slow disk

    def slowly(self: Any, offset: int, length: int) -> bytes:
        time.sleep(READ_SECONDS)
        return read(self, offset, length)

    _tiff_page.PositionedFile._read = slowly
    for number in range(rounds + 1):
        for name, contestant in contestants.items():
            viewer.layers.clear()
            opened = _watched(viewer, partial(contestant, viewer))
            took = np.array([_watched(viewer, act) for act in walk(viewer)][1:])
            if number:
                cells = [
                    *opened[:2],
                    *took[:, :2].max(axis=0).tolist(),
                    *np.median(took, axis=0).tolist(),
                ]
                told = " | ".join(f"{1e3 * seconds:.0f}" for seconds in cells)
                print(f"| {name} | {told} |", flush=True)
    viewer.close()


def _watched(
    viewer: Any, act: Callable[[], object]
) -> tuple[float, float, float, float]:
    """Give the longest stall by clock and processor, and seconds to coarse and to sharp."""
    from qtpy.QtCore import QEventLoop, QTimer

    loop, clock = QEventLoop(), QTimer()
    start = time.perf_counter()
    beats = [(start, time.thread_time())]
    # by the third beat what was asked for has been drawn once, coarse or not
    coarse: list[float] = []
    after: list[float] = []

    def beat() -> None:
        now = time.perf_counter()
        beats.append((now, time.thread_time()))
        # opening a slide lets the clock beat before there is anything to see
        if after:
            after.append(now)
        if len(after) == 4:
            coarse.append(now - start)
        if len(after) > 4 and is_sharp(viewer):
            loop.quit()

    def begin() -> None:
        act()
        after.append(time.perf_counter())

    clock.timeout.connect(beat)
    clock.start(4)
    QTimer.singleShot(0, begin)
    loop.exec()
    stall, processor = np.diff(beats, axis=0).max(axis=0).tolist()
    return stall, processor, coarse[0], beats[-1][0] - start


def main() -> None:
    """Run each part in a process of its own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("mhim-slides"))
    parser.add_argument("--napari-wsi", default="", help="folder it was installed to")
    parser.add_argument("--parts", nargs="+", default=["steps", "memory", "slow"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.part:
        name, slide = asked.part[0], Path(asked.part[1])
        names = [_OURS, _FLOOR]
        if asked.napari_wsi:
            sys.path.append(asked.napari_wsi)
            names.insert(1, _WSI)
        {
            "steps": partial(steps, slide, asked.rounds, names),
            "memory": partial(memory, slide),
            "slow": partial(slow, slide, asked.rounds),
        }[name]()
        return
    heads = {
        "steps": "| reader | open, ms | processor | step to sharp, ms | processor | "
        "worst step, ms | processor |",
        "memory": "| slide | opened | after 24 steps |",
        "slow": "| reader | longest stall, opening, ms | of it processor | of all steps | "
        "processor | median step | processor | coarse after | sharp after |",
    }
    for name in asked.parts:
        print(f"\n{heads[name]}", flush=True)
        slides = [written(asked.folder, JPEG)]
        if name == "memory":
            slides.append(written_huge(asked.folder))
        for slide in slides:
            command = [sys.executable, "-W", "ignore", __file__, "--part", name]
            command += [str(slide), "--napari-wsi", asked.napari_wsi]
            subprocess.run([*command, "--rounds", str(asked.rounds)], check=True)


if __name__ == "__main__":
    main()
