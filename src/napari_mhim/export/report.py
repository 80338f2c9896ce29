"""An evaluation in words: a table for the terminal, and one page of Markdown."""

from collections.abc import Mapping, Sequence

from napari_mhim.export.tables import NOTICE
from napari_mhim.mil.bootstrap import Interval
from napari_mhim.mil.evaluation import Evaluation, Group

FIGURES = (
    ("auc", "AUC"),
    ("sensitivity", "Sensitivity"),
    ("specificity", "Specificity"),
    ("accuracy", "Accuracy"),
    ("balanced_accuracy", "Balanced accuracy"),
    ("f1", "F1"),
)
"""Figures of the table, in its order."""


def figures_table(found: Evaluation) -> str:
    """Lay the figures out for the terminal.

    Parameters
    ----------
    found : Evaluation
        The figures.

    Returns
    -------
    str
        Plain text: what was judged, at which cut-off, and a line for each figure with its
        95 % interval.
    """
    groups = _groups(found)
    rows = list(_rows(groups))
    width = max(len(name) for name, _ in rows) + 2
    # a figure that is not defined gives its reason, which is long
    cells = [max(len(row[i]) for _, row in rows) + 3 for i in range(len(groups))]
    lines = [what(found), cutoff(found), calibrated(found), ""]
    lines += [
        name.ljust(width)
        + "".join(cell.ljust(size) for cell, size in zip(row, cells, strict=True))
        for name, row in rows
    ]
    lines += ["", *confusion(found, groups[-1]), ""]
    return "\n".join(line.rstrip() for line in [*lines, *found.notes, NOTICE])


def report(found: Evaluation, pictures: Mapping[str, str]) -> str:
    """Write the report: one page of Markdown.

    Parameters
    ----------
    found : Evaluation
        The figures.
    pictures : mapping of str to str
        Title and file name of each picture beside it.

    Returns
    -------
    str
        Markdown; the model's name is in it, no slide's or patient's.
    """
    groups = _groups(found)
    rows = list(_rows(groups))
    head, body = rows[0], rows[1:]
    table = [
        f"| figure | {' | '.join(head[1])} |",
        "|---" * (1 + len(groups)) + "|",
        *(f"| {name} | {' | '.join(row)} |" for name, row in body),
    ]
    paragraphs = [
        f"# {found.config.name} on {_role(found)} slides",
        f"**{NOTICE}** {what(found)}",
        f"{cutoff(found)} {calibrated(found)}",
        "\n".join(table),
        "Value, 95 % interval (bootstrap within classes; Wilson's where a figure is 0 or "
        "1) and number judged. ECE: mean distance of a score and the share of slides "
        "that are of the class, in bins of equal numbers; by chance: what scores that "
        "are all true would show on as many.",
        "```\n" + "\n".join(confusion(found, groups[-1])) + "\n```",
        "\n".join(f"- {note}" for note in found.notes),
        "\n".join(f"![{title}]({name})" for title, name in pictures.items()),
        f"Model id {found.model_id}; features "
        f"{found.config.encoder_id or 'of no known encoder'}.",
    ]
    return "\n\n".join(text for text in paragraphs if text) + "\n"


def what(found: Evaluation) -> str:
    """Say what was judged: how many slides, of how many patients, of which classes."""
    classes = found.config.classes
    counts = zip(found.slides.metrics.counts, classes, strict=True)
    named = ", ".join(f"{n} {name}" for n, name in counts)
    patients = len({row.patient or row.slide for row in found.rows})
    return (
        f"Model {found.config.name} on {_counted(len(found.rows), 'slide')} "
        f"({_role(found)}) of {_counted(patients, 'patient')}: {named}."
    )


def cutoff(found: Evaluation) -> str:
    """Say which cut-off the figures are at, and which slides it was set on."""
    config = found.config
    name, chosen = config.classes[config.target_index], config.cutoff
    if len(config.classes) > 2:
        return "Each slide is called the class of the largest score."
    if chosen is None:
        return f"The model has no cut-off of its own: {name} from a score of 0.5."
    return (
        f"Cut-off for {name}: {chosen.value:.3f}, set on "
        f"{_counted(chosen.n, f'{chosen.where} slide')}, never on these."
    )


def calibrated(found: Evaluation) -> str:
    """Say whether the scores are calibrated, and on how many slides."""
    config = found.config
    if not config.calibrated:
        return "Scores are not calibrated."
    return (
        f"Scores are calibrated by a temperature of {config.temperature:.2f}, fitted on "
        f"{_counted(config.calibrated_on, 'validation slide')}."
    )


def confusion(found: Evaluation, group: Group) -> list[str]:
    """Give the confusion matrix as lines of plain text, one for each true class."""
    classes = found.config.classes
    width = max(len(name) for name in classes) + 3
    head = f"{group.unit}s labelled".ljust(width + 12)
    lines = [head + "".join(f"called {name}".rjust(width + 8) for name in classes)]
    for name, row in zip(classes, group.metrics.confusion, strict=True):
        cells = "".join(str(count).rjust(width + 8) for count in row)
        lines.append(name.ljust(len(head)) + cells)
    return lines


def _groups(found: Evaluation) -> list[Group]:
    return [found.slides, *([found.patients] if found.patients else [])]


_Row = tuple[str, list[str]]


def _rows(groups: Sequence[Group]) -> list[_Row]:
    head: _Row = ("", [f"by {g.unit} (n = {len(g.labels)})" for g in groups])
    rows = [
        (label, [_cell(getattr(group.metrics, name)) for group in groups])
        for name, label in FIGURES
    ]
    errors = ("ECE", [_cell(group.calibration.ece) for group in groups])
    chance = [group.calibration.ece_by_chance for group in groups]
    by_chance = ("  ECE by chance", [f"{value:.2f}" for value in chance])
    brier = ("Brier score", [_cell(group.calibration.brier) for group in groups])
    return [head, *rows, errors, by_chance, brier]


def _cell(found: Interval) -> str:
    if found.reason:
        return f"– ({found.reason})"
    return f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"


def _role(found: Evaluation) -> str:
    names = {"test": "held-out", "val": "validation", "train": "training"}
    return names.get(found.asked, "all")


def _counted(n: int, unit: str) -> str:
    return f"{n} {unit}{'' if n == 1 else 's'}"
