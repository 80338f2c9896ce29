"""The program itself: its name, its version, and how it ends."""

import sys
from typing import Annotated

import typer

from napari_mhim import __version__
from napari_mhim.cli.screen import console, errors, escaped
from napari_mhim.errors import MhimError

app = typer.Typer(
    help="MHIM multiple-instance models on whole-slide images. Research use only.",
    no_args_is_help=True,
    add_completion=False,
)


def main() -> None:
    """Run the command line; an error of ours becomes one sentence and exit code 1."""
    try:
        app(standalone_mode=True)
    except MhimError as err:
        errors.print(f"[bold red]Error:[/] {escaped(str(err))}", highlight=False)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Say which version.")
    ] = False,
) -> None:
    if version:
        console.print(f"napari-mhim {__version__}", highlight=False)
        raise typer.Exit
