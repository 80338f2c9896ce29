"""A command's options: made from the fields of a config, or shared by several commands."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_mhim._options import Option, options
from napari_mhim.errors import ConfigError
from napari_mhim.settings import load_settings
from napari_mhim.slide.tissue import TissueConfig

Slides = Annotated[
    list[Path], typer.Argument(help="Slide files, or folders of slides.")
]
WorkspaceDir = Annotated[
    Path | None, typer.Option("--workspace", help="Folder of features and results.")
]
Pairs = Annotated[
    list[str] | None, typer.Option(help="name=value, once for each setting.")
]
Features = Annotated[
    Path | None,
    typer.Option(help="Folder of features made elsewhere: <slide>.h5, .npy or .pt."),
]
Renew = Annotated[
    bool, typer.Option(help="Make features of other tissue settings anew.")
]
FEATURE_OPTIONS = ("encoder", "weights", "mpp", "patch_model_px", "slide_mpp")


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
            annotation=_annotated(option),
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


def _annotated(option: Option) -> Any:
    if not option.choices:
        return Annotated[option.kind, typer.Option(help=option.help)]
    # the config refuses other words, in the sentence the window has too
    words = "|".join(option.choices)
    return Annotated[str, typer.Option(help=option.help, metavar=words)]


def asked(tissue: TissueConfig) -> TissueConfig | None:
    """Give tissue settings that differ from the defaults, else what is saved counts: None."""
    return None if tissue == TissueConfig() else tissue


def explicit(context: typer.Context) -> set[str]:
    """Name the options that were given on the command line, defaults left out."""
    given = set()
    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None and source.name in ("COMMANDLINE", "ENVIRONMENT"):
            given.add(name)
    return given


def axes(given: list[str] | None) -> dict[str, list[Any]]:
    """Turn ``name=v1,v2`` into values to vary; each is read as JSON, else as text."""
    found: dict[str, list[Any]] = {}
    for axis in given or ():
        name, is_axis, text = axis.partition("=")
        values = [value.strip() for value in text.split(",")]
        if not is_axis or not all(values):
            raise ConfigError(f"a grid is name=v1,v2, got {axis!r}")
        if name in found:
            raise ConfigError(
                f"the grid names {name!r} twice; put all its values into one"
            )
        found[name] = [_value(value) for value in values]
    return found


def workspace_of(given: Path | None) -> str:
    """Give the workspace asked for, or the user's own."""
    return str(given or load_settings().workspace)


def pairs(given: list[str] | None) -> dict[str, Any]:
    """Turn ``name=value`` into settings; a value is read as JSON, else as text."""
    found: dict[str, Any] = {}
    for pair in given or ():
        name, is_pair, text = pair.partition("=")
        if not is_pair:
            raise ConfigError(f"a setting is name=value, got {pair!r}")
        found[name] = _value(text)
    return found


def _value(text: str) -> Any:
    try:
        # people write .03, JSON wants 0.03
        return json.loads(f"0{text}" if text.startswith(".") else text)
    except ValueError:
        return text
