"""The label table: which slides, their classes, patients and roles."""

import csv
import difflib
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from napari_mhim.errors import CohortError
from napari_mhim.slide.address import url_of
from napari_mhim.workspace import writing

NOT_TRAINED = ("uncertain", "not assessable")
"""Labels of readers that no model is trained on."""
ROLES = ("train", "val", "test")
"""What a slide may be for one model."""

# a class of one of these names is what the class of interest is told apart from
_ORDINARY = ("normal", "negative", "benign", "healthy", "no", "false", "0", "-")
_ROLE_NAMES = {"training": "train", "validation": "val", "testing": "test"}
_SLIDE_SUFFIXES = (
    *(".svs", ".tif", ".tiff", ".ndpi", ".mrxs", ".scn", ".bif", ".vms", ".vmu"),
    *(".svslide", ".dcm", ".czi", ".zarr", ".qptiff", ".jp2", ".btf", ".tf8"),
)


@dataclass(frozen=True)
class CohortRow:
    """One slide of a cohort."""

    slide: str
    """Name: the file's name without suffix, unique in the cohort."""
    path: str = ""
    """Absolute path of the slide file, "" when the table does not say."""
    label: str = ""
    """Name of its class, "" when not labelled."""
    patient: str = ""
    """Patient it is of; the slide's name where the table does not say."""
    role: str = ""
    """One of ``ROLES``, or "" when not split yet."""
    site: str = ""
    """Hospital or scanner, "" when unknown."""
    fold: int | None = None
    """Fold of a cross-validation that tests it, None where the table does not say."""
    label_source: str = field(default="", compare=False)
    """Where the label comes from: "adjudicated", "reader", or "" for a table's own."""


COLUMNS = tuple(field.name for field in fields(CohortRow))
"""Columns a table may have; ``slide`` and ``label`` it must have."""


