"""``napari-mhim train`` and ``napari-mhim presets``."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any, cast, get_args

import typer
from rich.table import Table

from napari_mhim import pipeline, studies, tuning
from napari_mhim.cli.app import app
from napari_mhim.cli.fields import (
    FEATURE_OPTIONS,
    Features,
    Pairs,
    WorkspaceDir,
    axes,
    explicit,
    pairs,
    takes,
    workspace_of,
)
from napari_mhim.cli.screen import console, errors, escaped, show
from napari_mhim.errors import ConfigError
from napari_mhim.features.config import ExtractConfig
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.cohort import NOT_TRAINED, Cohort
from napari_mhim.mil.config import TrainConfig
from napari_mhim.mil.milestones import FitDone
from napari_mhim.mil.parent import Checked, tuned_config
from napari_mhim.mil.presets import PRESETS, fits, preset
from napari_mhim.mil.study.config import StudyConfig
from napari_mhim.mil.study.report import HEADINGS, cells
from napari_mhim.mil.study.running import StudyDone
from napari_mhim.settings import memory_mib

Preset = Annotated[
    str,
    typer.Option("--preset", help="Named settings; `napari-mhim presets` lists them."),
]
Grid = Annotated[
    list[str] | None,
    typer.Option(
        help="name=v1,v2: compare these values, in all combinations; recipe.name and "
        "model.name for their options."
    ),
]
From = Annotated[
    Path | None,
    typer.Option("--from", help="Fine-tune this model: its folder. Adds slides to it."),
]
Mix = Annotated[
    Path | None,
    typer.Option(help="With --from: table of the model's own slides, trained on too."),
]
OldChecked = Annotated[
    str,
    typer.Option(help="With --mix and a new class: were those looked through for it?"),
]


@app.command()
@takes(ExtractConfig, "extraction", only=FEATURE_OPTIONS)
@takes(StudyConfig, "study")
@takes(TrainConfig, "config")
def train(
    context: typer.Context,
    cohort: Annotated[Path, typer.Argument(help="Label table: slide, label, …")],
    config: TrainConfig,
    study: StudyConfig,
    extraction: ExtractConfig,
    workspace: WorkspaceDir = None,
    run: Annotated[
        str,
        typer.Option(help='Name of the run\'s folder; "run", or "study" of several.'),
    ] = "",
    named: Preset = "",
    grid: Grid = None,
    features: Features = None,
    model_option: Pairs = None,
    recipe_option: Pairs = None,
    bundle: From = None,
    mix: Mix = None,
    old_checked: OldChecked = "unknown",
) -> None:
    """Train a model on a label table, fine-tune one, or compare several; resumes."""
    given: dict[str, Any] = {
        name: getattr(config, name)
        for name in explicit(context) & {field.name for field in fields(TrainConfig)}
    }
    place, folder = workspace_of(workspace), str(features) if features else ""
    if bundle is not None:
        _refuse_beside_from(named, study.is_study or bool(grid), explicit(context))
        given |= {
            "model_options": pairs(model_option),
            "recipe_options": pairs(recipe_option),
        }
        tuned = tuned_config(Bundle.open(bundle), given)
        more = (folder, str(mix or ""), _checked(old_checked), extraction.slide_mpp)
        _say_where(
            show(tuning.fine_tune(place, str(cohort), tuned, run or "fine-tune", *more))
        )
        return
    if mix is not None:
        raise ConfigError("mix adds a model's own slides; name the model with --from")
    start = _preset(named, cohort) if named else TrainConfig()
    config = _over(start, given, pairs(model_option), pairs(recipe_option))
    study = replace(study, grid=axes(grid))
    extraction = replace(extraction, device=config.device)
    if not study.is_study:
        _say_where(
            show(
                pipeline.train(
                    place, str(cohort), config, extraction, run or "run", folder
                )
            )
        )
        return
    done = show(
        studies.study(
            place, str(cohort), config, study, extraction, run or "study", folder
        )
    )
    for event in done:
        if isinstance(event, StudyDone):
            _print_table(event)


@app.command()
def presets() -> None:
    """List the named settings of `train --preset`, each with its source."""
    table = Table("preset", "model", "recipe", "made for", "source", box=None)
    for name, found in PRESETS.items():
        config = preset(name)
        slides = f"{found.made_for} slides"
        table.add_row(name, config.model, config.recipe, slides, escaped(found.source))
    console.print(table)


def _refuse_beside_from(named: str, is_study: bool, given: set[str]) -> None:
    """A model that goes on brings its settings and its features."""
    locked = sorted(given & {*FEATURE_OPTIONS, "start_from"} - {"slide_mpp"})
    if named or is_study or locked:
        what = "a preset" if named else "a study" if is_study else f"--{locked[0]}"
        raise ConfigError(
            f"--from goes on with a model, its settings and its features: {what} cannot "
            "be given beside it; leave it out, or train a new model"
        )


def _checked(text: str) -> Checked:
    if text not in get_args(Checked):
        raise ConfigError(
            f"old_checked must be one of {', '.join(get_args(Checked))}; got {text!r}"
        )
    return cast(Checked, text)


def _preset(name: str, cohort: Path) -> TrainConfig:
    rows = Cohort.read(cohort).rows
    n_slides = sum(bool(row.label) and row.label not in NOT_TRAINED for row in rows)
    config = preset(name, n_slides, memory_mib())
    if caution := fits(name, n_slides):
        errors.print(escaped(caution), highlight=False)
    return config


def _over(
    start: TrainConfig,
    given: dict[str, Any],
    model_options: dict[str, Any],
    recipe_options: dict[str, Any],
) -> TrainConfig:
    """Put what the command line says over a preset; another part brings its own options."""
    same_model = given.get("model", start.model) == start.model
    same_recipe = given.get("recipe", start.recipe) == start.recipe
    kept = dict(start.model_options) if same_model else {}
    own = dict(start.recipe_options) if same_recipe else {}
    return replace(
        start,
        **given,
        model_options={**kept, **model_options},
        recipe_options={**own, **recipe_options},
    )


def _say_where(events: list[Any]) -> None:
    """Print what a run came to, and where its model is."""
    for event in events:
        if not isinstance(event, FitDone):
            continue
        auc = event.metrics.get("auc") or {}
        if auc.get("value") is not None:
            console.print(
                f"Validation AUC {auc['value']:.2f} ({auc['low']:.2f} to "
                f"{auc['high']:.2f}) on {auc['n']} slides, by which the epoch was "
                "chosen: judge the model by others (napari-mhim evaluate).",
                highlight=False,
            )
        console.print(
            f"written: {escaped(event.bundle_path)}", highlight=False, soft_wrap=True
        )


_WIDE = 150
"""Columns of a terminal from which the table stands in one piece."""


def _print_table(done: StudyDone) -> None:
    n = len(HEADINGS)
    pieces = [range(n)] if console.width >= _WIDE else [range(6), (0, *range(6, n))]
    for piece in pieces:
        table = Table(*(HEADINGS[i] for i in piece), box=None, padding=(0, 1))
        for row in done.rows:
            table.add_row(*(escaped(cells(row)[i]) for i in piece))
        console.print(table)
    for note in done.notes:
        console.print(escaped(note), highlight=False)
    console.print(
        f"written: {escaped(done.folder)} (study.md says what each number means)",
        highlight=False,
        soft_wrap=True,
    )
