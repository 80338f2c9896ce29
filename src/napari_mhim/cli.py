"""``napari-mhim``: everything the window does, without a window."""

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

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

from napari_mhim import __version__, demo, doctor, pipeline
from napari_mhim._options import options
from napari_mhim.errors import MhimError
from napari_mhim.events import Note, Progress
from napari_mhim.features.config import ExtractConfig
from napari_mhim.mil.config import TrainConfig
from napari_mhim.settings import load_settings

T = TypeVar("T")

app = typer.Typer(
    help="MHIM multiple-instance models on whole-slide images. Research use only.",
    no_args_is_help=True,
    add_completion=False,
)
console = Console()
errors = Console(stderr=True)

Slides = Annotated[
    list[Path], typer.Argument(help="Slide files, or folders of slides.")
]
WorkspaceDir = Annotated[
    Path | None, typer.Option("--workspace", help="Folder of features and results.")
]


def main() -> None:
    """Run the command line; an error of ours becomes one sentence and exit code 1."""
    try:
        app(standalone_mode=True)
    except MhimError as err:
        errors.print(f"[bold red]Error:[/] {_escaped(str(err))}", highlight=False)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)


def takes(config: type[T]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command one option for each plain field of a config.

    Parameters
    ----------
    config : type
        A frozen dataclass of plain values.

    Returns
    -------
    callable
        A decorator: the command gets the options' values as one ``config`` argument
        named like the class in lower case, for instance ``extractconfig``.
    """
    shown = [option for option in options(config) if option.is_plain]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        known = inspect.signature(command).parameters
        added = [
            inspect.Parameter(
                option.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=option.default,
                annotation=Annotated[option.kind, typer.Option(help=option.help)],
            )
            for option in shown
            if option.name not in known
        ]

        def wrapped(*args: Any, **kwargs: Any) -> None:
            values = {
                option.name: kwargs.pop(option.name)
                if option.name not in known
                else kwargs[option.name]
                for option in shown
                if option.name in kwargs
            }
            kwargs[config.__name__.lower()] = config(**values)
            command(*args, **kwargs)

        own = [p for name, p in known.items() if name != config.__name__.lower()]
        wrapped.__name__ = command.__name__
        wrapped.__doc__ = command.__doc__
        wrapped.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [*own, *added]
        )
        return wrapped

    return decorate


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
                    description=_escaped(event.stage),
                    completed=event.done,
                    total=event.total or None,
                    unit=event.unit,
                )
            elif isinstance(event, Note):
                bars.console.print(_escaped(event.text), highlight=False)
            else:
                _tell(event, bars.console)
                kept.append(event)
    return kept


@app.command("doctor")
def doctor_command(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the checks as JSON.")
    ] = False,
) -> None:
    """Say what works on this computer, and the fix for what does not."""
    checks = list(doctor.run_checks())
    if as_json:
        console.print_json(json.dumps([check.as_dict() for check in checks]))
    else:
        colours = {"PASS": "green", "WARN": "yellow", "FAIL": "red"}
        for check in checks:
            colour = colours[check.status]
            line = f"[bold {colour}]{check.status}[/] {check.name}: "
            console.print(line + _escaped(check.message), highlight=False)
            if check.fix:
                console.print(f"     fix: {_escaped(check.fix)}", highlight=False)
    if any(check.status == "FAIL" for check in checks):
        raise typer.Exit(1)


@app.command()
@takes(ExtractConfig)
def extract(
    slides: Slides,
    extractconfig: ExtractConfig,
    workspace: WorkspaceDir = None,
) -> None:
    """Turn slides into features on disk; goes on where it was stopped."""
    found = [str(path) for path in demo.slide_files(slides)]
    place = _workspace(workspace)
    done = show(pipeline.extract_slides(found, place, extractconfig))
    _fail_if_any(done, len(found))


@app.command()
@takes(TrainConfig)
def train(
    cohort: Annotated[Path, typer.Argument(help="Label table: slide, label, …")],
    trainconfig: TrainConfig,
    workspace: WorkspaceDir = None,
    run: Annotated[str, typer.Option(help="Name of the run's folder.")] = "run",
    encoder: Annotated[str, typer.Option(help="Encoder of the features.")] = "texture",
    weights: Annotated[str, typer.Option(help="Weights of the encoder.")] = "",
    mpp: Annotated[float | None, typer.Option(help="µm per pixel.")] = None,
    patch_model_px: Annotated[int | None, typer.Option(help="Patch width.")] = None,
    slide_mpp: Annotated[
        float | None, typer.Option(help="µm per pixel of slides without their own.")
    ] = None,
) -> None:
    """Train a model on a label table; a stopped run of the same name goes on."""
    features = ExtractConfig(
        encoder=encoder,
        weights=weights,
        mpp=mpp,
        patch_model_px=patch_model_px,
        slide_mpp=slide_mpp,
        device=trainconfig.device,
    )
    place = _workspace(workspace)
    show(pipeline.train(place, str(cohort), trainconfig, features, run))


@app.command()
def predict(
    slides: Slides,
    model: Annotated[Path, typer.Option(help="Folder of the bundle.")],
    out: Annotated[Path, typer.Option(help="Folder of what is written.")],
    workspace: WorkspaceDir = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    mpp: Annotated[
        float | None, typer.Option(help="µm per pixel of slides without their own.")
    ] = None,
    table: Annotated[str, typer.Option(help="csv or parquet.")] = "csv",
) -> None:
    """Run a bundle on slides: probabilities, a table of patches, a heatmap."""
    from napari_mhim.export.folder import write_folder

    found = [str(path) for path in demo.slide_files(slides)]
    place = _workspace(workspace)
    events = pipeline.predict_slides(found, str(model), place, device, mpp)
    done = show(events)
    for event in done:
        if isinstance(event, pipeline.PredictDone):
            folder = out if len(found) == 1 else out / Path(event.slide).stem
            written = write_folder(event.result_path, event.slide, folder, table)
            console.print(f"written: {_escaped(str(written))}", highlight=False)
    _fail_if_any(done, len(found))


@app.command("demo")
def demo_command(
    out: Annotated[Path, typer.Argument(help="Folder of the demo.")] = Path("demo-out"),
    headless: Annotated[
        bool, typer.Option("--headless", envvar="HEADLESS", help="Open no window.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of slides and training.")] = 0,
) -> None:
    """Make slides, train a baseline and MHIM on them, and open a held-out one."""
    done = show(demo.run(str(out), seed=seed))
    report = next(event for event in done if isinstance(event, demo.DemoDone))
    console.print(report.text, highlight=False)
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


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Say which version.")] = False,
) -> None:
    if version:
        console.print(f"napari-mhim {__version__}", highlight=False)
        raise typer.Exit


def _workspace(given: Path | None) -> str:
    return str(given or load_settings().workspace)


def _tell(event: Any, where: Console) -> None:
    """Print what a finished unit of work came to, where it has a line to say."""
    if isinstance(event, pipeline.SlideFailed):
        where.print(
            f"[bold red]{_escaped(Path(event.slide).name)}:[/] {_escaped(event.reason)}",
            highlight=False,
        )
    elif line := getattr(event, "line", ""):
        where.print(_escaped(line), highlight=False)


def _fail_if_any(events: list[Any], total: int) -> None:
    failed = sum(isinstance(event, pipeline.SlideFailed) for event in events)
    if failed:
        errors.print(f"{failed} of {total} slides could not be done.")
        raise typer.Exit(1)


def _has_display() -> bool:
    if sys.platform != "linux":
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _escaped(text: str) -> str:
    """Keep rich from reading [brackets] of a file name as markup."""
    return text.replace("[", r"\[")


if __name__ == "__main__":
    main()