@dataclass(frozen=True)
class Cohort:
    """Slides with labels, in the table's order."""

    rows: tuple[CohortRow, ...]
    """One for each slide."""
    classes: tuple[str, ...]
    """Class names, without those of ``NOT_TRAINED``; the last is the class of interest."""

    @classmethod
    def of(
        cls, rows: Iterable[CohortRow], classes: Sequence[str] | None = None
    ) -> "Cohort":
        """Make a cohort of rows, with their classes found and checked.

        Parameters
        ----------
        rows : iterable of CohortRow
            The slides.
        classes : sequence of str, optional
            Order of the classes; :func:`class_order` of the labels where not given.

        Returns
        -------
        Cohort
            The cohort.

        Raises
        ------
        CohortError
            If a slide is there twice, a patient has two roles, or a label is not among
            the classes given.
        """
        kept = tuple(
            row if row.patient else CohortRow(**{**vars(row), "patient": row.slide})
            for row in rows
        )
        _refuse_twins(kept)
        _refuse_split_patients(kept)
        labels = {row.label for row in kept if row.label} - set(NOT_TRAINED)
        if classes is None:
            return cls(kept, class_order(labels))
        if missing := sorted(labels - set(classes)):
            raise CohortError(
                f"the table labels slides {missing[0]!r}, which is not among the classes "
                f"{', '.join(classes)}; mend the table or name the class"
            )
        return cls(kept, tuple(classes))

    @classmethod
    def read(
        cls,
        path: str | Path,
        classes: Sequence[str] | None = None,
        labels_required: bool = True,
    ) -> "Cohort":
        """Read a label table.

        Parameters
        ----------
        path : str or Path
            CSV file with a header; comma, semicolon or tab between the columns. Slide
            paths in it are relative to its folder.
        classes : sequence of str, optional
            Order of the classes, the class of interest last.
        labels_required : bool
            Whether a row without a label is an error.

        Returns
        -------
        Cohort
            The cohort.

        Raises
        ------
        CohortError
            If the table cannot be read or used: one sentence that names the row.
        """
        table = Path(path)
        header, lines = _read_table(table)
        rows = [_row(table, number, cells, header) for number, cells in lines]
        for (number, _), row in zip(lines, rows, strict=True):
            if labels_required and not row.label:
                raise CohortError(
                    f"slide {row.slide!r} has no label (line {number} of "
                    f"{table.name!r}); fill it in or take the line out"
                )
        with _named(table):
            return cls.of(rows, classes)

    def write(self, path: str | Path) -> None:
        """Write the table as CSV, whole or not at all.

        Parameters
        ----------
        path : str or Path
            File to write; slide paths are kept relative to its folder where they lie in it.

        Raises
        ------
        WorkspaceError
            If the folder cannot be written or the disk is full.
        """
        target = Path(path)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        says = any(row.label_source for row in self.rows)
        columns = [name for name in COLUMNS if says or name != "label_source"]
        writer.writerow(columns)
        for row in self.rows:
            values = {**vars(row), "path": _relative(row.path, target.parent)}
            writer.writerow([values[column] for column in columns])
        with writing(target) as part:
            part.write_text(text.getvalue(), encoding="utf-8")

    @property
    def target(self) -> str:
        """Give the class of interest: the last."""
        return self.classes[-1]

    def with_role(self, role: str) -> tuple[CohortRow, ...]:
        """Give the rows of one role, in the table's order."""
        return tuple(row for row in self.rows if row.role == role)

    def trainable(self) -> "Cohort":
        """Leave out slides without a class to learn, and refuse what cannot be trained on.

        Returns
        -------
        Cohort
            The rows whose label is one of the classes.

        Raises
        ------
        CohortError
            If fewer than two classes remain.
        """
        rows = tuple(row for row in self.rows if row.label in self.classes)
        there = {row.label for row in rows}
        if len(there) < 2:
            found = f"only {there.pop()!r}" if there else "no class"
            raise CohortError(
                f"training needs slides of two classes, this table has {found}; "
                "label slides of another class"
            )
        return Cohort(rows, tuple(name for name in self.classes if name in there))

    def check_slides(self, available: Iterable[str]) -> None:
        """Refuse a table that names slides nobody has.

        Parameters
        ----------
        available : iterable of str
            Names of the slides there are.

        Raises
        ------
        CohortError
            Naming the first unknown slides, how many, and the closest that exists.
        """
        there = set(available)
        unknown = [row.slide for row in self.rows if row.slide not in there]
        if not unknown:
            return
        close = difflib.get_close_matches(unknown[0], sorted(there), n=1)
        hint = f"; is it {close[0]!r}?" if close else ""
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise CohortError(
            f"the table names slide {unknown[0]!r}{more}, which is not among the "
            f"{len(there)} slides here{hint}"
        )


def class_order(labels: Iterable[str]) -> tuple[str, ...]:
    """Put classes in order, the class of interest last.

    Parameters
    ----------
    labels : iterable of str
        Class names, in any order.

    Returns
    -------
    tuple of str
        "normal", "negative", "benign" and the like first, the rest sorted.
    """
    return tuple(
        sorted(set(labels), key=lambda name: (name.lower() not in _ORDINARY, name))
    )


_Line = tuple[int, list[str]]


def _read_table(path: Path) -> tuple[list[str], list[_Line]]:
    """Give the header and the numbered lines that are not blank."""
    try:
        # utf-8-sig: spreadsheets put a byte order mark in front
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as err:
        raise CohortError(
            f"no label table at {str(path)!r}; choose a CSV file"
        ) from err
    except (OSError, UnicodeDecodeError) as err:
        raise CohortError(
            f"label table {str(path)!r} cannot be read ({err}); save it as CSV, UTF-8"
        ) from err
    first, _, _ = text.lstrip().partition("\n")
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    lines = [(number, cells) for number, cells in lines if any(cells)]
    if len(lines) < 2:
        raise CohortError(
            f"label table {path.name!r} has no slides; it needs a header with 'slide' "
            "and 'label' and a line for each slide"
        )
    header = [name.lower() for name in lines[0][1]]
    _check_header(path, header)
    return header, lines[1:]


