"""Command-line options and form fields made from a config's fields, so neither drifts.

A config is a frozen dataclass whose fields each have a docstring line; those lines are
the help texts. Nothing is said twice.
"""

import ast
import inspect
import textwrap
from dataclasses import MISSING, dataclass, fields
from functools import cache
from itertools import pairwise
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


@dataclass(frozen=True)
class Option:
    """One field of a config, as a form or a command line shows it."""

    name: str
    """The field's name."""
    kind: Any
    """The field's type, for instance ``float | None``."""
    default: Any
    """The field's default."""
    help: str
    """The docstring line below the field."""

    @property
    def is_plain(self) -> bool:
        """Tell whether one word of a command line can give the value."""
        if self.choices:
            return True
        parts = get_args(self.kind) if _is_union(self.kind) else (self.kind,)
        return all(part in (str, int, float, bool, type(None)) for part in parts)

    @property
    def choices(self) -> tuple[str, ...]:
        """Give the words that are allowed, where the type lists them; else empty."""
        is_list = get_origin(self.kind) is Literal
        return get_args(self.kind) if is_list else ()


def options(config: type) -> tuple[Option, ...]:
    """List the fields of a config with their help texts.

    Parameters
    ----------
    config : type
        A dataclass.

    Returns
    -------
    tuple of Option
        In the order of the fields.
    """
    docs = {}
    for kind in reversed(config.__mro__[:-1]):  # a config may extend another
        docs.update(_docs(kind))
    kinds = get_type_hints(config)
    found = []
    for field in fields(config):
        default = field.default
        if default is MISSING and field.default_factory is not MISSING:
            default = field.default_factory()
        found.append(
            Option(field.name, kinds[field.name], default, docs.get(field.name, ""))
        )
    return tuple(found)


@cache
def _docs(config: type) -> dict[str, str]:
    """Read the string that follows each annotated field in the class's source."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(config)))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    docs = {}
    for field, after in pairwise(body):
        if not isinstance(field, ast.AnnAssign) or not isinstance(
            field.target, ast.Name
        ):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            docs[field.target.id] = " ".join(str(after.value.value).split())
    return docs


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in (Union, UnionType)
