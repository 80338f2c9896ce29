"""``napari-mhim doctor``."""

import json
from typing import Annotated

import typer

from napari_mhim import doctor
from napari_mhim.cli.app import app
from napari_mhim.cli.screen import console, escaped


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
            console.print(line + escaped(check.message), highlight=False)
            if check.fix:
                console.print(f"     fix: {escaped(check.fix)}", highlight=False)
    if any(check.status == "FAIL" for check in checks):
        raise typer.Exit(1)