def _check_header(path: Path, header: list[str]) -> None:
    for name in header:
        if name in COLUMNS:
            continue
        close = difflib.get_close_matches(name, COLUMNS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise CohortError(
            f"label table {path.name!r} has an unknown column {name!r}{hint} "
            f"(known: {', '.join(COLUMNS)})"
        )
    for name in ("slide", "label"):
        if name not in header:
            raise CohortError(
                f"label table {path.name!r} has no column {name!r}; it has "
                f"{', '.join(header)}"
            )
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise CohortError(f"label table {path.name!r} has two columns {twice!r}")


def _row(table: Path, number: int, cells: list[str], header: list[str]) -> CohortRow:
    where = f"line {number} of {table.name!r}"
    if len(cells) > len(header) and any(cells[len(header) :]):
        raise CohortError(
            f"{where} has {len(cells)} cells, the header {len(header)}; put quotes "
            "round a name that holds a comma"
        )
    # spreadsheets leave out empty cells at the end of a line
    values: dict[str, Any] = dict(zip(header, cells, strict=False))
    if not values["slide"]:
        raise CohortError(f"{where} names no slide; fill in the column 'slide'")
    values["slide"] = _without_suffix(values["slide"])
    role = values.get("role", "").lower()
    values["role"] = _ROLE_NAMES.get(role, role)
    if values["role"] not in ("", *ROLES):
        raise CohortError(
            f"{where} gives slide {values['slide']!r} the role {role!r}; roles are "
            f"{', '.join(ROLES)}, or empty"
        )
    values["fold"] = _fold(where, values["slide"], values.get("fold", ""))
    path = values.get("path", "")
    if path and url_of(path) is None:
        values["path"] = os.path.normpath(table.parent.absolute() / path)
    return CohortRow(**values)


def _fold(where: str, slide: str, text: str) -> int | None:
    # spreadsheets write the integers of a column with gaps as 1.0
    if text and not text.removesuffix(".0").isdecimal():
        raise CohortError(
            f"{where} gives slide {slide!r} the fold {text!r}; folds are whole numbers, "
            "0 or more"
        )
    return int(text.removesuffix(".0")) if text else None


def _without_suffix(name: str) -> str:
    """People write file names where names are meant; both are the same slide."""
    base = Path(name.replace("\\", "/")).name
    stem, suffix = os.path.splitext(base)
    return stem if suffix.lower() in _SLIDE_SUFFIXES else base


def _relative(path: str, folder: Path) -> str:
    if not path:
        return ""
    place = Path(path)
    base = folder.absolute()
    inside = place.is_absolute() and place.is_relative_to(base)
    return place.relative_to(base).as_posix() if inside else path


def _refuse_twins(rows: Sequence[CohortRow]) -> None:
    seen: dict[str, CohortRow] = {}
    for row in rows:
        if (other := seen.setdefault(row.slide, row)) is not row:
            places = f"{other.path or other.slide!r} and {row.path or row.slide!r}"
            raise CohortError(
                f"slide {row.slide!r} is in the table twice ({places}); names must "
                "differ: rename one or take it out"
            )


def _refuse_split_patients(rows: Sequence[CohortRow]) -> None:
    roles: dict[str, CohortRow] = {}
    for row in rows:
        if not row.role:
            continue
        other = roles.setdefault(row.patient, row)
        if other.role != row.role:
            raise CohortError(
                f"patient {row.patient!r} is in two roles (slide {other.slide!r} "
                f"{other.role}, slide {row.slide!r} {row.role}); give both one role"
            )


@contextmanager
def _named(table: Path) -> Iterator[None]:
    """Put the table's name before what is wrong with its rows."""
    try:
        yield
    except CohortError as err:
        raise CohortError(f"label table {table.name!r}: {err}") from err
