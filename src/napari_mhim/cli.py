"""``napari-mhim``: everything the window does, without a window."""

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

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
from napari_mhim.errors import ConfigError, MhimError
from napari_mhim.events import Note, Progress
from napari_mhim.features.config import ExtractConfig
from napari_mhim.mil.config import TrainConfig
from napari_mhim.phantom import DEMO
from napari_mhim.settings import load_settings
from napari_mhim.slide.files import slide_files

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
Pairs = Annotated[
    list[str] | None, typer.Option(help="name=value, once for each setting.")
]
FEATURE_OPTIONS = ("encoder", "weights", "mpp", "patch_model_px", "slide_mpp")


def main() -> None:
    """Run the command line; an error of ours becomes one sentence and exit code 1."""
    try:
        app(standalone_mode=True)
    except MhimError as err:
        errors.print(f"[bold red]Error:[/] {_escaped(str(err))}", highlight=False)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)


def takes(
    config: type, name: str, only: tuple[str, ...] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command one option for each plain field of a config.

    Parameters
    ----------
    config : type
        A frozen dataclass.
    name : str
        The command's argument that takes the config.
    only : tuple of str
        Fields to offer; all plain ones where empty.

    Returns
    -------
    callable
        A decorator: the command is called with the config in place of its options.
    """
    shown = [
        option
        for option in options(config)
        if option.is_plain and (not only or option.name in only)
    ]
    added = [
        inspect.Parameter(
            option.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=option.default,
            annotation=Annotated[option.kind, typer.Option(help=option.help)],
        )
        for option in shown
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        def wrapped(**kwargs: Any) -> None:
            values = {option.name: kwargs.pop(option.name) for option in shown}
            command(**{name: config(**values)}, **kwargs)

        parameters = inspect.signature(command).parameters.values()
        own = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in parameters
            if parameter.name != name
        ]
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
@takes(ExtractConfig, "config")
def extract(
    slides: Slides, config: ExtractConfig, workspace: WorkspaceDir = None
) -> None:
    """Turn slides into features on disk; goes on where it was stopped."""
    found = slide_files(slides)
    done = show(pipeline.extract_slides(found, _workspace(workspace), config))
    _fail_if_any(done, len(found))


@app.command()
@takes(ExtractConfig, "features", only=FEATURE_OPTIONS)
@takes(TrainConfig, "config")
def train(
    cohort: Annotated[Path, typer.Argument(help="Label table: slide, label, …")],
    config: TrainConfig,
    features: ExtractConfig,
    workspace: WorkspaceDir = None,
    run: Annotated[str, typer.Option(help="Name of the run's folder.")] = "run",
    model_option: Pairs = None,
    recipe_option: Pairs = None,
) -> None:
    """Train a model on a label table; a stopped run of the same name goes on."""
    config = replace(
        config,
        model_options=_pairs(model_option),
        recipe_options=_pairs(recipe_option),
    )
    features = replace(features, device=config.device)
    show(pipeline.train(_workspace(workspace), str(cohort), config, features, run))


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

    found = slide_files(slides)
    place = _workspace(workspace)
    done = show(pipeline.predict_slides(found, str(model), place, device, mpp))
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


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Say which version.")
    ] = False,
) -> None:
    if version:
        console.print(f"napari-mhim {__version__}", highlight=False)
        raise typer.Exit


def _workspace(given: Path | None) -> str:
    return str(given or load_settings().workspace)


def _pairs(given: list[str] | None) -> dict[str, Any]:
    """Turn ``name=value`` into settings; a value is read as JSON, else as text."""
    found: dict[str, Any] = {}
    for pair in given or ():
        name, is_pair, text = pair.partition("=")
        if not is_pair:
            raise ConfigError(f"a setting is name=value, got {pair!r}")
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found


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
