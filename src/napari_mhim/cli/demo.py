"""``napari-mhim demo``."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from napari_mhim import demo
from napari_mhim.cli.app import app
from napari_mhim.cli.screen import console, errors, show
from napari_mhim.phantom import DEMO


@app.command("demo")
def demo_command(
    out: Annotated[Path, typer.Argument(help="Folder of the demo.")] = Path("demo-out"),
    headless: Annotated[
        bool, typer.Option("--headless", envvar="HEADLESS", help="Open no window.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of slides and training.")] = DEMO.seed,
) -> None:
    """Make slides, train a baseline and MHIM on them, and open a held-out one."""
    done = show(demo.run(str(out), seed=seed))
    report = next(event for event in done if isinstance(event, demo.DemoDone))
    console.print(report.text, highlight=False, soft_wrap=True)
    windowed = not headless and _has_display()
    command = demo.window_command(report, screenshot=not windowed)
    if command is None:
        console.print(f"No window here. Pictures and results: {report.folder}")
        return
    with console.status("4/4 opening napari"):
        code = subprocess.run(command, check=False).returncode
    if code != 0:
        errors.print(
            f"The window could not be opened (exit code {code}): "
            "`napari-mhim doctor` says why."
        )
    if not windowed:
        console.print(f"Screenshots and results: {report.folder}", highlight=False)


def _has_display() -> bool:
    if sys.platform != "linux":
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
