"""How long *File → Open Sample* takes in a fresh napari, and the next one after it.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/open_sample.py --rounds 5

A round is a process of its own: it opens napari at 1366 x 768, waits until the window is
idle, opens the sample with both kinds of lesions and then the one without any, and gives
the seconds from the call until napari has added and drawn every layer. Bytecode counts:
an installation whose modules were never compiled (``PYTHONDONTWRITEBYTECODE``) spends
about as long again on compiling them.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

SAMPLES = ("both", "negative")


def one_round() -> dict[str, float]:
    """Give the seconds each sample takes, wall and processor."""
    import napari
    from qtpy.QtWidgets import QApplication

    viewer = napari.Viewer()
    viewer.window.resize(1366, 768)
    _idle(QApplication, seconds=2)
    found = {}
    for sample in SAMPLES:
        wall, processor = time.perf_counter(), time.process_time()
        viewer.open_sample("napari-mhim", sample)
        QApplication.processEvents()
        found[sample] = time.perf_counter() - wall
        found[f"{sample} (CPU)"] = time.process_time() - processor
        _idle(QApplication, seconds=4)
    return found


def _idle(application: object, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        application.processEvents()  # type: ignore[attr-defined]
        time.sleep(0.02)


def main() -> None:
    """Print the median, the least and the most of all rounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(one_round()))
        return
    rounds = []
    for _ in range(asked.rounds):
        done = subprocess.run(
            [sys.executable, __file__, "--one"],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        rounds.append(json.loads(done.stdout.splitlines()[-1]))
    for name in rounds[0]:
        values = [one[name] for one in rounds]
        print(
            f"{name:>16}: median {statistics.median(values):.1f} s, "
            f"{min(values):.1f} to {max(values):.1f} s in {len(values)} rounds"
        )


if __name__ == "__main__":
    main()
