"""How fast the window answers with many patches, beside napari's own layers.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/desk.py

Four tables: overlays (add, recolour, pick, draw a mask) beside Points and Shapes; what the
resident model needs for one step of a mask slider; the longest stall while slides, results
and layers are changed; and the gallery while it is scrolled.
Each part is a process of its own and draws with whatever OpenGL there is: frame times of a
software renderer say nothing of a GPU, the rest is processor time and carries over. How
slides themselves are looked at is in ``viewing.py``.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import desk_reading
import numpy as np

SIZES = (5_000, 20_000, 100_000, 200_000)
SIDE = 4096
"""Width and height of the slide that is written for it, in pixels."""
MOST_SHAPES = 20_000
"""More shapes than that take napari minutes."""
Row = dict[str, Any]


def made_result(n: int) -> Any:
    """Give a result of about ``n`` patches that cover the slide, with random figures."""
    from napari_mhim.mil.result import SlideResult
    from napari_mhim.slide.tiling import PatchGrid

    rows = int(np.sqrt(n))
    shape = rows, -(-n // rows)
    cells = np.argwhere(np.ones(shape, bool))[:n].astype(np.int32)
    draw = np.random.default_rng(0)
    attention = draw.random((1, n)).astype(np.float32) ** 8
    push = draw.normal(size=n).astype(np.float32)
    patch = np.full(2, SIDE / max(shape))
    return SlideResult(
        slide="made",
        path="",
        fingerprint="",
        slide_shape=(SIDE, SIDE),
        slide_mpp=(0.5, 0.5),
        grid=PatchGrid(np.zeros(2), patch, patch, shape, cells, 0.5, 128),
        bundle="made",
        bundle_id="made",
        classes=("normal", "tumour"),
        target=1,
        probabilities=np.array([0.1, 0.9], np.float32),
        remaining=np.array([0.2, 0.8], np.float32),
        attention=attention / attention.sum(),
        branches=("attention",),
        evidence=np.stack([-push, push], axis=1),
        evidence_kind="exact",
        evidence_limits=np.array([2.0, 2.0], np.float32),
        student_scores=attention[0],
        teacher_scores=draw.random(n).astype(np.float32),
        score_source="teacher",
        mask=draw.random(n) < 0.1,
        mask_ratio_high=0.1,
    )


def write_slide(path: Path) -> None:
    """Write a slide of coloured speckles that every reader opens."""
    from napari_mhim.slide.write import write_pyramid

    draw = np.random.default_rng(0)
    small = draw.integers(90, 240, (SIDE // 8, SIDE // 8, 3), np.uint8)
    write_pyramid(path, small.repeat(8, axis=0).repeat(8, axis=1), (0.5, 0.5))


def timed(act: Callable[[], object], rounds: int = 3) -> float:
    """Give the median seconds of an action, with what Qt then has to draw."""
    from qtpy.QtWidgets import QApplication

    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        act()
        QApplication.processEvents()
        found.append(time.perf_counter() - start)
    return statistics.median(found)


def open_viewer() -> Any:
    """Open napari at the size of a small laptop."""
    import napari

    viewer = napari.Viewer()
    viewer.window.resize(1366, 768)
    _settle()
    return viewer


def _settle() -> None:
    from qtpy.QtWidgets import QApplication

    for _ in range(20):
        QApplication.processEvents()
        time.sleep(0.02)


def overlays(slide: Path, sizes: tuple[int, ...]) -> Iterator[Row]:
    """Time our overlays, Points and Shapes with the same patches and values."""
    viewer = open_viewer()
    for n in sizes:
        result = made_result(n)
        yield {"what": "ours", "patches": n, **_ours(viewer, slide, result)}
        viewer.layers.clear()
        points = _theirs(viewer, result, _points)
        yield {"what": "Points", "patches": n, **points}
        viewer.layers.clear()
        if n <= MOST_SHAPES:
            shapes = _theirs(viewer, result, _shapes)
            yield {"what": "Shapes", "patches": n, **shapes}
            viewer.layers.clear()
    viewer.close()


def _ours(viewer: Any, slide: Path, result: Any) -> Row:
    from napari_mhim.plugin import overlays as layers
    from napari_mhim.plugin.canvas import Canvas
    from napari_mhim.plugin.picking import Picking
    from napari_mhim.plugin.state.desk import DeskState
    from napari_mhim.plugin.state.gallery import GalleryState
    from napari_mhim.slide import open_slide

    canvas, gallery = Canvas(viewer, DeskState()), GalleryState()
    canvas.put([layers.slide_layer(open_slide(slide))])
    all_layers = timed(lambda: canvas.show_result(result), rounds=1)
    viewer.layers.remove(canvas.layers()[layers.EVIDENCE])
    canvas.show_only()
    evidence = layers.evidence_layer(result, 1, (0.5, 0.5))
    add = timed(lambda: viewer.add_image(evidence[0], **evidence[1]), rounds=1)
    layer = canvas.layers()[layers.EVIDENCE]
    maps = iter(["viridis", "magma", "gray"])
    recolour = timed(lambda: setattr(layer, "colormap", next(maps)))
    parts = np.random.default_rng(1).integers(0, 2, len(result)).astype(np.uint8)
    canvas.show_only(layers.HIDDEN)
    mask = timed(lambda: canvas.show_hidden(parts))
    gallery.take(result)
    picking = Picking(canvas, gallery)
    pick = _each(picking.patch_at, _places())
    canvas.make_room()
    canvas.release()
    return {
        "add": add,
        "recolour": recolour,
        "pick": pick,
        "mask": mask,
        "add all five layers": all_layers,
    }


def _theirs(viewer: Any, result: Any, make: Callable[..., Any]) -> Row:
    found = {}
    push = result.evidence[:, 1]

    def add() -> None:
        found["layer"] = make(viewer, result, _colours(push))

    seconds = timed(add, rounds=1)
    layer, others = found["layer"], _colours(push[::-1])
    recolour = timed(lambda: setattr(layer, "face_color", others), rounds=1)
    pick = _each(lambda at: layer.get_value(at, world=True), _places(5))
    return {"add": seconds, "recolour": recolour, "pick": pick}


def _points(viewer: Any, result: Any, colours: np.ndarray) -> Any:
    centres = result.grid.corners + result.grid.patch_px / 2
    return viewer.add_points(
        centres,
        size=float(result.grid.patch_px[0]),
        symbol="square",
        border_width=0,
        face_color=colours,
        scale=(0.5, 0.5),
    )


def _shapes(viewer: Any, result: Any, colours: np.ndarray) -> Any:
    unit = np.array([[0, 0], [0, 1], [1, 1], [1, 0]])
    boxes = result.grid.corners[:, None] + unit * result.grid.patch_px  # (N, 4, 2)
    return viewer.add_shapes(
        list(boxes),
        shape_type="rectangle",
        edge_width=0,
        face_color=colours,
        scale=(0.5, 0.5),
    )


def _colours(push: np.ndarray) -> np.ndarray:
    share = np.clip(push / 4 + 0.5, 0, 1)
    return np.stack([share, share * 0, 1 - share, share * 0 + 0.5], axis=1)


def _places(n: int = 500) -> np.ndarray:
    return np.random.default_rng(2).random((n, 2)) * SIDE * 0.5


def _each(find: Callable[[tuple[float, ...]], object], places: np.ndarray) -> float:
    start = time.perf_counter()
    for place in places.tolist():
        find(tuple(place))
    return (time.perf_counter() - start) / len(places)


def gallery(slide: Path, sizes: tuple[int, ...]) -> Iterator[Row]:
    """Scroll the gallery from end to end, and watch how long the event loop is held up."""
    from napari_mhim.plugin import overlays as layers
    from napari_mhim.plugin import show
    from napari_mhim.slide import open_slide

    viewer = open_viewer()
    dock = show.open_dock(viewer)
    for n in sizes:
        result = made_result(n)
        dock.canvas.make_room()
        dock.canvas.put([layers.slide_layer(open_slide(slide))])
        dock.canvas.show_result(result)
        dock.canvas.finish()
        section = dock.review.sections["Patches"]
        _settle()
        opened = _stall([section.open])
        yield {"patches": n, "open": opened, **_explored(dock, section.content)}
        section.head.setChecked(False)
    viewer.close()


def changing(slide: Path, sizes: tuple[int, ...]) -> Iterator[Row]:
    """Change slides, results and layers, and watch how long the event loop is held up."""
    from napari_mhim.plugin import overlays as layers
    from napari_mhim.plugin import show
    from napari_mhim.plugin.measures import MEASURES

    viewer = open_viewer()
    dock = show.open_dock(viewer)
    _settle()
    canvas, path = dock.canvas, str(slide)
    yield {"patches": 0, "first slide": _stall([partial(canvas.open, path)])}
    for n in sizes:
        result, another = made_result(n), made_result(n)
        row: Row = {"patches": n}
        for name, act in (
            ("a slide", partial(canvas.open, path)),
            ("its result", partial(canvas.show_result, result)),
            ("another result", partial(canvas.show_result, another)),
        ):
            row[name] = _stall([act])
            _settle()
        overlays = canvas.layers()
        attention = overlays[layers.ATTENTION]
        measures = [partial(setattr, dock.state, "measure", one) for one in MEASURES]
        row["layers on and off"] = _stall(
            [
                partial(setattr, one, "visible", on)
                for one in overlays.values()
                for on in (0, 1)
            ]
        )
        row["colours"] = _stall(
            [partial(setattr, attention, "colormap", one) for one in ("magma", "gray")]
        )
        row["measures"] = _stall(measures)
        row["the tour"] = _stall([step.click for step in dock.review.tour.steps[:3]])
        yield row
    viewer.close()


def _explored(dock: Any, patches: Any) -> Row:
    dock.tabs.currentWidget().ensureWidgetVisible(patches.gallery)
    bar = patches.gallery.wall.verticalScrollBar()
    stops = np.linspace(0, bar.maximum(), 60).astype(int).tolist()
    sorts = ("attention", "teacher", "evidence")
    return {
        "longest stall, jumping": _stall([partial(bar.setValue, at) for at in stops]),
        "longest stall, gliding": _stall([lambda: bar.setValue(bar.value() - 40)] * 60),
        "longest stall, stepping": _stall([partial(patches.step, 1)] * 20),
        "sort": max(
            timed(partial(patches.state.arrange, sort=sort), rounds=1) for sort in sorts
        ),
        "hover": _each(patches.picking.patch_at, _places()),
    }


def _stall(actions: list[Callable[[], object]], every_ms: int = 30) -> list[float]:
    """Give the longest gap between two beats of a clock while actions go on.

    Returns
    -------
    list of float
        Seconds by the clock on the wall, and of this thread's processor time.
    """
    from qtpy.QtCore import QEventLoop, QTimer

    loop, beats, left = QEventLoop(), [], list(actions)
    clock, actor = QTimer(), QTimer()
    clock.timeout.connect(
        lambda: beats.append((time.perf_counter(), time.thread_time()))
    )
    actor.timeout.connect(lambda: left.pop(0)() if left else loop.quit())
    clock.start(2)
    actor.start(every_ms)
    loop.exec()
    longest: list[float] = np.diff(beats, axis=0).max(axis=0).tolist()
    return longest


def _print(title: str, rows: list[Row]) -> None:
    print(f"\n{title}")
    for row in rows:
        cells = []
        for name, value in row.items():
            if isinstance(value, list):
                value = "{:.0f} ms, {:.0f} of the processor".format(
                    *(1e3 * one for one in value)
                )
            elif isinstance(value, float):
                value = f"{value * 1e3:.2f} ms" if value < 1 else f"{value:.2f} s"
            elif isinstance(value, int):
                value = f"{value:,}"
            cells.append(f"{name} {value}")
        print("  " + " | ".join(cells))


def main() -> None:
    """Run each part in a process of its own, and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    sizes = tuple(asked.sizes)
    if asked.part:
        name, slide = asked.part
        parts = {
            "overlays": lambda: overlays(Path(slide), sizes),
            "reading": lambda: desk_reading.reading(sizes),
            "changing": lambda: changing(Path(slide), sizes),
            "gallery": lambda: gallery(Path(slide), sizes),
        }
        for row in parts[name]():
            print("ROW " + json.dumps(row), flush=True)
        return
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        slide = Path(folder) / "made.tiff"
        write_slide(slide)
        os.environ["NAPARI_MHIM_WORKSPACE"] = folder
        for name, title in (
            ("overlays", "Overlays beside napari's own layers"),
            ("reading", "One step of a mask slider (cached features, processor time)"),
            ("changing", "Longest stall while slides, results and layers are changed"),
            ("gallery", "The gallery, scrolled from end to end"),
        ):
            _print(title, _in_a_process(name, slide, asked))
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"\n{time.monotonic() - start:.0f} s; load of the machine {load}")


def _in_a_process(name: str, slide: Path, asked: argparse.Namespace) -> list[Row]:
    command = [sys.executable, "-W", "ignore", __file__, "--part", name, str(slide)]
    command += ["--sizes", *map(str, asked.sizes)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("ROW ")]
    rows: list[Row] = [json.loads(line.removeprefix("ROW ")) for line in lines]
    if done.returncode:
        rows.append({"what": f"failed with exit code {done.returncode}"})
    return rows


if __name__ == "__main__":
    main()
