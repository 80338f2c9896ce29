"""What a command prints: progress, notes, results, failures."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

from napari_mhim import pipeline
from napari_mhim.events import Note, Progress
from napari_mhim.mil.milestones import EpochDone

console = Console()
errors = Console(stderr=True)


def show(events: Iterator[Any]) -> list[Any]:
    """Run a job with a progress bar.

    Parameters
    ----------
    events : iterator
        What the job yields.

    Returns
    -------
    list
        The job's events that are neither progress nor notes.
    """
    kept = []
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=errors, transient=True) as bars:
        task = bars.add_task("", total=None, unit="")
        stage = ""
        for event in events:
            if isinstance(event, Progress):
                if event.stage != stage:
                    stage = event.stage
                    # a new stage has a rate of its own
                    bars.reset(task)
                bars.update(
                    task,
                    description=escaped(event.stage),
                    completed=event.done,
                    total=event.total or None,
                    unit=event.unit,
                )
            elif isinstance(event, EpochDone):
                stage = event.stage
                bars.update(
                    task,
                    description=escaped(event.words),
                    completed=event.epoch,
                    total=event.epochs,
                    unit="epochs",
                )
                kept.append(event)
            elif isinstance(event, Note):
                bars.console.print(escaped(event.text), highlight=False)
            else:
                tell(event, bars.console)
                kept.append(event)
    return kept


def fail_if_any(events: list[Any], total: int) -> None:
    """End with exit code 1 where a slide could not be done."""
    failed = sum(isinstance(event, pipeline.SlideFailed) for event in events)
    if failed:
        errors.print(f"{failed} of {total} slides could not be done.")
        raise typer.Exit(1)


def escaped(text: str) -> str:
    """Keep rich from reading [brackets] of a file name as markup."""
    return text.replace("[", r"\[")


def tell(event: Any, where: Console) -> None:
    """Print what a finished unit of work came to, where it has a line to say."""
    if isinstance(event, pipeline.SlideFailed):
        where.print(
            f"[bold red]{escaped(Path(event.slide).name)}:[/] {escaped(event.reason)}",
            highlight=False,
        )
    elif line := getattr(event, "line", ""):
        where.print(escaped(line), highlight=False)
