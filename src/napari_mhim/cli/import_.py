"""``napari-mhim import``."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_mhim.cli.app import app
from napari_mhim.cli.fields import Pairs, pairs, takes
from napari_mhim.cli.screen import show
from napari_mhim.mil import importing
from napari_mhim.mil.importing import ImportConfig

if TYPE_CHECKING:
    from napari_mhim.mil.official import Official, Unstated


@app.command("import")
@takes(ImportConfig, "config")
def import_command(
    checkpoint: Annotated[Path, typer.Argument(help="File of the weights.")],
    config: ImportConfig,
    out: Annotated[Path, typer.Option(help="Folder of the bundle, not there yet.")],
    classes: Annotated[
        list[str] | None,
        typer.Option(
            help="Class names in the model's order, the class of interest last: "
            "normal,tumour, or once for each."
        ),
    ] = None,
    model_option: Pairs = None,
) -> None:
    """Make a bundle of another program's checkpoint; asks for what the file does not say."""
    config = replace(
        config,
        classes=tuple(_names(",".join(classes or ()))),
        model_options=pairs(model_option),
    )
    if _is_terminal():
        from napari_mhim.mil.official import look

        config = _asked(look(checkpoint, **config.given), config)
    show(importing.import_checkpoint(str(checkpoint), str(out), config))


def _asked(found: "Official", config: ImportConfig) -> ImportConfig:
    """Fill in what the file does not say by asking for it."""
    answers: dict[str, Any] = {}
    for unstated in found.unstated:
        if unstated.option == importing.ACTIVATION:
            answers["activation"] = _ask("Activation after the projection", unstated)
        else:
            options = answers.setdefault("model_options", dict(config.model_options))
            options.update(
                pairs([f"{unstated.option}={_ask(unstated.option, unstated)}"])
            )
    if not config.classes:
        count = found.n_classes
        said = typer.prompt(
            f"Names of its {count} classes, in its order, the class of interest last "
            "(with commas)"
        )
        answers["classes"] = tuple(_names(said))
    if not (config.encoder or config.features):
        answers["encoder"] = typer.prompt(
            f"Encoder of its features ({importing.encoder_hint(found)})"
        )
    return replace(config, **answers)


def _ask(text: str, unstated: "Unstated") -> str:
    choices = f" ({', '.join(unstated.choices)})" if unstated.choices else ""
    answer: str = typer.prompt(f"{text}{choices}", default=unstated.usual)
    return answer


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _is_terminal() -> bool:
    return sys.stdin.isatty()
